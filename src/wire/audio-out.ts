/**
 * Reply audio as `audio` events, fifty a second and session, written as bytes into one buffer that is used again. Main thread, one writer for
 * all its sessions.
 */
import { strict as assert } from 'node:assert';

/** When each character of a chunk sounds, relative to the start of that chunk. The three arrays have one length. */
export type ChunkAlignment = {
  readonly chars: readonly string[];
  readonly startMs: readonly number[];
  readonly durationMs: readonly number[];
};

const head = '{"type":"audio","audio_event":{"audio_base_64":"';
const tailBytesMax = 64; // event id, is_final, brackets
/** Clients take any length; the protocol page asks to keep audio messages below 64 KiB. */
const messageBytesMax = 64 * 1024;

const wholeMs = (value: number): number => Math.max(0, Math.round(value));

/** The protocol's alignment object as JSON text: whole milliseconds, none negative. */
export function alignmentJson(alignment: ChunkAlignment): string {
  const { chars, startMs, durationMs } = alignment;
  assert(chars.length === startMs.length && chars.length === durationMs.length, 'alignment arrays have one length');
  return JSON.stringify({ chars, char_start_times_ms: startMs.map(wholeMs), char_durations_ms: durationMs.map(wholeMs) });
}

export class AudioMessageWriter {
  readonly #buffer = Buffer.alloc(messageBytesMax);

  constructor() {
    this.#buffer.write(head, 0, 'latin1');
  }

  /**
   * One `audio` event as UTF-8. The view returned is valid until the next call: hand it to a socket that copies.
   * `payload`: whole samples in the session's output format, at least one; it may lie in shared memory.
   * `alignment`: arrays, or the JSON text of `alignmentJson` as bytes (empty: none), which is how it comes out of the output ring.
   *
   * 0.5 µs for a kilobyte, where JSON.stringify and the conversion to UTF-8 take 3.2 (`bench/wire.ts`). A string put together by hand is made
   * faster, but then the socket library has to turn it into bytes, which costs more than the difference.
   */
  write(payload: Uint8Array, eventId: number, alignment?: ChunkAlignment | Uint8Array, isFinal = false): Uint8Array {
    assert(payload.length > 0, 'an empty audio event would leave browsers in mode speaking');
    assert(Number.isSafeInteger(eventId), 'event ids are integers');
    const audio = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    const times = alignment === undefined || alignment instanceof Uint8Array ? alignment : Buffer.from(alignmentJson(alignment));
    const timesBytes = times?.length ?? 0;
    assert(
      head.length + Math.ceil(payload.length / 3) * 4 + timesBytes + tailBytesMax <= messageBytesMax,
      'an audio message stays below 64 KiB',
    );
    const buffer = this.#buffer;
    let at = head.length;
    at += buffer.write(audio.toString('base64'), at, 'latin1');
    at += buffer.write(`","event_id":${eventId}`, at, 'latin1');
    if (times !== undefined && timesBytes > 0) {
      at += buffer.write(',"alignment":', at, 'latin1');
      buffer.set(times, at);
      at += timesBytes;
    }
    at += buffer.write(isFinal ? ',"is_final":true}}' : '}}', at, 'latin1');
    return buffer.subarray(0, at);
  }
}
