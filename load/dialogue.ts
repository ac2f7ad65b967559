/**
 * A call as a script: hear the agent's first message out, say a clip, hear the answer out, say the next; or interrupt the answer with the next
 * clip, or cough into it. Says what was done and which reply answered what; the figures come from `timeline.ts`. Evented; runs on the caller's beat.
 */
import type { Caller, Said } from './caller.js';
import type { Clip } from './clip.js';
import type { HeardReply } from './ear.js';

/** Nothing audible for this long, and nothing queued: the agent has finished. Longer than it may hold back to find out what a noise was. */
const quietMs = 1000;
/** How long an agent may take to open the conversation before we do. */
const firstMessageWaitMs = 5000;
/** A breath between the end of what we heard and our own first sample. */
const pauseMs = 300;
/** An onset this much before our last word ends still answers what we said. */
const earlyMs = 250;
/** No reply is heard for longer than this. */
const replyMaxMs = 120_000;

export type DialogueOptions = {
  /** Longest wait for an answer after the end of our speech. */
  readonly waitMs: number;
  /** Say the next clip this long after the onset of a reply, instead of hearing it out. */
  readonly bargeInAtMs?: number;
  /** Into each answer, this long after its onset. */
  readonly cough?: { readonly clip: Clip; readonly atMs: number };
  /** Told of each clip when it is scheduled. */
  readonly onSay?: (said: Said, kind: 'speech' | 'cough') => void;
};

export type Turn = {
  readonly said: Said;
  /** The reply that this clip was to interrupt. */
  readonly interrupts: HeardReply | undefined;
  answer: HeardReply | undefined;
  cough: Said | undefined;
};

export type Dialogue = { readonly firstMessage: HeardReply | undefined; readonly turns: readonly Turn[] };

/** Ends early when the connection does; does not hang up. */
export async function holdDialogue(caller: Caller, clips: readonly Clip[], options: DialogueOptions): Promise<Dialogue> {
  const turns: Turn[] = [];
  const firstMessage = await caller.onset(0, firstMessageWaitMs);
  let reply = firstMessage;
  for (const clip of clips) {
    if (caller.closed !== undefined) break;
    // The greeting is heard out, unless there is only one clip and so nothing else to interrupt.
    const interrupts = options.bargeInAtMs !== undefined && (turns.length > 0 || clips.length === 1) ? reply : undefined;
    if (reply !== undefined && interrupts === undefined) await caller.endOf(reply, quietMs, replyMaxMs);
    const startMs = interrupts === undefined ? caller.nowMs + pauseMs : interrupts.onsetMs! + options.bargeInAtMs!;
    const said = caller.say(clip, startMs);
    options.onSay?.(said, 'speech');
    const turn: Turn = { said, interrupts, answer: undefined, cough: undefined };
    turns.push(turn);
    turn.answer = await answerTo(caller, said, options.waitMs);
    if (options.cough !== undefined && turn.answer !== undefined) {
      turn.cough = caller.say(options.cough.clip, turn.answer.onsetMs! + options.cough.atMs);
      options.onSay?.(turn.cough, 'cough');
    }
    reply = turn.answer;
  }
  if (reply !== undefined) await caller.endOf(reply, quietMs, replyMaxMs);
  return { firstMessage, turns };
}

/**
 * The first reply that begins when `said` ends or later; or one that cut in before, when it went on after the end and is over now. What the
 * agent says again, or by itself ("Are you still there?"), answers nothing: a transcript of our words comes before an answer, unless the
 * server sends none at all.
 */
async function answerTo(caller: Caller, said: Said, waitMs: number): Promise<HeardReply | undefined> {
  const remainingMs = Math.max(0, said.speechEndMs - caller.nowMs) + waitMs;
  const look = (mustBeAsked: boolean): HeardReply | undefined => {
    const heard = [...caller.ear.replies.values()].filter(
      (reply) =>
        reply.onsetMs !== undefined && reply.onsetMs >= said.speechStartMs && (!mustBeAsked || isAsked(caller, reply, said)),
    );
    const answer = heard.find(({ onsetMs }) => !isCutIn(onsetMs!, said));
    const cutIn = heard.find(
      ({ lastAudibleMs }) => lastAudibleMs! > said.speechEndMs && caller.nowMs - lastAudibleMs! >= quietMs,
    );
    return answer ?? cutIn;
  };
  const answer = await caller.waitFor(() => look(true), remainingMs);
  const hasTranscripts = caller.events.some(({ type }) => type === 'user_transcript');
  return answer ?? (hasTranscripts ? undefined : look(false));
}

/** The agent has said what it understood of `said`, and then this. */
function isAsked({ events }: Caller, { eventId }: HeardReply, said: Said): boolean {
  return events.some(
    (event) => event.type === 'user_transcript' && event.atMs >= said.speechStartMs && (event.eventId ?? eventId) < eventId,
  );
}

/** Whether an agent that begins at `onsetMs` cuts `said` short. The voice's end counts: the label may lie after a breath or a click. */
export function isCutIn(onsetMs: number, said: Said): boolean {
  return onsetMs >= said.speechStartMs && onsetMs < said.voiceEndMs - earlyMs;
}
