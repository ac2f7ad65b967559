/**
 * The callers of `load:hundred`: half of the answers are interrupted, a quarter coughed into, a quarter heard for a while. Some calls have a whole
 * ear, the others count what arrives, which costs next to nothing. Runs on the callers' thread.
 */
import type { Caller, Said } from '../caller.js';
import type { Clip } from '../clip.js';
import { type Held, holdTrial, verdictsIn } from './interruptions.js';
import type { LeanCaller } from './lean-caller.js';
import type { Reply } from './party.js';
import type { LogLine } from './stack.js';
import type { TrialPlan } from './trials.js';

/** From the end of speech; undefined when no answer came. */
export type Turn = { readonly receivedMs: number | undefined; readonly audibleMs: number | undefined; readonly isHeard: boolean };

/** An interruption as a caller without an ear knows it. Instants on its own clock. */
export type Counted = { readonly caller: LeanCaller; readonly reply: Reply; readonly said: Said; readonly untilMs: number };

export type Gathered = {
  readonly held: Held[];
  readonly counted: Counted[];
  readonly turns: Turn[];
  coughs: number;
  coughsSurvived: number;
};

/** An interruption, whoever saw it. Instants on the monotonic clock. */
export type Yielding = {
  readonly onsetAtMs: number;
  readonly holdAtMs: number | undefined;
  readonly verdictAtMs: number | undefined;
  readonly lastFrameAtMs: number;
};

const [delayMinMs, delayMaxMs] = [600, 4000];
const coughAtMs = 2000;
const coughJudgedMs = 2500;
/** An answer that is heard so long after a cough has survived it. */
const survivedMs = 1000;
const answerWaitMs = 10_000;
const quietMs = 1000;
const heardOutMs = 6000;
const settleMs = 800;
const pauseMs = 300;
/** An answer may begin this much before the label of our last sample. */
const earlyMs = 250;
const replyMaxMs = 60_000;
/** A reply that sends nothing for this long has ended. */
const replyGapMs = 200;
const enough = 'Thank you, that is enough.';

function pick(trials: readonly TrialPlan[], random: () => number): TrialPlan & { readonly delayMs: number } {
  return {
    ...trials[Math.floor(random() * trials.length)]!,
    delayMs: delayMinMs + random() * (delayMaxMs - delayMinMs),
  };
}

/** One caller with an ear, for `durationMs`. */
export async function converseHeard(
  caller: Caller,
  trials: readonly TrialPlan[],
  random: () => number,
  durationMs: number,
  cough: Clip,
  gathered: Gathered,
): Promise<void> {
  const endMs = caller.nowMs + durationMs;
  const note = (
    asked: Said,
    reply: { readonly firstChunkAtMs: number; readonly onsetMs: number | undefined } | undefined,
  ): void => {
    const after = (atMs: number | undefined): number | undefined => (atMs === undefined ? undefined : atMs - asked.speechEndMs);
    gathered.turns.push({ receivedMs: after(reply?.firstChunkAtMs), audibleMs: after(reply?.onsetMs), isHeard: true });
  };
  await caller.until(caller.nowMs + settleMs);
  while (caller.nowMs < endMs && caller.closed === undefined) {
    const trial = pick(trials, random);
    const mood = random();
    if (mood < 0.5) {
      const held = await holdTrial(caller, trial);
      gathered.held.push(held);
      note(held.asked, held.reply);
      continue;
    }
    const asked = caller.say(trial.question.clip, caller.nowMs + pauseMs);
    const reply = await caller.onset(asked.speechEndMs - quietMs, asked.speechEndMs - caller.nowMs + answerWaitMs);
    note(asked, reply);
    if (reply === undefined) continue;
    if (mood < 0.75) {
      const coughed = caller.say(cough, reply.onsetMs! + coughAtMs);
      await caller.until(coughed.speechEndMs + coughJudgedMs);
      gathered.coughs += 1;
      const isCut = caller.events.some(({ type, atMs }) => type === 'interruption' && atMs > coughed.speechStartMs);
      if (!isCut && (reply.lastAudibleMs ?? 0) > coughed.speechEndMs + survivedMs) gathered.coughsSurvived += 1;
    } else {
      await caller.until(reply.onsetMs! + heardOutMs);
    }
    // Long answers are ended by typing, so that the next question meets an agent that listens.
    caller.send({ type: 'user_message', text: enough });
    const closing = await caller.onset(caller.nowMs + 20, answerWaitMs);
    if (closing !== undefined) await caller.endOf(closing, quietMs, answerWaitMs);
  }
}

