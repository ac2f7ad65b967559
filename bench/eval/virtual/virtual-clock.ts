/**
 * Time that stands still until it is moved: timers, clocks and random numbers of the process are replaced while it is installed, and so are
 * the ids that are drawn. Immediates, ticks and microtasks stay real, so that streams and promises work as ever between two instants.
 */
import { strict as assert } from 'node:assert';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { type Clock, install } from '@sinonjs/fake-timers';
import { randomOf } from '../../../load/providers/seeded.js';

const faked = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'hrtime', 'performance'] as const;
/** The day of every run. */
const epochMs = Date.UTC(2025, 0, 1, 9);
/** The monotonic clock at the beginning: code may take 0 for "never". */
const originMs = 1_000_000;
/** Turns of the event loop that one instant may take. */
const turnsMax = 100_000;
/** Timers that one instant may fire. */
const timersMax = 100_000;

type Originals = {
  readonly random: typeof Math.random;
  readonly randomBytes: typeof crypto.randomBytes;
  readonly randomUUID: typeof crypto.randomUUID;
};

export class VirtualClock {
  static #isInstalled = false;
  readonly #clock: Clock;
  readonly #originals: Originals;

  /** `seed`: of what is drawn from now on. One at a time. */
  constructor(seed: number) {
    assert(!VirtualClock.#isInstalled, 'one virtual clock at a time');
    VirtualClock.#isInstalled = true;
    this.#clock = install({ now: epochMs, toFake: [...faked] });
    this.#clock.tick(originMs);
    roundDelays();
    this.#originals = { random: Math.random, randomBytes: crypto.randomBytes, randomUUID: crypto.randomUUID };
    drawFrom(seed);
  }

  /** Monotonic, as `src/shared/clock.ts` reads it while this is installed; whole milliseconds. */
  get nowMs(): number {
    return originMs + this.#clock.now - (epochMs + originMs);
  }

  /** Fires what is due before and at `atMs`, each timer by itself and with everything that follows from it. */
  async advanceTo(atMs: number): Promise<void> {
    assert(Number.isInteger(atMs) && atMs >= this.nowMs, 'time goes on in whole milliseconds');
    const target = this.#clock.now + atMs - this.nowMs;
    let [instant, fired] = [0, 0];
    for (;;) {
      await this.#rest();
      const next = this.#clock.timerHeap?.peek()?.callAt;
      if (next === undefined || next > target) break;
      fired = next === instant ? fired + 1 : 1;
      instant = next;
      assert(fired <= timersMax, 'an instant comes to its end');
      this.#clock.next();
    }
    this.#clock.tick(target - this.#clock.now);
  }

  /** Puts the real clock back. Returns how many timers were left; they never fire. */
  uninstall(): number {
    const left = this.#clock.timerHeap?.timers.length ?? 0;
    this.#clock.uninstall();
    Math.random = this.#originals.random;
    crypto.randomBytes = this.#originals.randomBytes;
    crypto.randomUUID = this.#originals.randomUUID;
    syncBuiltinESMExports();
    VirtualClock.#isInstalled = false;
    return left;
  }

  /** Turns the event loop until nothing waits for its next turn. */
  async #rest(): Promise<void> {
    for (let turns = 0; turns < turnsMax; turns += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      if (!process.getActiveResourcesInfo().includes('Immediate')) return;
    }
    throw new Error('the event loop does not come to rest');
  }
}

/** As Node does it: not before the time, and not before a millisecond. The library cuts fractions off. */
function roundDelays(): void {
  const { setTimeout: after, setInterval: every } = globalThis;
  const rounded = (delayMs: number | undefined): number => Math.max(1, Math.ceil(delayMs ?? 1));
  const delayed: typeof setTimeout = Object.assign(
    (run: () => void, delayMs?: number, ...given: []) => after(run, rounded(delayMs), ...given),
    { __promisify__: after.__promisify__ },
  );
  const repeated = ((run: () => void, delayMs?: number, ...given: []) =>
    every(run, rounded(delayMs), ...given)) as typeof setInterval;
  globalThis.setTimeout = delayed;
  globalThis.setInterval = repeated;
}

function drawFrom(seed: number): void {
  const random = randomOf(seed, 'engine');
  const bytes = randomOf(seed, 'ids');
  Math.random = random;
  const drawn = (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => Math.floor(bytes() * 256)));
  crypto.randomBytes = Object.assign(drawn, { __promisify__: undefined }) as unknown as typeof crypto.randomBytes;
  crypto.randomUUID = () => {
    const hex = drawn(16).toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
  };
  syncBuiltinESMExports();
}
