/**
 * The named instants of one turn, from the caller's last sample to the first frame of the answer, on the monotonic clock. Their order is
 * asserted where one causes the next; the differences go into the histograms. Conversation thread.
 */
import type { Recorder } from '../telemetry/recorder.js';

/** In the order in which they happen, but for `committed`, which may come at any time after `finalAnswered`. */
export const instants = [
  'speechEnd',
  'finalAsked',
  'finalAnswered',
  'committed',
  'llmAsked',
  'firstToken',
  'firstSegment',
  'firstChunk',
  'firstFrame',
] as const;
export type Instant = (typeof instants)[number];

/** [cause, effect]: an effect before its cause is a bug of ours. */
const causes: readonly (readonly [Instant, Instant])[] = [
  ['finalAsked', 'finalAnswered'],
  ['finalAnswered', 'llmAsked'],
  ['llmAsked', 'firstToken'],
  ['firstToken', 'firstSegment'],
  ['firstSegment', 'firstChunk'],
  ['firstChunk', 'firstFrame'],
  ['committed', 'firstFrame'],
];

/** Durations of one turn for its record, each from the instant before; ms, undefined when it did not happen. */
export type SpokenTimes = {
  readonly finalMs: number | undefined;
  readonly commitMs: number | undefined;
  readonly firstTokenMs: number | undefined;
  readonly firstSegmentMs: number | undefined;
  readonly firstChunkMs: number | undefined;
  /** From the caller's last sample. */
  readonly firstFrameMs: number | undefined;
};

/** Clocks are one, but instants are rounded on their way. */
const toleranceMs = 1;

export class TurnTimes {
  readonly turn: number;
  readonly #at = new Map<Instant, number>();
  /** When the turn became due by its endpoint delay. */
  dueAtMs = 0;
  /** When it was known that the caller pauses; nothing is asked of the model before. */
  pauseAtMs = 0;
  /** Input clock: end of the audio that showed it. */
  pauseThroughMs = 0;
  /** Input clock: end of the audio that the final transcript covers, 0 when there was none. */
  finalThroughMs = 0;

  constructor(turn: number) {
    this.turn = turn;
  }

  mark(instant: Instant, atMs: number): void {
    if (atMs > 0) this.#at.set(instant, atMs);
  }

  get(instant: Instant): number | undefined {
    return this.#at.get(instant);
  }

  /** Every instant that is known, by its name on the wire. */
  named(): (readonly [string, number])[] {
    return [...this.#at].map(([instant, atMs]) => [instant.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), atMs]);
  }

  /** Every instant, monotonic ms, as fields of a log line. */
  fields(): Record<string, number> {
    return Object.fromEntries([...this.#at].map(([instant, atMs]) => [`${instant}_at_ms`, Math.round(atMs * 1000) / 1000]));
  }

  /** The first pair that is in the wrong order, as text, or undefined. */
  disorder(): string | undefined {
    for (const [cause, effect] of causes) {
      const first = this.#at.get(cause);
      const second = this.#at.get(effect);
      if (first !== undefined && second !== undefined && second < first - toleranceMs) {
        return `${effect} came ${(first - second).toFixed(1)} ms before ${cause}`;
      }
    }
    return undefined;
  }

  spoken(): SpokenTimes {
    const between = (from: Instant, to: Instant): number | undefined => {
      const [start, end] = [this.#at.get(from), this.#at.get(to)];
      return start === undefined || end === undefined ? undefined : end - start;
    };
    return {
      finalMs: between('speechEnd', 'finalAnswered'),
      commitMs: between('speechEnd', 'committed'),
      firstTokenMs: between('llmAsked', 'firstToken'),
      firstSegmentMs: between('llmAsked', 'firstSegment'),
      firstChunkMs: between('firstSegment', 'firstChunk'),
      firstFrameMs: between('speechEnd', 'firstFrame'),
    };
  }

  /** Records the stages that happened. */
  record(recorder: Recorder): void {
    const at = (instant: Instant): number => this.#at.get(instant) ?? Number.NaN;
    const put = (stage: Parameters<Recorder['record']>[0], value: number): void => {
      if (!Number.isNaN(value)) recorder.record(stage, value);
    };
    put('speech_end_to_final', at('finalAnswered') - at('speechEnd'));
    put('speech_end_to_commit', at('committed') - at('speechEnd'));
    put('commit_to_first_token', Math.max(0, at('firstToken') - at('committed')));
    put('first_token_to_first_segment', at('firstSegment') - at('firstToken'));
    put('first_segment_to_first_chunk', at('firstChunk') - at('firstSegment'));
    put('first_chunk_to_first_frame_sent', at('firstFrame') - Math.max(at('firstChunk'), at('committed')));
    put('speech_end_to_first_frame_sent', at('firstFrame') - at('speechEnd'));
    put('endpoint_lateness', this.latenessMs());
    put('engine_overhead', this.overheadMs());
    const disorder = this.disorder();
    if (disorder !== undefined) recorder.count('parley_timeline_disorder_total');
  }

  /**
   * What the engine itself added on the way: between the final transcript (or what the question to the model had to wait for after it:
   * the word that the caller pauses, the commit) and that question, and between the first chunk (or the commit, if later) and the first
   * frame. Endpointing and the providers' own time are not in it.
   */
  overheadMs(): number {
    const at = (instant: Instant): number => this.#at.get(instant) ?? Number.NaN;
    const asked = at('llmAsked');
    const isAskedAtCommit = asked >= at('committed');
    const request = Math.max(0, asked - Math.max(at('finalAnswered'), this.pauseAtMs, isAskedAtCommit ? at('committed') : 0));
    return request + at('firstFrame') - Math.max(at('firstChunk'), at('committed'));
  }

  /** From the end of the endpoint delay, or the final transcript if that came later, to the commit; NaN when nothing was committed. */
  latenessMs(): number {
    const at = (instant: Instant): number => this.#at.get(instant) ?? Number.NaN;
    return Math.max(0, at('committed') - Math.max(this.dueAtMs, at('finalAnswered')));
  }
}
