/**
 * One interruption, from question to answer: how it is held with a caller, and what is read from it afterwards. All instants called `…AtMs`
 * are on the monotonic clock that the engine's log, the simulator's journal and the callers share. Runs on the callers' thread.
 */
import type { Caller, Said } from '../caller.js';
import type { HeardReply } from '../ear.js';
import type { Entry, LlmRequest } from '../providers/journal.js';
import type { Voice } from '../providers/voice.js';
import { firstVoicedSample, type Phrase } from './phrases.js';
import { heardUntil, Reference } from './source.js';
import { type LogLine, messagesOf } from './stack.js';
import { plainWords } from './texts.js';

const samplesPerMs = 16;
const pauseMs = 300;
const answerWaitMs = 10_000;
/** Nothing audible for this long: the agent has finished. Longer than the longest HOLD. */
const quietMs = 1000;
const replyMaxMs = 60_000;
/** A reply that sends nothing for this long has ended or was cut. */
const replyGapMs = 200;
/** What a client may still play after a HOLD. */
const tailMaxMs = 150;

export type Trial = {
  readonly question: Phrase;
  readonly phrase: Phrase;
  readonly topic: string;
  readonly answer: string;
  /** From the onset of the long answer to the first sample of the phrase. */
  readonly delayMs: number;
};

export type Held = {
  readonly trial: Trial;
  readonly caller: Caller;
  readonly asked: Said;
  /** The long answer; undefined when none came. */
  readonly reply: HeardReply | undefined;
  readonly said: Said | undefined;
  /** What was heard after the interruption. */
  readonly answer: HeardReply | undefined;
};

/**
 * Asks, waits for the answer, interrupts it at a sample fixed by its onset, hears the next answer out. `onSaid`: told of what is placed, at once.
 */
export async function holdTrial(caller: Caller, trial: Trial, onSaid?: (said: Said, phrase: Phrase) => void): Promise<Held> {
  const asked = caller.say(trial.question.clip, caller.nowMs + pauseMs);
  onSaid?.(asked, trial.question);
  const reply = await caller.onset(asked.speechEndMs - quietMs, asked.speechEndMs - caller.nowMs + answerWaitMs);
  if (reply === undefined) return { trial, caller, asked, reply, said: undefined, answer: undefined };
  const said = caller.say(trial.phrase.clip, reply.onsetMs! + trial.delayMs);
  onSaid?.(said, trial.phrase);
  const answer = await caller.waitFor(
    () => laterReply(caller, reply, said.speechStartMs),
    said.speechEndMs - caller.nowMs + answerWaitMs,
  );
  if (answer !== undefined) await caller.endOf(answer, quietMs, replyMaxMs);
  else await caller.endOf(reply, quietMs, replyMaxMs);
  return { trial, caller, asked, reply, said, answer };
}

function laterReply(caller: Caller, reply: HeardReply, afterMs: number): HeardReply | undefined {
  for (const other of caller.ear.replies.values()) {
    if (other.eventId > reply.eventId && other.onsetMs !== undefined && other.onsetMs > afterMs) return other;
  }
  return undefined;
}

export type Outcome = {
  readonly topic: string;
  readonly phrase: string;
  readonly delayMs: number;
  /** First sample of the phrase above its peak minus 45 dB, and first voiced one. */
  readonly onsetAtMs: number;
  readonly voicedAtMs: number;
  readonly holdAtMs: number | undefined;
  readonly verdictAtMs: number | undefined;
  readonly reason: string | undefined;
  /** HOLDs over this reply that were released as false alarms after the caller began to interrupt. */
  readonly falseVerdicts: number;
  /** Arrival of the last audio of the interrupted reply, and its last audible sample at the ear. */
  readonly lastFrameAtMs: number;
  readonly silentAtMs: number;
  /** The same for the stretch that was playing when the HOLD was raised: a HOLD may be released again before the CUT. */
  readonly heldFrameAtMs: number | undefined;
  readonly heldSilentAtMs: number | undefined;
  readonly interruptionAtMs: number | undefined;
  readonly staleChunks: number;
  readonly answeredAfterMs: number | undefined;
  /** Events of the engine's log from a second before the interruption on, in ms after its first sample. */
  readonly log: readonly string[];
};

