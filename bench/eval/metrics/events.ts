/** What the agent does about things that are not meant for it: noises, backchannels, its own echo, false starts (metrics sel, spur, res). Pure. */

import { ramp } from '../ramp.js';
import type { EventFigures, SelectivityClass } from '../result.js';
import type { PlacedEvent, PlacedPart } from '../run-record.js';
import type { EventClass, Expectation, Role } from '../scenario.js';
import { type Span, samplesPerMs } from './audible.js';
import { gainOf } from './edges.js';
import { isTurnRole, type Scene } from './scene.js';
import type { Break, Utterance } from './utterances.js';

/** An effect shows until this long after the end of what caused it. */
const effectMs = 1000;
const stallMaxMs = 200;
const resumeMaxMs = 2000;
const silenceMs = 2000;
const spuriousMs = 3000;
/** An utterance that ends by itself and has so little left is as good as over. */
const restMinMs = 150;
const levelDropMaxDb = 12;
const levelWindow = 50 * samplesPerMs;
/** Echo of less agent speech than this shows nothing. */
const echoMinMs = 500;

const classes: Readonly<Partial<Record<EventClass | Role, SelectivityClass>>> = {
  backchannel: 'backchannel',
  cough: 'body',
  sneeze: 'body',
  breath: 'body',
  door: 'room',
  keys: 'room',
  click: 'room',
  tone: 'room',
  ring: 'room',
  music: 'room',
  bystander: 'talkers',
  babble: 'talkers',
  aside: 'talkers',
};

/** Something of the script that is to be ignored; `span` is undefined when it never came. */
type Asked = {
  readonly id: string;
  readonly kind: EventClass | Role;
  readonly expect: Expectation;
  readonly span: Span | undefined;
  /** It was to fall on the agent's speech. */
  readonly isOnAgent: boolean;
};

export function eventFigures(scene: Scene): EventFigures[] {
  return [...askedOf(scene).map((asked) => figuresOf(scene, asked)), ...echoFigures(scene)];
}

function askedOf({ record: { scenario, placed } }: Scene): Asked[] {
  const parts = new Map(placed.flatMap((item) => (item.kind === 'part' ? [[item.step, item] as const] : [])));
  const events = new Map(placed.flatMap((item) => (item.kind === 'event' ? [[item.id, item] as const] : [])));
  const spanOf = (item: PlacedPart | PlacedEvent | undefined): Span | undefined => item && { from: item.from, to: item.to };
  const isOnAgent = (at: PlacedAt): boolean => 'after' in at && /^agent\.(onset|word)/.test(at.after);
  const steps = scenario.steps.flatMap((step, index): Asked[] => {
    if (isTurnRole(step.role) || step.role === 'wait') return [];
    const expect = step.expect ?? 'ignore';
    return [{ id: `step ${index}`, kind: step.role, expect, span: spanOf(parts.get(index)), isOnAgent: isOnAgent(step.at) }];
  });
  const others = scenario.events.flatMap((event): Asked[] => {
    if (event.expect !== 'ignore' && event.expect !== 'resume') return [];
    if (event.class === 'silence' || event.class === 'hang_up') return [];
    return [
      {
        id: event.id,
        kind: event.class,
        expect: event.expect,
        span: spanOf(events.get(event.id)),
        isOnAgent: isOnAgent(event.at),
      },
    ];
  });
  return [...steps, ...others];
}

type PlacedAt = { readonly abs: number } | { readonly after: string; readonly ms: number };

