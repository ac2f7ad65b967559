/**
 * A process of callers, started by `crew.ts`: makes its share of the planned calls, each at its instant, and tells what was measured interval by
 * interval. One thread, one timer for all microphones.
 */
import { nowMs } from '../../src/shared/clock.js';
import { EngineError } from '../../src/shared/errors.js';
import { ms } from '../../src/shared/units.js';
import type { AudioFormat } from '../../src/wire/events.js';
import { Beat } from '../beat.js';
import { randomOf } from '../providers/seeded.js';
import { Behaviour, newTally } from './behaviour.js';
import type { PlannedCall } from './call-plan.js';
import type { CrewStart, FromCrew, ToCrew } from './crew-messages.js';
import { goFirst } from './go-first.js';
import { HearingCaller } from './hearing-caller.js';
import { LeanCaller } from './lean-caller.js';
import type { Party } from './party.js';
import { PreparedAudio } from './prepared-audio.js';
import { encode, Stages } from './stages.js';

const tickMs = 1000;
const connectTimeoutMs = ms(10_000);
/** Different reasons that are told apart; more are counted together. */
const failureKindsMax = 50;

class Callers {
  readonly #start: CrewStart;
  readonly #beat = new Beat();
  readonly #stages = new Stages();
  readonly #tally = newTally();
  readonly #failures = new Map<string, number>();
  readonly #prepared = new Map<AudioFormat, PreparedAudio>();
  readonly #live = new Set<Party>();
  /** Calls to come: their timers, and what ends the wait for them. */
  readonly #waiting = new Map<NodeJS.Timeout, () => void>();
  #startedAtMs = 0;
  #isStopping = false;
  #latenessMaxUs = 0;

  constructor(start: CrewStart) {
    this.#start = start;
    // Made now, so that no call waits for it.
    const audio = this.#audioOf('pcm_16000');
    for (const clip of Object.values(start.speech).flat()) audio.framesOf(clip);
  }

