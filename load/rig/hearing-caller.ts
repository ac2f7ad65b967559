/** A caller of a load run with a whole ear: what the counting ones cannot know (what is audible, and until when) is measured on some calls by these. */
import type { Ms } from '../../src/shared/units.js';
import type { Beat } from '../beat.js';
import { Caller, type Closed, type ReceivedEvent, type Said } from '../caller.js';
import type { Clip } from '../clip.js';
import type { HeardReply } from '../ear.js';
import type { Party, Reply } from './party.js';

const interruptionsKept = 8;

export type HearingOptions = {
  readonly url: string;
  readonly agentId?: string;
  readonly beat: Beat;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: Ms;
};

export class HearingCaller implements Party {
  readonly #caller: Caller;
  readonly #notes: Notes;

  static async connect(options: HearingOptions): Promise<HearingCaller> {
    const notes = new Notes();
    const { url, agentId, beat, headers, timeoutMs } = options;
    const caller = await Caller.connect({
      url,
      beat,
      connectTimeoutMs: timeoutMs,
      keepsLanes: false,
      eventsMax: 0,
      onEvent: (event) => notes.take(event),
      ...(agentId === undefined ? {} : { agentId }),
      ...(headers === undefined ? {} : { headers }),
    });
    return new HearingCaller(caller, notes);
  }

  private constructor(caller: Caller, notes: Notes) {
    this.#caller = caller;
    this.#notes = notes;
  }

  get nowMs(): number {
    return this.#caller.nowMs;
  }

  get openedAtMonotonicMs(): number {
    return this.#caller.openedAtMonotonicMs;
  }

  get closed(): Closed | undefined {
    return this.#caller.closed;
  }

  get problems(): readonly string[] {
    return this.#caller.problems;
  }

  get staleCount(): number {
    return this.#caller.ear.stale.length;
  }

  say(clip: Clip, atMs: number): Said {
    return this.#caller.say(clip, atMs);
  }

  until(atMs: number): Promise<void> {
    return this.#caller.until(atMs);
  }

  waitFor<T>(look: () => T | undefined, timeoutMs: number): Promise<T | undefined> {
    return this.#caller.waitFor(look, timeoutMs);
  }

  replyFrom(afterMs: number): Reply | undefined {
    for (const reply of this.#caller.ear.replies.values())
      if (reply.onsetMs !== undefined && reply.onsetMs >= afterMs) return this.#notes.seen(reply);
    return undefined;
  }

  interruptionFrom(afterMs: number): number | undefined {
    return this.#notes.interruptions.find((atMs) => atMs >= afterMs);
  }

  lastAudibleMs({ eventId }: Reply): number | undefined {
    return this.#caller.ear.replies.get(eventId)?.lastAudibleMs;
  }

  pauseReading(durationMs: number): void {
    this.#caller.pauseReading(durationMs);
  }

  hangUp(): Promise<Closed> {
    return this.#caller.hangUp();
  }
}

/** What the events of a call said that an ear does not hear. */
class Notes {
  interruptions: number[] = [];
  #completeId = Number.NEGATIVE_INFINITY;

  take({ type, atMs, eventId, details }: ReceivedEvent): void {
    if (type === 'interruption') this.interruptions = [...this.interruptions.slice(1 - interruptionsKept), atMs];
    if (type === 'audio' && details['is_final'] === true && eventId !== undefined)
      this.#completeId = Math.max(this.#completeId, eventId);
  }

  /** A view of the ear's record, which goes on changing. */
  seen(reply: HeardReply): Reply {
    const notes = this;
    return {
      eventId: reply.eventId,
      firstChunkAtMs: reply.firstChunkAtMs,
      get lastChunkAtMs() {
        return reply.lastChunkAtMs;
      },
      onsetMs: reply.onsetMs,
      get isComplete() {
        return reply.eventId <= notes.#completeId;
      },
    };
  }
}
