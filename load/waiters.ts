/** What a caller waits for: questions that are asked again whenever something may have changed. Any thread of a load generator. */

/** Where the call is now. */
type Moment = { readonly nowMs: number; readonly isOver: boolean };
type Waiter = { readonly deadlineMs: number; readonly look: (isLast: boolean) => boolean };

export class Waiters {
  readonly #moment: () => Moment;
  readonly #waiting = new Set<Waiter>();

  constructor(moment: () => Moment) {
    this.#moment = moment;
  }

  /** The first answer of `look` that is not undefined. Undefined when `timeoutMs` have passed or the call is over. */
  waitFor<T>(look: () => T | undefined, timeoutMs: number): Promise<T | undefined> {
    const { nowMs, isOver } = this.#moment();
    return new Promise((resolve) => {
      const waiter: Waiter = {
        deadlineMs: nowMs + timeoutMs,
        look: (isLast) => {
          const answer = look();
          if (answer === undefined && !isLast) return false;
          this.#waiting.delete(waiter);
          resolve(answer);
          return true;
        },
      };
      if (!waiter.look(isOver)) this.#waiting.add(waiter);
    });
  }

  ask(): void {
    if (this.#waiting.size === 0) return;
    const { nowMs, isOver } = this.#moment();
    for (const waiter of this.#waiting) waiter.look(isOver || nowMs >= waiter.deadlineMs);
  }
}
