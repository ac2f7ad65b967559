/** What happened in a call, as named instants and the latencies between them. Pure: from a caller's records, after the call. */
import { inputRateHz } from '../src/shared/units.js';
import type { Beat } from './beat.js';
import type { Caller, ReceivedEvent, Said } from './caller.js';
import { type Dialogue, isCutIn, type Turn } from './dialogue.js';
import type { HeardReply } from './ear.js';

const samplesPerMs = inputRateHz / 1000;
/** An interrupted reply has yielded when it is silent, for good, this soon after the caller's first sample. */
const yieldMaxMs = 2000;
/** After a noise its effect is looked for this long. */
const effectMs = 1000;
/** A reply that stood still no longer than this has ignored the noise. */
const ignoredMaxMs = 200;

export type ReplyTimes = {
  readonly eventId: number;
  readonly text: string | undefined;
  readonly firstChunkAtMs: number;
  readonly onsetMs: number;
  readonly endMs: number;
};

export type TurnTimes = {
  readonly name: string;
  readonly startMs: number;
  readonly speechStartMs: number;
  /** The last sample above the clip's peak minus 45 dB. */
  readonly speechEndMs: number;
  /** The end of strong voice: earlier by more than some 250 ms when the clip ends with noise, a breath or a click. */
  readonly voiceEndMs: number;
  readonly transcript: string | undefined;
  readonly transcriptAtMs: number | undefined;
  readonly answer: ReplyTimes | undefined;
  /** What else the agent said until we spoke again: by itself, or once more. */
  readonly unasked: readonly ReplyTimes[];
  /** From `speechEndMs`; negative when the agent began before. */
  readonly firstChunkAfterMs: number | undefined;
  readonly answeredAfterMs: number | undefined;
  /** Onsets of the agent while we were speaking and had not just finished. */
  readonly cutInsAtMs: readonly number[];
  readonly interruption: InterruptionTimes | undefined;
  readonly cough: CoughTimes | undefined;
};

export type InterruptionTimes = {
  readonly eventId: number;
  /** All from the first sample of our interrupting speech. `silentAfterMs` is negative when the reply had ended before. */
  readonly noticeAfterMs: number | undefined;
  readonly silentAfterMs: number;
  readonly yielded: boolean;
};

export type CoughTimes = {
  readonly startMs: number;
  readonly endMs: number;
  /** `missed`: the reply was over before the cough. */
  readonly effect: 'ignored' | 'paused' | 'stopped' | 'missed';
  /** How long the reply stood still because of it. */
  readonly pausedMs: number;
};

/** Everything about one call, as it is written to a file. */
export type Timeline = ReturnType<typeof timelineOf>;

export function timelineOf(caller: Caller, dialogue: Dialogue, beat: Beat) {
  return {
    conversationId: caller.conversationId,
    clock: 'ms since the socket opened, at the caller',
    ear: caller.ear.kind,
    inputFormat: caller.inputFormat,
    outputFormat: caller.outputFormat,
    firstMessage: dialogue.firstMessage && replyTimes(dialogue.firstMessage, caller.events),
    turns: timesOf(caller, dialogue),
    staleChunks: caller.ear.stale,
    problems: caller.problems,
    microphoneLatenessP99Ms: beat.latenessUs.getValueAtPercentile(99) / 1000,
    microphoneLatenessMaxMs: beat.latenessUs.maxValue / 1000,
    closed: caller.closed,
    heard: caller.ear.runs.map((run) => ({
      eventId: run.eventId,
      heardAtMs: run.heardSample / samplesPerMs,
      sourceAtMs: run.sourceSample / samplesPerMs,
      lengthMs: run.count / samplesPerMs,
    })),
    events: caller.events,
  };
}

/** JSON in which numbers have at most three decimals: instants to the microsecond. */
export function jsonOf(value: unknown): string {
  const rounded = (_: string, item: unknown) => (typeof item === 'number' ? Math.round(item * 1000) / 1000 : item);
  return `${JSON.stringify(value, rounded, 2)}\n`;
}

/** The figures of each turn of `dialogue`. */
export function timesOf(caller: Caller, dialogue: Dialogue): TurnTimes[] {
  return dialogue.turns.map((turn, index) =>
    timesOfTurn(caller, turn, dialogue.turns[index + 1]?.said.startMs ?? Number.POSITIVE_INFINITY),
  );
}

