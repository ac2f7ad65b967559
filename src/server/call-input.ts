/**
 * What one client sends: the audio fast path into the input ring, everything else decoded and handed on. Main thread; nothing here waits.
 * Faults are answered as docs/protocol.md says: once per kind by an event, by a close when they do not stop.
 */
import { decodeMulaw } from '../audio/mulaw.js';
import { Resampler } from '../audio/resample.js';
import { cellMs } from '../shared/clock.js';
import { InputWriter } from '../shared/ring.js';
import { Cell, type Slot } from '../shared/slots.js';
import { inputRateHz } from '../shared/units.js';
import { audioBytesLost, decodeAudioMessage } from '../wire/audio-in.js';
import { decodeBase64 } from '../wire/base64.js';
import { decodeClientMessage } from '../wire/decode.js';
import type { AudioFormat, ClientEvent } from '../wire/events.js';
import { describeFormat } from '../wire/formats.js';
import { judgeSize, overlongResultOf, wireLimits } from '../wire/limits.js';
import { SampleAligner } from '../wire/samples-in.js';
import { RateMeter } from './rate-meter.js';

export const inputLimits = {
  /** Broken control messages in one call that end it. */
  badMessagesMax: 10,
  /** Broken audio chunks in one call that end it. */
  badChunksMax: 20,
  /** Audio that comes before the call has begun is kept up to this. */
  earlyBytesMax: 512 * 1024,
  /** A flood that lasts this long ends the call, */
  floodMaxMs: 30_000,
  /** and this long without a chunk too many ends the flood. */
  floodPauseMs: 2000,
  /** Without audio for this long, silence is put in its place. */
  gapMs: 200,
} as const;

export type InputEvents = {
  readonly onEvent: (event: ClientEvent) => void;
  /** Audio came before any initiation. */
  readonly onEarlyAudio: () => void;
  /** Something is wrong; said to the client once per `kind`. */
  readonly onFault: (kind: string, errorType: 'invalid_message' | 'value_error' | 'missing_fields', message: string) => void;
  /** So much is wrong that the call ends with 1008. */
  readonly onHopeless: (reason: string) => void;
  /** Samples were written to the ring. */
  readonly onAudio: () => void;
  /** Silence of our own stands in the ring. */
  readonly onGap: (startSample: number, endSample: number) => void;
};

/** One buffer for all calls: messages are handled one at a time. */
const decoded = Buffer.alloc(wireLimits.audioBytesMax);
/** One sample a byte, for µ-law. */
const aligned = new Int16Array(wireLimits.audioBytesMax);
/** The first so many of each. Chunks are of one size as a rule, and a view costs more than the copy of what is in it. */
let decodedStart: Uint8Array = decoded;
let alignedStart = aligned;

function startOfDecoded(count: number): Uint8Array {
  if (decodedStart.length !== count) decodedStart = decoded.subarray(0, count);
  return decodedStart;
}

function startOfAligned(count: number): Int16Array {
  if (alignedStart.length !== count) alignedStart = aligned.subarray(0, count);
  return alignedStart;
}

export class CallInput {
  readonly #slot: Slot;
  readonly #writer: InputWriter;
  readonly #events: InputEvents;
  #format: AudioFormat | undefined;
  readonly #aligner = new SampleAligner();
  #resampler: Resampler | undefined;
  #meter = new RateMeter(inputRateHz);
  readonly #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #hasInitiation = false;
  #isTextOnly = false;
  #badMessages = 0;
  #badChunks = 0;
  #floodSinceMs = -1;
  #floodAtMs = 0;
  #audioAtMs = 0;
  #filledThroughMs = 0;
  /** Length of the last chunk: some clients send a quarter of a second at a time, and the next is due only then. */
  #chunkMs = 0;
  /** Instant of the last message of any kind. */
  heardAtMs: number;

  constructor(slot: Slot, nowMs: number, events: InputEvents) {
    this.#slot = slot;
    this.#writer = new InputWriter(slot);
    this.#events = events;
    this.heardAtMs = nowMs;
  }