function figuresOf(scene: Scene, { id, kind, expect, span, isOnAgent }: Asked): EventFigures {
  const isFalseStart = kind === 'abandon' || scene.record.scenario.family === 'J';
  const base = {
    id,
    kind,
    class: isFalseStart ? undefined : (classes[kind] ?? 'room'),
    expect,
    fromMs: span && span.from / samplesPerMs,
    toMs: span && span.to / samplesPerMs,
  };
  const none = { stallMs: 0, isSpurious: false, resumeDelayMs: undefined, skipMs: undefined, repeatMs: undefined };
  const isMute = scene.said.length === 0 && scene.isSpeechDue;
  if (span === undefined || isMute) return { ...base, ...none, effect: 'absent', isUnderSpeech: isOnAgent, credit: 0 };
  const utterance = scene.lane.utterances.findLast(
    ({ from, toMax, isComplete }) => from <= span.from && toMax > span.from + (isComplete ? restMinMs * samplesPerMs : 0),
  );
  const isSpurious = isSpuriousAfter(scene, span, utterance);
  if (utterance === undefined) {
    // It was to meet the agent speaking; if something had stopped the agent before, that it stays silent is no merit.
    const last = scene.lane.utterances.findLast(({ from }) => from <= span.from);
    const isStoppedBefore = isOnAgent && (last === undefined || (!last.isComplete && !isStoppedByCaller(scene, last, last.from)));
    const effect = isStoppedBefore ? 'absent' : isSpurious ? 'stopped' : 'ignored';
    return { ...base, ...none, isSpurious, effect, isUnderSpeech: false, credit: effect === 'ignored' ? 1 : 0 };
  }
  const effect = effectOn(scene, utterance, span);
  return { ...base, ...effect, isSpurious, isUnderSpeech: true, credit: creditOf(effect, isSpurious, isFalseStart) };
}

type Effect = Pick<EventFigures, 'effect' | 'stallMs' | 'resumeDelayMs' | 'skipMs' | 'repeatMs'>;

function effectOn(scene: Scene, utterance: Utterance, { from, to }: Span): Effect {
  const until = to + effectMs * samplesPerMs;
  const breaks = utterance.breaks.filter((one) => one.fromMax >= from && one.from <= until);
  const stallMs = breaks.reduce((sum, one) => sum + one.stallMs, 0);
  const nothing = { stallMs, resumeDelayMs: undefined, skipMs: undefined, repeatMs: undefined };
  const isEnded = !utterance.isComplete && utterance.to <= until && !isStoppedByCaller(scene, utterance, from);
  if (isEnded) return { ...nothing, effect: 'stopped' };
  if (stallMs <= stallMaxMs) return { ...nothing, effect: isLevelKept(scene, utterance, from, until) ? 'ignored' : 'stopped' };
  const last = breaks.at(-1)!;
  if (last.to > to + resumeMaxMs * samplesPerMs) return { ...nothing, effect: 'stopped' };
  return { effect: 'paused', stallMs, resumeDelayMs: (last.to - to) / samplesPerMs, ...lossOf(breaks) };
}

function lossOf(breaks: readonly Break[]): { skipMs: number; repeatMs: number } {
  return {
    skipMs: breaks.reduce((sum, { skipMs }) => sum + skipMs, 0),
    repeatMs: breaks.reduce((sum, { repeatMs }) => sum + repeatMs, 0),
  };
}

/** The caller took the floor between `since` and the utterance's end. */
function isStoppedByCaller(scene: Scene, utterance: Utterance, since: number): boolean {
  return scene.turns.some(({ from }) => from !== undefined && from >= since && from <= utterance.to);
}

/** While `utterance` sounds in [from, until), its level stays within 12 dB of the reply's own. */
function isLevelKept(scene: Scene, utterance: Utterance, from: number, until: number): boolean {
  const { heard } = scene.record.lanes;
  const gainMin = 10 ** (-levelDropMaxDb / 20);
  for (const { template, heardFrom, sourceFrom, count } of utterance.pieces) {
    const first = Math.max(from, heardFrom);
    const last = Math.min(until, heardFrom + count) - levelWindow;
    for (let at = first; at <= last; at += levelWindow) {
      const gain = gainOf(heard, template.samples, at, sourceFrom - heardFrom, levelWindow);
      if (gain !== undefined && gain < gainMin) return false;
    }
  }
  return true;
}

