/**
 * Where everything of a scenario comes to lie on the clock of the call: each step and event waits for what it refers to and is then placed at one
 * sample, its labels with it. What refers to the agent is placed by what was heard, never before. Pure.
 */
import { EngineError } from '../../../src/shared/errors.js';
import type { Clip, Placed, PlacedEvent, PlacedPart } from '../run-record.js';
import type { Instant, Scenario, ScenarioEvent } from '../scenario.js';
import type { ScenarioClips } from '../suite.js';
import type { Hearing } from './hearing.js';

const samplesPerMs = 16;
/** An answer may begin this long before the caller has finished, and is waited for this long. */
const earlyAnswerMs = 250;
const answerWaitMs = 6000;

/** Something to be heard from the caller's side; `samples` is undefined for what has no sound. */
export type Placement = { readonly placed: Placed; readonly samples: Int16Array | undefined };

/** `sample`: since the connect. `isFirm`: it will not change any more. */
type Resolved = { readonly sample: number; readonly isFirm: boolean };

export class Script {
  readonly #scenario: Scenario;
  readonly #clips: ScenarioClips;
  readonly #hearing: Hearing;
  readonly #parts: (PlacedPart | undefined)[];
  readonly #events = new Map<string, PlacedEvent>();
  /** When the caller hangs up because an event says so, in the middle of whatever it is. */
  hangUpMs: number | undefined;

  /** Fails with `config` for a step without a clip. */
  constructor(scenario: Scenario, clips: ScenarioClips, hearing: Hearing) {
    this.#scenario = scenario;
    this.#clips = clips;
    this.#hearing = hearing;
    this.#parts = scenario.steps.map(() => undefined);
    if (clips.steps.length !== scenario.steps.length) {
      throw new EngineError('config', `${scenario.id}: ${scenario.steps.length} steps, but ${clips.steps.length} clips`);
    }
  }

