/** Gap, miss, takeover, endpoint delay, waterfall, double answers and lost words of every turn (metrics gap to ovh, dbl, lost, dead). Pure. */

import type { TurnFigures, Waterfall } from '../result.js';
import type { ProviderWait } from '../run-record.js';
import { samplesPerMs } from './audible.js';
import { type CallerTurn, commitsOf, earlyMs, missedMs, requestOf, type Said, type Scene } from './scene.js';
import { playedIn } from './utterances.js';
import { commonCount, meantWords, wordsOf } from './words.js';

const takeoverMs = 3000;
/** Nobody calls it silence before. */
const deadAfterMs = 1000;
/** A reply of which less was heard, and not its end, was no answer: the engine noticed that the caller had not finished. */
const answerHeardMinMs = 1000;

/** The utterance that answers `turn` in time, if any. */
export function answerTo(scene: Scene, turn: CallerTurn): Said | undefined {
  if (turn.to === undefined) return undefined;
  const from = turn.to - earlyMs * samplesPerMs;
  const to = Math.min(turn.until, turn.to + missedMs * samplesPerMs);
  return scene.said.find(
    ({ utterance, cause }) => (cause === 'answer' || cause === 'unprompted') && utterance.from >= from && utterance.from <= to,
  );
}

export function turnFigures(scene: Scene, turn: CallerTurn, isCutInto: boolean): TurnFigures {
  const { record } = scene;
  const answer = answerTo(scene, turn);
  const { to } = turn;
  const endMs = to === undefined ? undefined : to / samplesPerMs;
  const gapMs = answer === undefined || to === undefined ? undefined : (answer.utterance.from - to) / samplesPerMs;
  const commitMs = commitOf(scene, turn, answer);
  const waterfall =
    gapMs === undefined || commitMs === undefined || endMs === undefined
      ? undefined
      : waterfallOf(
          endMs,
          Math.max(endMs, commitMs),
          endMs + gapMs,
          waitsOf(scene, commitMs, endMs + gapMs),
          firstArrivalMs(scene, answer!),
        );
  const roomMs = to === undefined ? missedMs : Math.min(missedMs, (turn.until - to) / samplesPerMs);
  return {
    turn: turn.name,
    role: turn.role,
    isDictation: record.scenario.gap_class === 'dictation',
    startMs: turn.from === undefined ? undefined : turn.from / samplesPerMs,
    endMs,
    isAnswerDue: turn.isAnswerDue,
    gapMs,
    isMissed: gapMs === undefined,
    isTakeover: gapMs !== undefined && gapMs <= takeoverMs && !isCutInto,
    endpointDelayMs: commitMs === undefined || endMs === undefined ? undefined : commitMs - endMs,
    overheadMs:
      waterfall === undefined || gapMs === undefined
        ? undefined
        : gapMs - (commitMs! - endMs!) - waterfall.sttMs - waterfall.llmMs - waterfall.ttsMs,
    waterfall,
    answerCount: answersOf(scene, turn).length,
    ...toldOf(scene, turn),
    wordCount: wordsOf(turn.parts.map(({ text }) => text).join(' ')).length,
    deadMs: turn.isAnswerDue ? Math.max(0, (gapMs ?? roomMs) - deadAfterMs) : 0,
  };
}

/** Replies to `turn` that were heard for a while, or to their end. */
function answersOf(scene: Scene, turn: CallerTurn): Said[] {
  return scene.said.filter(({ utterance, turn: answered }) => {
    if (answered !== turn) return false;
    const heardMs = playedIn(utterance, 0, scene.length) / samplesPerMs;
    return utterance.isComplete || heardMs >= answerHeardMinMs;
  });
}

function commitOf(scene: Scene, turn: CallerTurn, answer: Said | undefined): number | undefined {
  if (turn.to === undefined) return undefined;
  const fromMs = turn.to / samplesPerMs - earlyMs;
  const toMs = (answer?.utterance.from ?? Math.min(turn.until, turn.to + missedMs * samplesPerMs)) / samplesPerMs;
  return commitsOf(scene.record).find(({ at_ms: atMs }) => atMs >= fromMs && atMs <= toMs)?.at_ms;
}

function firstArrivalMs(scene: Scene, { utterance }: Said): number {
  const arrival = scene.record.audio.find(({ eventId }) => eventId === utterance.eventId);
  return Math.min(arrival?.atMs ?? Number.POSITIVE_INFINITY, utterance.from / samplesPerMs);
}

/** Besides the waits for first bytes, that for enough text to begin to speak. */
function waitsOf({ record }: Scene, commitMs: number, onsetMs: number): ProviderWait[] {
  const answered = record.whiteBox.findLast(
    ({ kind, at_ms: atMs }) => kind === 'answered' && atMs >= commitMs && atMs <= onsetMs,
  );
  const { first_token: fromMs, first_segment: toMs } = answered?.instants ?? {};
  return fromMs === undefined || toMs === undefined ? [...record.waits] : [...record.waits, { stage: 'llm', fromMs, toMs }];
}

/** Of stages that wait at the same time the earlier one in the chain is what everything waits for. */
function waterfallOf(
  endMs: number,
  commitMs: number,
  onsetMs: number,
  waits: readonly ProviderWait[],
  arrivalMs: number,
): Waterfall {
  const spent = { stt: 0, llm: 0, tts: 0, engine: 0 };
  const readyMs = Math.max(commitMs, arrivalMs);
  const cuts = [commitMs, readyMs];
  for (const { fromMs, toMs } of waits) for (const cut of [fromMs, toMs]) if (cut > commitMs && cut < readyMs) cuts.push(cut);
  cuts.sort((left, right) => left - right);
  for (const [index, from] of cuts.slice(0, -1).entries()) {
    const to = cuts[index + 1]!;
    const waiting = waits.filter(({ fromMs, toMs }) => fromMs < to && toMs > from);
    const stage = (['stt', 'llm', 'tts'] as const).find((name) => waiting.some((wait) => wait.stage === name));
    spent[stage ?? 'engine'] += to - from;
  }
  return {
    endpointMs: commitMs - endMs,
    sttMs: spent.stt,
    llmMs: spent.llm,
    ttsMs: spent.tts,
    engineMs: spent.engine,
    bufferMs: Math.max(0, onsetMs - readyMs),
  };
}

/** What of the turn the model was told when it gave the last answer that was heard: words that it was not, and in how many messages the others. */
function toldOf(scene: Scene, turn: CallerTurn): Pick<TurnFigures, 'lostWords' | 'messageCount'> {
  const nothing = { lostWords: undefined, messageCount: undefined };
  if (turn.to === undefined) return nothing;
  const to = turn.to;
  const answer = scene.said.findLast(
    ({ utterance, turn: answered }) => answered === turn && utterance.from >= to - earlyMs * samplesPerMs,
  );
  const request = answer === undefined ? undefined : requestOf(scene.record, answer.utterance);
  if (request === undefined) return nothing;
  const messages = request.messages.filter(({ role }) => role === 'user').map(({ content }) => meantWords(content));
  const words = meantWords(turn.parts.map(({ text }) => text).join(' '));
  const toldBy = (count: number): number => commonCount(words, messages.slice(messages.length - count).flat());
  const told = toldBy(messages.length);
  const messageCount = messages.findIndex((_, index) => toldBy(index + 1) === told) + 1;
  return { lostWords: words.length - told, messageCount };
}
