/** How often server-side tools ran and how long they took, by name, since the start of the thread. API thread. */

/** Names beyond this are not counted. */
const namesMax = 10_000;

export class ToolUsage {
  readonly #byName = new Map<string, { calls: number; totalMs: number }>();

  add(name: string, elapsedMs: number): void {
    const usage = this.#byName.get(name);
    if (usage !== undefined) {
      usage.calls += 1;
      usage.totalMs += elapsedMs;
    } else if (this.#byName.size < namesMax) {
      this.#byName.set(name, { calls: 1, totalMs: elapsedMs });
    }
  }

  of(name: string): { readonly total_calls: number; readonly avg_latency_secs: number } {
    const { calls, totalMs } = this.#byName.get(name) ?? { calls: 0, totalMs: 0 };
    return { total_calls: calls, avg_latency_secs: calls === 0 ? 0 : Math.round(totalMs / calls) / 1000 };
  }
}