  /** The formats are known; audio that waited is dealt with now. */
  begin(format: AudioFormat, isTextOnly: boolean, atMs: number): void {
    this.#format = format;
    this.#isTextOnly = isTextOnly;
    const { rateHz } = describeFormat(format);
    this.#meter = new RateMeter(rateHz);
    if (rateHz !== inputRateHz) this.#resampler = new Resampler(rateHz, inputRateHz);
    this.#audioAtMs = atMs;
    for (const bytes of this.#early.splice(0)) this.#audio(bytes, atMs);
  }

  message(frame: Uint8Array, isBinary: boolean, atMs: number): void {
    this.heardAtMs = atMs;
    if (isBinary) {
      this.#events.onHopeless('Binary frames are not part of the protocol; send JSON text.');
      return;
    }
    const verdict = judgeSize(frame, !this.#hasInitiation);
    if (verdict === 'too_large') {
      const toolCallId = overlongResultOf(frame);
      if (toolCallId !== undefined && this.#hasInitiation) {
        const result = 'The tool answered more than 128 KiB; its result was not taken.';
        this.#events.onFault(
          'tool_result',
          'value_error',
          'A client_tool_result is larger than 128 KiB; the tool counts as failed.',
        );
        this.#events.onEvent({ type: 'client_tool_result', toolCallId, result, isError: true });
        return;
      }
      this.#events.onHopeless('A message is too large; control messages may have 128 KiB.');
      return;
    }
    if (verdict === 'audio_too_large') {
      this.#lost(audioBytesLost(frame.length), 'An audio message is larger than 128 KiB; it was dropped.', atMs);
      return;
    }
    const outcome = decodeAudioMessage(frame, decoded);
    if (typeof outcome === 'number') this.#audio(startOfDecoded(outcome), atMs);
    else if (outcome !== undefined) this.#lost(audioBytesLost(frame.length), chunkProblems[outcome], atMs);
    else this.#control(frame, atMs);
  }

  /** Puts silence where audio is missing. Called about every 40 ms. */
  fillGap(atMs: number): void {
    if (this.#format === undefined || this.#isTextOnly || atMs - this.#audioAtMs < this.#chunkMs + inputLimits.gapMs) return;
    // What was already filled in this gap is not filled again.
    const filledThroughMs = Math.max(this.#audioAtMs, this.#filledThroughMs);
    const count = Math.round(((atMs - filledThroughMs) * inputRateHz) / 1000);
    const start = this.#writer.written;
    this.#slot.store(Cell.inputAtMs, cellMs(atMs));
    this.#writer.writeSilence(count);
    this.#filledThroughMs = atMs;
    this.#events.onAudio();
    this.#events.onGap(start, start + count);
  }

  #control(frame: Uint8Array, atMs: number): void {
    const outcome = decodeClientMessage(frame);
    if (!outcome.ok) {
      const { errorType, field, message } = outcome.problem;
      // With settings of nobody's choice the call would be another one than was asked for.
      if (outcome.isInitiation === true && this.#format === undefined && !this.#hasInitiation) {
        this.#events.onHopeless(message);
        return;
      }
      if (errorType === 'invalid_message') this.#badMessages += 1;
      this.#events.onFault(`${errorType} ${field ?? ''}`, errorType, message);
      if (this.#badMessages >= inputLimits.badMessagesMax) {
        this.#events.onHopeless('Too many messages that are not JSON objects of the protocol.');
      }
      return;
    }
    const { event } = outcome;
    if (event.type === 'user_audio_chunk') {
      const size = decodeBase64(event.base64, decoded);
      if (typeof size === 'number') this.#audio(startOfDecoded(size), atMs);
      else this.#lost(audioBytesLost(frame.length), chunkProblems[size], atMs);
      return;
    }
    if (event.type !== 'enclave_setup_config') this.#hasInitiation = true;
    this.#events.onEvent(event);
  }

  #audio(bytes: Uint8Array, atMs: number): void {
    if (this.#format === undefined) {
      this.#keepEarly(bytes);
      return;
    }
    if (this.#isTextOnly) return;
    const { encoding, rateHz } = describeFormat(this.#format);
    const count = encoding === 'ulaw' ? bytes.length : this.#aligner.push(bytes, aligned);
    const samples = startOfAligned(count);
    if (encoding === 'ulaw') decodeMulaw(bytes, samples);
    this.#chunkMs = (count * 1000) / rateHz;
    if (!this.#isWelcome(count, atMs)) return;
    this.#write(this.#resampler === undefined ? samples : this.#resampler.process(samples), atMs);
  }

  #write(samples: Int16Array, atMs: number): void {
    this.#slot.store(Cell.inputAtMs, cellMs(atMs));
    this.#writer.write(samples);
    this.#audioAtMs = atMs;
    this.#events.onAudio();
  }

  #isWelcome(count: number, atMs: number): boolean {
    const finding = this.#meter.arrived(count, atMs);
    if (finding === 'flood') {
      // Between two chunks too many there are always some that fit.
      if (this.#floodSinceMs < 0 || atMs - this.#floodAtMs > inputLimits.floodPauseMs) this.#floodSinceMs = atMs;
      this.#floodAtMs = atMs;
      this.#events.onFault('flood', 'value_error', 'Audio comes faster than twice real time; the excess is dropped.');
      if (atMs - this.#floodSinceMs > inputLimits.floodMaxMs) this.#events.onHopeless('Audio comes much faster than real time.');
      return false;
    }
    if (finding === 'wrong_rate' && this.#format !== undefined) {
      const expected = describeFormat(this.#format).rateHz / 1000;
      const sent = this.#meter.suggestedHz / 1000;
      this.#events.onFault('wrong_rate', 'value_error', `${sent} kHz audio sent, ${expected} kHz expected.`);
    }
    return true;
  }

  #keepEarly(bytes: Uint8Array): void {
    if (!this.#hasInitiation && this.#early.length === 0) this.#events.onEarlyAudio();
    if (this.#earlyBytes + bytes.length > inputLimits.earlyBytesMax) return;
    // `slice` of a Buffer would be a view.
    this.#early.push(Uint8Array.from(bytes));
    this.#earlyBytes += bytes.length;
  }

  /** A chunk cannot be read: its time is filled with silence, so that the timeline stays true. */
  #lost(byteCount: number, message: string, atMs: number): void {
    this.#badChunks += 1;
    this.#events.onFault('audio_chunk', 'value_error', message);
    if (this.#badChunks >= inputLimits.badChunksMax) {
      this.#events.onHopeless('Too many audio chunks that cannot be read.');
      return;
    }
    if (this.#format === undefined || this.#isTextOnly) return;
    const { encoding } = describeFormat(this.#format);
    // The size is known to a byte or two, and clients send whole samples: half a sample too many would turn all that follows into noise.
    const count = encoding === 'ulaw' ? byteCount : this.#aligner.skip(byteCount - (byteCount % 2));
    const silence = new Int16Array(count);
    this.#write(this.#resampler === undefined ? silence : this.#resampler.process(silence), atMs);
  }
}

const chunkProblems = {
  bad_base64: 'user_audio_chunk is not base64; its time is filled with silence.',
  too_large: 'user_audio_chunk is too large; it was dropped.',
  empty: 'user_audio_chunk is empty.',
} as const;