/** What `held` shows, with the engine's log of that call. Undefined when there was nothing to interrupt. */
export function outcomeOf(held: Held, log: readonly LogLine[]): Outcome | undefined {
  const { trial, caller, reply, said, answer } = held;
  if (reply === undefined || said === undefined) return undefined;
  // It may be in a pause when it is interrupted, but it must be going on.
  if (reply.lastChunkAtMs < said.speechStartMs - replyGapMs) return undefined;
  const zero = caller.openedAtMonotonicMs;
  const onsetAtMs = zero + said.speechStartMs;
  const untilAtMs = zero + (answer?.onsetMs ?? said.speechEndMs + answerWaitMs);
  const { holdAtMs, verdictAtMs, reason, falseVerdicts } = verdictsIn(log, onsetAtMs, untilAtMs, zero + reply.lastAudibleMs!);
  const notice = caller.events.find(({ type, atMs }) => type === 'interruption' && zero + atMs >= onsetAtMs);
  const chunks = caller.events.filter(({ type, eventId }) => type === 'audio' && eventId === reply.eventId);
  const stale = caller.events.filter(
    ({ type, eventId, atMs }) =>
      type === 'audio' && notice !== undefined && atMs >= notice.atMs && eventId !== undefined && eventId <= notice.eventId!,
  );
  const clip = trial.phrase.clip;
  const still = holdAtMs === undefined ? undefined : stillAfter(caller, reply, holdAtMs - zero);
  const lines = log.filter((line) => at(line) >= onsetAtMs - 1000 && at(line) <= untilAtMs);
  return {
    topic: trial.topic,
    phrase: trial.phrase.text,
    delayMs: trial.delayMs,
    onsetAtMs,
    voicedAtMs: zero + said.startMs + firstVoicedSample(clip.samples) / samplesPerMs,
    ...{ holdAtMs, verdictAtMs, reason, falseVerdicts },
    lastFrameAtMs: zero + chunks.at(-1)!.atMs,
    silentAtMs: zero + reply.lastAudibleMs!,
    heldFrameAtMs: still && zero + still.frameMs,
    heldSilentAtMs: still && zero + still.silentMs,
    interruptionAtMs: notice && zero + notice.atMs,
    staleChunks: stale.filter((event) => event.eventId !== notice!.eventId! + 1).length,
    answeredAfterMs: answer && answer.onsetMs! - said.speechEndMs,
    log: lines.map(
      (line) => `${(at(line) - onsetAtMs).toFixed(0)} ${line.event} ${line['is'] ?? ''} ${line['reason'] ?? line['hold'] ?? ''}`,
    ),
  };
}

/**
 * What the engine decided about a caller who spoke from `onsetAtMs` on: the first real verdict, and the HOLD before it that made the agent silent,
 * which it was at `stoppedAtMs`. A HOLD that was released and raised again before the agent had said anything more is one silence, and began
 * with the first; one after which the agent was heard again does not count, unless it was the last.
 */
export function verdictsIn(
  log: readonly LogLine[],
  onsetAtMs: number,
  untilAtMs: number,
  stoppedAtMs: number,
): Pick<Outcome, 'holdAtMs' | 'verdictAtMs' | 'reason' | 'falseVerdicts'> {
  const near = log.filter((line) => at(line) >= onsetAtMs - 50 && at(line) <= untilAtMs);
  const verdicts = near.filter(({ event }) => event === 'turn.verdict');
  const real = verdicts.find((line) => line['is'] === 'real');
  const holds = near.filter((line) => line.event === 'turn.hold' && (real === undefined || at(line) <= at(real)));
  const hold = holds.find((line) => stoppedAtMs <= at(line) + tailMaxMs) ?? holds.at(-1);
  return {
    holdAtMs: hold && at(hold),
    verdictAtMs: real && at(real),
    reason: real && String(real['reason']),
    falseVerdicts: verdicts.filter((line) => line['is'] === 'false').length,
  };
}

/** On the caller's clock: the end of the stretch of `reply` that plays at `fromMs` (or played last), and the last frame that came for it. */
function stillAfter(caller: Caller, reply: HeardReply, fromMs: number): { silentMs: number; frameMs: number } {
  const own = caller.ear.runs.filter(({ eventId }) => eventId === reply.eventId);
  const ends = own.map(({ heardSample, count }) => (heardSample + count) / samplesPerMs);
  const endMs = ends.find((ms) => ms >= fromMs) ?? ends.at(-1) ?? fromMs;
  const frames = caller.events.filter(
    ({ type, eventId, atMs }) => type === 'audio' && eventId === reply.eventId && atMs <= endMs,
  );
  return { silentMs: Math.min(endMs, reply.lastAudibleMs!), frameMs: frames.at(-1)?.atMs ?? fromMs };
}

const at = (line: LogLine): number => Number(line['at_ms'] ?? Number.NaN);