/** The same without an ear: an answer begins when it is received, and has ended when nothing more comes. */
export async function converseCounted(
  caller: LeanCaller,
  trials: readonly TrialPlan[],
  random: () => number,
  durationMs: number,
  cough: Clip,
  gathered: Gathered,
): Promise<void> {
  const endMs = caller.nowMs + durationMs;
  const answerFrom = (fromMs: number, timeoutMs: number): Promise<Reply | undefined> =>
    caller.waitFor(() => caller.replyFrom(fromMs), timeoutMs);
  const endOf = (reply: Reply, timeoutMs: number): Promise<unknown> =>
    caller.waitFor(() => (caller.nowMs - reply.lastChunkAtMs >= quietMs ? true : undefined), timeoutMs);
  await caller.until(caller.nowMs + settleMs);
  while (caller.nowMs < endMs && caller.closed === undefined) {
    const trial = pick(trials, random);
    const mood = random();
    const asked = caller.say(trial.question.clip, caller.nowMs + pauseMs);
    const reply = await answerFrom(asked.speechEndMs - earlyMs, asked.speechEndMs - caller.nowMs + answerWaitMs);
    const receivedMs = reply === undefined ? undefined : reply.firstChunkAtMs - asked.speechEndMs;
    gathered.turns.push({ receivedMs, audibleMs: undefined, isHeard: false });
    if (reply === undefined) continue;
    if (mood < 0.5) {
      await interrupt(caller, trial, reply, gathered, answerFrom, endOf);
      continue;
    }
    if (mood < 0.75) {
      const coughed = caller.say(cough, reply.firstChunkAtMs + coughAtMs);
      await caller.until(coughed.speechEndMs + coughJudgedMs);
      gathered.coughs += 1;
      const isCut = caller.interruptionFrom(coughed.speechStartMs) !== undefined;
      if (!isCut && reply.lastChunkAtMs > coughed.speechEndMs + survivedMs) gathered.coughsSurvived += 1;
    } else {
      await caller.until(reply.firstChunkAtMs + heardOutMs);
    }
    caller.type(enough);
    const closing = await answerFrom(caller.nowMs + 20, answerWaitMs);
    if (closing !== undefined) await endOf(closing, answerWaitMs);
  }
}

async function interrupt(
  caller: LeanCaller,
  trial: ReturnType<typeof pick>,
  reply: Reply,
  gathered: Gathered,
  answerFrom: (fromMs: number, timeoutMs: number) => Promise<Reply | undefined>,
  endOf: (reply: Reply, timeoutMs: number) => Promise<unknown>,
): Promise<void> {
  const said = caller.say(trial.phrase.clip, reply.firstChunkAtMs + trial.delayMs);
  await caller.until(said.speechStartMs);
  // It may be in a pause when it is interrupted, but it must be going on.
  const isOver = reply.isComplete || reply.lastChunkAtMs < said.speechStartMs - replyGapMs;
  const answer = await answerFrom(said.speechEndMs - earlyMs, said.speechEndMs - caller.nowMs + answerWaitMs);
  const untilMs = answer?.firstChunkAtMs ?? said.speechEndMs + answerWaitMs;
  if (!isOver) gathered.counted.push({ caller, reply, said, untilMs });
  await endOf(answer ?? reply, replyMaxMs);
}

/** What the engine's log says of an interruption that was counted. */
export function yieldingOf({ caller, reply, said, untilMs }: Counted, log: readonly LogLine[]): Yielding {
  const zero = caller.openedAtMonotonicMs;
  const onsetAtMs = zero + said.speechStartMs;
  const lastFrameAtMs = zero + reply.lastChunkAtMs;
  const { holdAtMs, verdictAtMs } = verdictsIn(log, onsetAtMs, zero + untilMs, lastFrameAtMs);
  return { onsetAtMs, holdAtMs, verdictAtMs, lastFrameAtMs };
}
