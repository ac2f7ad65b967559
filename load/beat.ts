/**
 * The one timer of all callers in a process. Every member has its own absolute schedule (due = first + n · 20 ms), so a late wake-up never
 * shifts what comes after it, and members that joined at different times stay spread over the 20 ms instead of sending all at once.
 */
import { build, type Histogram } from 'hdr-histogram-js';
import { systemTimers, type Timers } from '../src/shared/timers.js';
import { type Ms, ms } from '../src/shared/units.js';

export const framePeriodMs = ms(20);

/** Called once for every due instant, in order, never early; after a stall the missed ones follow each other at once. */
type OnDue = (dueAtMs: Ms) => void;
type Member = { dueAtMs: Ms; readonly onDue: OnDue };

export class Beat {
  /** How late each due instant was, in microseconds: what a load generator must show before its other figures mean anything. */
  readonly latenessUs: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3,
  });
  readonly #timers: Timers;
  readonly #members = new Set<Member>();
  #cancelTimer: (() => void) | undefined;

  constructor(timers: Timers = systemTimers) {
    this.#timers = timers;
  }

  get nowMs(): Ms {
    return this.#timers.nowMs();
  }

  /** Due first at `firstDueAtMs` and then every 20 ms, until the returned function is called. The timer runs while there is a member. */
  join(firstDueAtMs: Ms, onDue: OnDue): () => void {
    const member: Member = { dueAtMs: firstDueAtMs, onDue };
    this.#members.add(member);
    this.#arm();
    return () => {
      this.#members.delete(member);
      if (this.#members.size === 0) this.#disarm();
    };
  }

  readonly #run = (): void => {
    this.#cancelTimer = undefined;
    const startedAtMs = this.nowMs;
    for (const member of this.#members) {
      // A member that joined during this round may be due later than the others; one that left is no longer in the set.
      while (member.dueAtMs <= startedAtMs && this.#members.has(member)) {
        const dueAtMs = member.dueAtMs;
        this.latenessUs.recordValue(Math.round((this.nowMs - dueAtMs) * 1000));
        member.dueAtMs = ms(dueAtMs + framePeriodMs);
        member.onDue(dueAtMs);
      }
    }
    this.#arm();
  };

  /** Sets the timer for whoever is due first. */
  #arm(): void {
    this.#disarm();
    if (this.#members.size === 0) return;
    let firstDueAtMs = Number.POSITIVE_INFINITY;
    for (const member of this.#members) firstDueAtMs = Math.min(firstDueAtMs, member.dueAtMs);
    this.#cancelTimer = this.#timers.after(ms(Math.max(0, firstDueAtMs - this.nowMs)), this.#run);
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
