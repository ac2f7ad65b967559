/**
 * Whether the node has more than it can serve well: new calls are refused before those that are going on suffer. Pure apart from what it
 * remembers; main thread.
 */

export type PressureRule = {
  /**
   * One look in twenty at the event loop (p95 of a second, so that a single pause says nothing) may be later than this; more than that for
   * `badSeconds` in a row closes the door. 0: the door never closes for lateness.
   */
  readonly loopDelayMaxMs: number;
  readonly badSeconds: number;
  /** So many good seconds in a row open it again. */
  readonly goodSeconds: number;
  /** One delay of the loop that is longer than this closes it at once. */
  readonly stallMaxMs: number;
  /** Share of the calls that may wait for the detector when somebody looks. */
  readonly waitingShareMax: number;
  /** Resident memory by the limit of the process. */
  readonly memoryRatioMax: number;
};

export const pressureDefaults: Omit<PressureRule, 'loopDelayMaxMs'> = {
  badSeconds: 5,
  goodSeconds: 2,
  stallMaxMs: 500,
  waitingShareMax: 0.25,
  memoryRatioMax: 0.85,
};

export type PressureReason = 'loop' | 'stall' | 'detector' | 'memory';
const reasons = ['loop', 'stall', 'detector', 'memory'] as const satisfies readonly PressureReason[];

/** What happened in one second. */
export type SecondFacts = {
  readonly calls: number;
  /** Of the calls: those with more than three hops that the detector has not judged. */
  readonly waitingShare: number;
  /** 0 when the process has no limit. */
  readonly memoryRatio: number;
};

type Streak = { bad: number; good: number; isClosed: boolean };

export class Pressure {
  readonly #rule: PressureRule;
  readonly #streaks = new Map<PressureReason, Streak>(reasons.map((reason) => [reason, { bad: 0, good: 0, isClosed: false }]));
  #delaysMs: number[] = [];
  #hadCalls = false;

  constructor(rule: PressureRule) {
    this.#rule = rule;
  }

  /** Why no new call is taken; undefined: they are. */
  get reason(): PressureReason | undefined {
    return reasons.find((reason) => this.#streaks.get(reason)!.isClosed);
  }

  /** How late the loop was just now. */
  loopDelay(delayMs: number): void {
    if (this.#rule.loopDelayMaxMs === 0) return;
    this.#delaysMs.push(delayMs);
    // A node without calls has nobody to protect; its own start is the longest stall of its life.
    if (delayMs > this.#rule.stallMaxMs && this.#hadCalls) this.#note('stall', true, 1);
  }

  /** Called once a second. */
  second({ calls, waitingShare, memoryRatio }: SecondFacts): void {
    const { loopDelayMaxMs, badSeconds, stallMaxMs, waitingShareMax, memoryRatioMax } = this.#rule;
    const delaysMs = this.#delaysMs.sort((left, right) => left - right);
    const p95Ms = delaysMs[Math.min(delaysMs.length - 1, Math.floor(delaysMs.length * 0.95))] ?? 0;
    this.#delaysMs = [];
    this.#hadCalls = calls > 0;
    const isTimely = loopDelayMaxMs === 0 || calls === 0;
    this.#note('loop', !isTimely && p95Ms > loopDelayMaxMs, badSeconds);
    if (isTimely || (delaysMs.at(-1) ?? 0) <= stallMaxMs) this.#note('stall', false, 1);
    this.#note('detector', !isTimely && waitingShare > waitingShareMax, badSeconds);
    this.#note('memory', memoryRatio > memoryRatioMax, 1);
  }

  #note(reason: PressureReason, isBad: boolean, badMin: number): void {
    const streak = this.#streaks.get(reason)!;
    streak.bad = isBad ? streak.bad + 1 : 0;
    streak.good = isBad ? 0 : streak.good + 1;
    if (streak.bad >= badMin) streak.isClosed = true;
    if (streak.good >= this.#rule.goodSeconds) streak.isClosed = false;
  }
}

/** Share of the process's memory limit that is in use; 0 when it has none of its own. */
export function memoryRatio(totalBytes: number): number {
  const limit = process.constrainedMemory?.() ?? 0;
  return limit > 0 && limit < totalBytes ? process.memoryUsage.rss() / limit : 0;
}