  /** Everything placed so far, in order of its first sample. */
  get placed(): Placed[] {
    const parts = this.#parts.filter((part) => part !== undefined);
    return [...parts, ...this.#events.values()].sort((left, right) => left.from - right.from);
  }

  /**
   * What can be placed now, in the order of the scenario. `from` .. `to`: the samples about to be said, before which nothing can be placed; what
   * can only be foretold is placed when it falls before `to`.
   */
  place(from: number, to: number): Placement[] {
    const placements: Placement[] = [];
    const atMs = to / samplesPerMs;
    for (const [index, step] of this.#scenario.steps.entries()) {
      if (this.#parts[index] !== undefined) continue;
      const sample = due(this.#resolve(step.at, index, atMs), from, to);
      if (sample === undefined) continue;
      const part = this.#part(index, sample);
      this.#parts[index] = part;
      placements.push({ placed: part, samples: this.#clips.steps[index]!.samples });
    }
    for (const event of this.#scenario.events) {
      if (this.#events.has(event.id)) continue;
      const sample = due(this.#resolve(event.at, this.#parts.length, atMs), from, to);
      if (sample === undefined) continue;
      const clip = this.#clips.events.get(event.id);
      const placed = eventAt(event, clip, sample);
      this.#events.set(event.id, placed);
      if (event.class === 'hang_up') this.hangUpMs ??= sample / samplesPerMs;
      placements.push({ placed, samples: clip?.samples });
    }
    return placements;
  }

  /** When the scenario is over, not counting its limit; infinite as long as that is not known. */
  endMs(nowMs: number): number {
    const { after, ms } = this.#scenario.end;
    const reached = this.#resolve({ after, ms }, this.#parts.length, nowMs);
    if (reached?.isFirm !== true) return Number.POSITIVE_INFINITY;
    return Math.max(reached.sample / samplesPerMs, this.#answerEndMs(nowMs, ms));
  }

  /** When the caller has heard the answer to its last turn to its end, or waited for it in vain: nobody hangs up before. */
  #answerEndMs(nowMs: number, ms: number): number {
    const parts = this.#scenario.steps.flatMap(({ role }, index) =>
      role === 'turn' || role === 'interrupt' ? [this.#parts[index]] : [],
    );
    if (parts.includes(undefined)) return Number.POSITIVE_INFINITY;
    const spokenMs = endMsOf(this.#parts);
    const lastMs = endMsOf(parts);
    for (let k = 1; ; k += 1) {
      const onset = this.#hearing.onset(k);
      if (onset === undefined) return Math.max(spokenMs, this.#scenario.expect.answers === 0 ? lastMs : lastMs + answerWaitMs);
      if (onset.sample / samplesPerMs < lastMs - earlyAnswerMs) continue;
      const end = this.#hearing.end(k, nowMs);
      return end?.isFirm === true ? Math.max(spokenMs, end.sample / samplesPerMs + ms) : Number.POSITIVE_INFINITY;
    }
  }

  #part(index: number, from: number): PlacedPart {
    const step = this.#scenario.steps[index]!;
    const clip = this.#clips.steps[index]!;
    const moved = <Place extends { from: number; to: number }>(place: Place): Place => ({
      ...place,
      from: place.from + from,
      to: place.to + from,
    });
    return {
      kind: 'part',
      step: index,
      role: step.role,
      turn: step.turn,
      isFinal: step.final,
      expect: step.expect,
      text: step.say,
      from,
      to: from + clip.samples.length,
      words: clip.words.map(moved),
      silences: clip.silences.map(moved),
      clipId: clip.id,
    };
  }

  /** `index`: of the step that asks; what has none stands after the last one. */
  #resolve(at: Instant | { readonly after: string; readonly ms: number }, index: number, nowMs: number): Resolved | undefined {
    if ('abs' in at) return { sample: Math.round(at.abs * samplesPerMs), isFirm: true };
    const anchor = this.#anchor(at.after, index, nowMs);
    // Only what is said ahead of something may rely on what is foretold.
    if (anchor === undefined || (!anchor.isFirm && at.ms >= 0)) return undefined;
    return { sample: Math.round(anchor.sample + at.ms * samplesPerMs), isFirm: anchor.isFirm };
  }

  #anchor(after: string, index: number, nowMs: number): Resolved | undefined {
    const [, edge, k, word, event] =
      /^(?:(prev\.start|prev\.end|agent\.\w+)(?:#(\d+)(?::(\d+))?)?|event:([\w-]+)\.end)$/.exec(after) ?? [];
    const firm = (sample: number | undefined): Resolved | undefined =>
      sample === undefined ? undefined : { sample, isFirm: true };
    if (event !== undefined) return firm(this.#events.get(event)?.to);
    switch (edge) {
      case 'prev.start':
        return firm(this.#parts[index - 1]?.from);
      case 'prev.end':
        return firm(this.#parts[index - 1]?.to);
      case 'agent.onset':
        return this.#hearing.onset(Number(k));
      case 'agent.end':
        return this.#hearing.end(Number(k), nowMs);
      case 'agent.word':
        return this.#hearing.wordEnd(Number(k), Number(word), nowMs);
      default:
        throw new EngineError('config', `${this.#scenario.id}: "${after}" is nothing that can be waited for`);
    }
  }
}

function endMsOf(parts: readonly (PlacedPart | undefined)[]): number {
  return Math.max(0, ...parts.map((part) => (part?.to ?? 0) / samplesPerMs));
}

/** Where something is placed now, if it is. */
function due(resolved: Resolved | undefined, from: number, to: number): number | undefined {
  if (resolved === undefined || (!resolved.isFirm && resolved.sample >= to)) return undefined;
  return Math.max(resolved.sample, from);
}

function eventAt(event: ScenarioEvent, clip: Clip | undefined, from: number): PlacedEvent {
  const length = clip?.samples.length ?? Math.round((event.dur ?? 0) * samplesPerMs);
  return { kind: 'event', id: event.id, class: event.class, expect: event.expect, from, to: from + length };
}
