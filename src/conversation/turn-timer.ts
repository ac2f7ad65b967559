/** When the turn machine next wants to be told the time. One a session, asked a hundred times a second. Conversation thread. */
import { nextDeadlineMs } from '../turn/machine.js';
import type { TurnSettings } from '../turn/settings.js';
import type { TurnState } from '../turn/state.js';

/** What an answer was worked out from, and the answer. */
type Known = {
  readonly state: TurnState;
  readonly settings: TurnSettings;
  readonly servedMs: number;
  readonly nextMs: number | undefined;
};

export class TurnTimer {
  /** An instant at which the time was told without anything coming of it; those up to it are not due again until an event comes. */
  #servedMs = -1;
  #known: Known | undefined;

  /**
   * On the input clock; undefined while only events can change anything. The machine never changes a state in place, so what was worked out for one
   * holds as long as it lasts.
   */
  nextMs(state: TurnState, settings: TurnSettings): number | undefined {
    const known = this.#known;
    if (known?.state === state && known.settings === settings && known.servedMs === this.#servedMs) return known.nextMs;
    const nextMs = nextDeadlineMs(state, settings, this.#servedMs);
    this.#known = { state, settings, servedMs: this.#servedMs, nextMs };
    return nextMs;
  }

  /** The time was told at `dueMs`. Whatever was due until then has been looked at; what the machine names next lies later, or is new. */
  served(dueMs: number, state: TurnState, settings: TurnSettings): void {
    if (this.nextMs(state, settings) === dueMs) this.#servedMs = dueMs;
  }

  /** Something other than the time was told. */
  forget(): void {
    this.#servedMs = -1;
  }
}