  /** Resolves when every planned call is over. */
  async run(startedAtMs: number): Promise<void> {
    this.#startedAtMs = startedAtMs;
    const { calls, intervalMs } = this.#start;
    let index = 0;
    const interval = this.#every(intervalMs, () => {
      this.#tellInterval(index);
      index += 1;
    });
    const tick = this.#every(tickMs, () => this.#tellTick());
    await Promise.all(calls.map((call) => this.#callAt(call)));
    interval();
    tick();
    this.#tellInterval(index);
    this.#tellTick();
  }

  done(): void {
    tell({ type: 'done', tally: this.#tally, failures: Object.fromEntries(this.#failures) });
  }

  stop(): void {
    this.#isStopping = true;
    for (const [timer, resolve] of this.#waiting) {
      clearTimeout(timer);
      resolve();
    }
    this.#waiting.clear();
    for (const party of this.#live) void party.hangUp();
  }

  #audioOf(format: AudioFormat): PreparedAudio {
    const known = this.#prepared.get(format);
    if (known !== undefined) return known;
    const prepared = new PreparedAudio(format);
    this.#prepared.set(format, prepared);
    return prepared;
  }

  /** On the absolute schedule of the run, so that the intervals of all processes are the same. */
  #every(periodMs: number, run: () => void): () => void {
    let dueAtMs = this.#startedAtMs + periodMs;
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      timer = setTimeout(
        () => {
          dueAtMs += periodMs;
          run();
          arm();
        },
        Math.max(0, dueAtMs - nowMs()),
      );
    };
    arm();
    return () => clearTimeout(timer);
  }

  #tellInterval(index: number): void {
    const { latenessUs } = this.#beat;
    const stages: Record<string, string> = { ...this.#stages.take() };
    if (latenessUs.totalCount > 0) {
      this.#latenessMaxUs = Math.max(this.#latenessMaxUs, latenessUs.maxValue);
      stages['generator_lateness'] = encode(latenessUs);
      latenessUs.reset();
    }
    tell({ type: 'interval', index, stages });
  }

  #tellTick(): void {
    const { user, system } = process.cpuUsage();
    const latenessMaxMs = Math.max(this.#latenessMaxUs, this.#beat.latenessUs.maxValue) / 1000;
    tell({ type: 'tick', live: this.#live.size, tally: this.#tally, cpuMs: (user + system) / 1000, latenessMaxMs });
  }

  #callAt(call: PlannedCall): Promise<void> {
    const dueAtMs = this.#startedAtMs + call.startMs;
    return new Promise((resolve) => {
      const timer = setTimeout(
        () => {
          this.#waiting.delete(timer);
          this.#call(call, dueAtMs)
            .catch((error: unknown) => this.#failed(error instanceof Error ? error.message : String(error)))
            .finally(resolve);
        },
        Math.max(0, dueAtMs - nowMs()),
      );
      this.#waiting.set(timer, resolve);
    });
  }

  async #call(call: PlannedCall, dueAtMs: number): Promise<void> {
    const { speech, seed } = this.#start;
    this.#tally.callsStarted += 1;
    let party: Party;
    try {
      party = await this.#connect(call);
    } catch (error) {
      // A caller that got nowhere waited, too.
      this.#stages.record('connect', nowMs() - dueAtMs);
      this.#failed(reasonOf(error));
      return;
    }
    this.#stages.record('connect', nowMs() - dueAtMs);
    this.#live.add(party);
    const random = randomOf(seed, 'call', call.seat, call.ordinal);
    const endMs = this.#startedAtMs + call.endMs - party.openedAtMonotonicMs;
    await new Behaviour(party, speech, random, this.#stages, this.#tally).converse(endMs);
    if (party.closed !== undefined && !this.#isStopping) {
      this.#failed(`the server closed: ${party.closed.code} ${party.closed.reason}`);
    } else {
      const hungUpAtMs = party.nowMs;
      const { atMs } = await party.hangUp();
      this.#stages.record('close', atMs - hungUpAtMs);
      this.#tally.callsEnded += 1;
    }
    this.#live.delete(party);
    this.#tally.staleFrames += party.staleCount;
    this.#tally.problems += party.problems.length;
    for (const problem of party.problems) this.#note(`protocol: ${problem.replace(/^\d+ ms: /, '').replace(/\d+/g, 'n')}`);
  }

  #connect(call: PlannedCall): Promise<Party> {
    const { url, agentId, headers } = this.#start;
    const options = {
      url,
      beat: this.#beat,
      timeoutMs: connectTimeoutMs,
      ...(agentId === undefined ? {} : { agentId }),
      ...(headers === undefined ? {} : { headers }),
    };
    if (call.isHeard) return HearingCaller.connect(options);
    return LeanCaller.connect({ ...options, stages: this.#stages, audio: (format) => this.#audioOf(format) });
  }

  #failed(reason: string): void {
    this.#tally.callsFailed += 1;
    this.#note(reason);
  }

  #note(reason: string): void {
    const key = this.#failures.has(reason) || this.#failures.size < failureKindsMax ? reason : 'other';
    this.#failures.set(key, (this.#failures.get(key) ?? 0) + 1);
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof EngineError) return error.message.replace(/[\w.]+:\d{2,5}/g, '…');
  return error instanceof Error ? error.message : String(error);
}

function tell(message: FromCrew): void {
  process.send?.(message);
}

goFirst();
let callers: Callers | undefined;
process.on('message', (message: ToCrew) => {
  if (message.type === 'start') {
    callers = new Callers(message);
    tell({ type: 'ready' });
  }
  // The leader ends this process when it has the last figures.
  if (message.type === 'go') void callers?.run(message.atMonotonicMs).then(() => callers?.done());
  if (message.type === 'stop') callers?.stop();
});
// Whoever leads the run is gone: nobody would take the figures.
process.on('disconnect', () => process.exit());
