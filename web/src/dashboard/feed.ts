/** Asks the engine for what happened since the last answer: once a second, and at once when the tab is looked at again. */
import type { SeriesAnswer } from '../../../src/telemetry/series-bucket.js';
import { messageOf, request } from '../api/http.js';
import { Store } from '../store.js';
import { SeriesLog } from './series-log.js';

const periodMs = 1000;
const afterFailureMs = 2000;

export type FeedState = {
  /** Grows with every answer that brought something. */
  readonly version: number;
  /** Empty: the last request was answered. */
  readonly problem: string;
  readonly providers: SeriesAnswer['providers'] | undefined;
  readonly sessionsMax: number;
};

export class Feed {
  readonly log = new SeriesLog();
  readonly store = new Store<FeedState>({ version: 0, problem: '', providers: undefined, sessionsMax: 0 });
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isAsking = false;
  #isOpen = false;
  readonly #onVisible = (): void => {
    if (document.visibilityState === 'visible') void this.#ask();
  };

  open(): void {
    this.#isOpen = true;
    document.addEventListener('visibilitychange', this.#onVisible);
    void this.#ask();
  }

  close(): void {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    document.removeEventListener('visibilitychange', this.#onVisible);
  }

  async #ask(): Promise<void> {
    // A tab that slept for long misses several answers' worth, and asks until it has them all.
    if (this.#isAsking || !this.#isOpen) return;
    this.#isAsking = true;
    clearTimeout(this.#timer);
    let waitMs = periodMs;
    try {
      for (let isMore = true; isMore; ) {
        const answer = await request<SeriesAnswer>(`/v1/parley/series?${this.log.query}`);
        isMore = this.log.take(answer);
        const { providers, sessions_max: sessionsMax } = answer;
        // Drawn when all of it is here.
        const version = this.store.state.version + (isMore ? 0 : 1);
        this.store.set({ version, problem: '', providers, sessionsMax });
      }
    } catch (error) {
      this.store.set({ problem: messageOf(error) });
      waitMs = afterFailureMs;
    }
    this.#isAsking = false;
    if (this.#isOpen) this.#timer = setTimeout(() => void this.#ask(), waitMs);
  }
}