function timesOfTurn(caller: Caller, turn: Turn, nextStartMs: number): TurnTimes {
  const { said } = turn;
  const transcript = caller.events.findLast(
    ({ type, atMs }) => type === 'user_transcript' && atMs >= said.speechStartMs && atMs < nextStartMs,
  );
  const answer = turn.answer === undefined ? undefined : replyTimes(turn.answer, caller.events);
  const unasked = [...caller.ear.replies.values()].filter(
    (reply) =>
      reply.onsetMs !== undefined && reply !== turn.answer && reply.onsetMs >= said.voiceEndMs && reply.onsetMs < nextStartMs,
  );
  const onsets = [...caller.ear.replies.values()].flatMap(({ onsetMs }) => (onsetMs === undefined ? [] : [onsetMs]));
  return {
    name: said.clip.name,
    startMs: said.startMs,
    speechStartMs: said.speechStartMs,
    speechEndMs: said.speechEndMs,
    voiceEndMs: said.voiceEndMs,
    transcript: textIn(transcript, 'user_transcript'),
    transcriptAtMs: transcript?.atMs,
    answer,
    unasked: unasked.map((reply) => replyTimes(reply, caller.events)),
    firstChunkAfterMs: answer && answer.firstChunkAtMs - said.speechEndMs,
    answeredAfterMs: answer && answer.onsetMs - said.speechEndMs,
    cutInsAtMs: onsets.filter((onsetMs) => isCutIn(onsetMs, said)),
    interruption: turn.interrupts && interruptionTimes(turn.interrupts, said, caller.events),
    cough: turn.cough && turn.answer && coughTimes(turn.answer, turn.cough, nextStartMs, caller),
  };
}

/** `reply` must have been heard. */
export function replyTimes(reply: HeardReply, events: readonly ReceivedEvent[]): ReplyTimes {
  const { eventId, firstChunkAtMs } = reply;
  const said = events.filter(({ type, eventId: id }) => type === 'agent_response' && id === eventId);
  const text = said.length === 0 ? undefined : said.map((event) => textIn(event, 'agent_response')).join(' ');
  return { eventId, text, firstChunkAtMs, onsetMs: reply.onsetMs!, endMs: reply.lastAudibleMs! };
}

function interruptionTimes(reply: HeardReply, said: Said, events: readonly ReceivedEvent[]): InterruptionTimes {
  const notice = events.find(({ type, atMs }) => type === 'interruption' && atMs >= said.speechStartMs);
  const silentAfterMs = reply.lastAudibleMs! - said.speechStartMs;
  return {
    eventId: reply.eventId,
    noticeAfterMs: notice && notice.atMs - said.speechStartMs,
    silentAfterMs,
    yielded: notice !== undefined && silentAfterMs <= yieldMaxMs,
  };
}

/** `untilMs`: when we say something else, whose effect is not the cough's. */
function coughTimes(reply: HeardReply, cough: Said, untilMs: number, { ear, events }: Caller): CoughTimes {
  const { speechStartMs: startMs, speechEndMs: endMs } = cough;
  const isNear = (atMs: number) => atMs >= startMs && atMs <= Math.min(untilMs, endMs + effectMs);
  const own = ear.runs.filter(({ eventId }) => eventId === reply.eventId);
  let pausedMs = 0;
  for (const [index, run] of own.entries()) {
    const next = own[index + 1];
    const pauseStartMs = (run.heardSample + run.count) / samplesPerMs;
    if (next !== undefined && isNear(pauseStartMs)) pausedMs += next.heardSample / samplesPerMs - pauseStartMs;
  }
  const isStopped = events.some(({ type, atMs }) => type === 'interruption' && isNear(atMs));
  const lastMs = reply.lastAudibleMs!;
  const effect = lastMs < startMs ? 'missed' : isStopped ? 'stopped' : pausedMs > ignoredMaxMs ? 'paused' : 'ignored';
  return { startMs, endMs, effect, pausedMs };
}

function textIn(event: ReceivedEvent | undefined, key: string): string | undefined {
  const text = event?.details[key];
  return typeof text === 'string' ? text.trim() : undefined;
}
