/** Several recognisers as one: each request goes to the best of those that are well, and to the next when it fails. STT thread. */
import { Deadline } from '../shared/deadline.js';
import { EngineError, problemOf } from '../shared/errors.js';
import type { Candidates } from '../shared/failover.js';
import { systemTimers, type Timers } from '../shared/timers.js';
import { type Ms, ms } from '../shared/units.js';
import type { Recognition, SttSettings, TranscribeRequest, Transcriber } from './port.js';

/** One that has another behind it has this long: both must fit into the time a final has. */
const patienceMs = ms(1400);

export class FailoverTranscriber implements Transcriber {
  readonly name: string;
  readonly #candidates: Candidates<Transcriber>;
  readonly #timers: Timers;
  readonly #patienceMs: Ms;

  constructor(candidates: Candidates<Transcriber>, timers: Timers = systemTimers, patience: Ms = patienceMs) {
    this.#candidates = candidates;
    this.#timers = timers;
    this.#patienceMs = patience;
    this.name = candidates.all.map(({ name }) => name).join(', then ');
  }

  /** All of them: the embedded one loads its model. Fails when the first choice does. */
  async warm(settings: SttSettings): Promise<void> {
    const [first] = await Promise.allSettled(this.#candidates.all.map(({ provider }) => provider.warm(settings)));
    if (first?.status === 'rejected') throw first.reason;
  }

  async transcribe(request: TranscribeRequest): Promise<Recognition> {
    const candidates = this.#candidates.inOrder();
    // The second would come too late for the caller's own.
    const audio = candidates.length > 1 ? request.audio.slice() : request.audio;
    let failure: unknown = new EngineError('config', 'no recogniser is configured');
    for (const [index, candidate] of candidates.entries()) {
      if (!candidate.isFirstChoice) this.#candidates.countFallback(candidate);
      const deadline = new Deadline(this.#timers, request.signal);
      if (index < candidates.length - 1) deadline.arm(this.#patienceMs);
      try {
        const recognition = await candidate.provider.transcribe({ ...request, audio, signal: deadline.signal });
        this.#candidates.succeeded(candidate);
        return recognition;
      } catch (error) {
        if (request.signal.aborted) throw error;
        failure = deadline.expired ? new EngineError('timeout', `${candidate.name} did not answer in time`) : error;
        const { kind, retryAfterMs } = problemOf(failure);
        this.#candidates.failed(candidate, kind, retryAfterMs);
      } finally {
        deadline.clear();
      }
    }
    throw failure;
  }

  async close(): Promise<void> {
    await Promise.all(this.#candidates.all.map(({ provider }) => provider.close()));
  }
}