export type Truth = {
  readonly correctedText: string;
  /** Words of the correction, and words whose sound ended before the last sample heard. */
  readonly correctedWords: number;
  readonly heardWords: number;
  /** In the reply's audio: end of the last corrected word, and of what was heard. */
  readonly correctedMs: number;
  readonly heardMs: number;
  readonly unknownSamples: number;
  /** The next request to the model holds the correction as its last assistant message, word for word. */
  readonly isInRequest: boolean;
  /** What the model was asked next, as it was understood. */
  readonly understood: string | undefined;
  readonly isUnderstood: boolean;
};

/** What the engine says was heard, against what was heard. */
export function truthOf(held: Held, journal: readonly Entry[], requests: readonly LlmRequest[], voice: Voice): Truth | undefined {
  const { trial, caller, reply, said } = held;
  if (reply === undefined || said === undefined) return undefined;
  const spoken = spokenAs(trial.answer, journal, voice);
  const reference = new Reference(spoken.audio);
  const played = caller.ear.runs.filter(({ eventId }) => eventId === reply.eventId);
  const heard = reference.find(caller.heardLane(), played);
  const until = heardUntil(heard);
  const correctedText = correctedTextOf(caller, reply);
  const correctedWords = wordCount(correctedText);
  const next = nextRequest(trial, requests, caller.openedAtMonotonicMs + said.speechStartMs);
  const messages = next === undefined ? [] : messagesOf(next);
  const before = messages.slice(0, -1).findLast(({ role }) => role !== 'user');
  const inHistory = before?.role === 'assistant' ? before.content : '';
  const understood = messages.at(-1)?.content;
  return {
    correctedText,
    correctedWords,
    heardWords: spoken.wordEnds.filter((end) => end <= until).length,
    correctedMs: (spoken.wordEnds[correctedWords - 1] ?? 0) / samplesPerMs,
    heardMs: until / samplesPerMs,
    unknownSamples: heard.unknownSamples,
    isInRequest: next !== undefined && inHistory === correctedText && messages.at(-2)?.role === 'assistant',
    understood,
    isUnderstood: understood !== undefined && plainWords(understood) === plainWords(trial.phrase.text),
  };
}

/** The text of `reply` as the engine last said that it was heard. */
function correctedTextOf(caller: Caller, reply: HeardReply): string {
  const own = caller.events.filter(({ eventId }) => eventId === reply.eventId);
  const correction = own.findLast(({ type }) => type === 'agent_response_correction');
  if (correction !== undefined) return String(correction.details['corrected_agent_response']);
  return String(own.findLast(({ type }) => type === 'agent_response')?.details['agent_response'] ?? '');
}

/** The first request after `afterMs` in whose history the trial's question is and that asks something else. */
function nextRequest(trial: Trial, requests: readonly LlmRequest[], afterMs: number): LlmRequest | undefined {
  return requests.find((request) => {
    const users = messagesOf(request).filter(({ role }) => role === 'user');
    const isOfTrial = users.slice(-2, -1).some(({ content }) => content.includes(trial.topic));
    return request.atMonotonicMs >= afterMs && isOfTrial && users.at(-1)?.content.includes(trial.topic) === false;
  });
}

function wordCount(text: string): number {
  return text.split(/\s+/).filter((word) => word !== '').length;
}

/**
 * The audio that the simulated synthesiser made of `text`, piece by piece as it was asked for, and where each word of it ends (in samples of
 * 16 kHz). Of several contexts with that text the one that got furthest counts; all begin with the same samples.
 */
export function spokenAs(text: string, journal: readonly Entry[], voice: Voice): { audio: Int16Array; wordEnds: number[] } {
  const contexts = new Map<string, string[]>();
  for (const { endpoint, contextId, text: piece } of journal) {
    if (endpoint !== 'tts' || contextId === undefined || piece === undefined) continue;
    contexts.set(contextId, [...(contexts.get(contextId) ?? []), piece]);
  }
  const wanted = plainWords(text);
  const fits = [...contexts.values()].filter((pieces) => wanted.startsWith(plainWords(pieces.join(' '))));
  const pieces = fits.sort((a, b) => b.join('').length - a.join('').length)[0] ?? [];
  const speeches = pieces.map((piece) => voice.speak(piece));
  const audio = new Int16Array(speeches.reduce((sum, speech) => sum + speech.audio.length, 0));
  const wordEnds: number[] = [];
  let start = 0;
  for (const speech of speeches) {
    audio.set(speech.audio, start);
    wordEnds.push(...speech.words.map(({ endMs }) => start + endMs * samplesPerMs));
    start += speech.audio.length;
  }
  return { audio, wordEnds };
}