/** Something new was said, before the caller's next turn, that nothing but `span` can have caused. */
function isSpuriousAfter(scene: Scene, span: Span, under: Utterance | undefined): boolean {
  const until = Math.max(span.to, under?.to ?? 0) + (under === undefined ? silenceMs : spuriousMs) * samplesPerMs;
  const next = Math.min(
    ...scene.turns.map(({ from }) => (from !== undefined && from > span.from ? from : Number.POSITIVE_INFINITY)),
  );
  return scene.said.some(
    ({ utterance: { from }, cause }) => cause === 'unprompted' && from > span.from && from <= until && from < next,
  );
}

function creditOf(effect: Effect, isSpurious: boolean, isFalseStart: boolean): number {
  if (isSpurious || effect.effect === 'stopped' || effect.effect === 'absent') return 0;
  if (effect.effect === 'ignored') return 1;
  const quality = ramp(effect.skipMs ?? 0, 20, 400) * ramp(Math.max(0, (effect.repeatMs ?? 0) - 600), 0, 1500);
  return (isFalseStart ? 1 : 0.7) * ramp(effect.resumeDelayMs ?? 0, 300, 2000) * quality;
}

/** Where the microphone hears the agent, every utterance is an event of its own, until the caller takes the floor. */
function echoFigures(scene: Scene): EventFigures[] {
  const { scenario } = scene.record;
  const { echo } = scenario.channel;
  if (echo === undefined) return [];
  const base = { kind: 'echo', class: 'echo', expect: echo.expect, isUnderSpeech: true } as const;
  const none = { stallMs: 0, isSpurious: false, resumeDelayMs: undefined, skipMs: undefined, repeatMs: undefined };
  if (scene.lane.utterances.length === 0) {
    return [{ ...base, ...none, id: 'echo', fromMs: undefined, toMs: undefined, effect: 'absent', credit: 0 }];
  }
  return scene.lane.utterances.flatMap((utterance): EventFigures[] => {
    const floor = scene.turns.find(({ from }) => from !== undefined && from > utterance.from && from < utterance.to)?.from;
    const span = { from: utterance.from, to: floor ?? utterance.to };
    const isCut = !utterance.isComplete && floor === undefined && !isTakenSoon(scene, utterance);
    if (floor !== undefined && span.to - span.from < echoMinMs * samplesPerMs) return [];
    const effect = isCut ? ({ ...none, effect: 'stopped' } as const) : echoEffect(utterance, span);
    const isSpurious = isSpuriousAfter(scene, span, utterance);
    const [fromMs, toMs] = [span.from / samplesPerMs, span.to / samplesPerMs];
    return [
      {
        ...base,
        ...effect,
        id: `echo of ${utterance.eventId}`,
        fromMs,
        toMs,
        isSpurious,
        credit: creditOf(effect, isSpurious, false),
      },
    ];
  });
}

/** The caller began just as the utterance ended. */
function isTakenSoon(scene: Scene, { to }: Utterance): boolean {
  const reach = effectMs * samplesPerMs;
  return scene.turns.some(({ from }) => from !== undefined && from > to - reach && from <= to);
}

/** Echo ends when the agent falls silent, so a resume is late by the whole break. */
function echoEffect(utterance: Utterance, { from, to }: Span): Effect {
  const breaks = utterance.breaks.filter((one) => one.fromMax >= from && one.from < to);
  const stallMs = breaks.reduce((sum, one) => sum + one.stallMs, 0);
  if (stallMs <= stallMaxMs)
    return { effect: 'ignored', stallMs, resumeDelayMs: undefined, skipMs: undefined, repeatMs: undefined };
  return { effect: 'paused', stallMs, resumeDelayMs: Math.max(...breaks.map((one) => one.stallMs)), ...lossOf(breaks) };
}
