/** Work that must not overtake other work of the same key. Any thread. */

export class Turns {
  /** The last work of each key that has some. */
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` when the work of this key that was handed over before has ended, well or not. */
  async run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
