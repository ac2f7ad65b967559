/**
 * The voice of a tiny agent: speaks replies to a caller over a line in frames of 20 ms, stops and goes on at any sample, and writes down which sample of
 * which reply it sent as which. No engine is involved. Single thread, on whatever clock its owner has.
 */

import { fadeIn, fadeOut } from '../../../src/audio/fade.js';
import { encodeMulaw } from '../../../src/audio/mulaw.js';
import { Resampler } from '../../../src/audio/resample.js';
import { hz, inputRateHz } from '../../../src/shared/units.js';
import type { AudioFormat } from '../../../src/wire/events.js';
import type { SynthesisedReply, Word } from '../run-record.js';

export const frameMs = 20;
const samplesPerMs = inputRateHz / 1000;
const frameSamples = frameMs * samplesPerMs;

/** `count` samples that were sent from sample `sentFrom` of the reply's audio on are those of the reply from `sourceFrom` on. */
export type SentRun = { readonly eventId: number; readonly sentFrom: number; readonly sourceFrom: number; count: number };

type Speech = { readonly reply: SynthesisedReply; next: number; sent: number; fadeIn: number };

export class Speaker {
  readonly replies: SynthesisedReply[] = [];
  readonly runs: SentRun[] = [];
  readonly #send: (message: object) => void;
  readonly #format: AudioFormat;
  #encoder: Encoder;
  readonly #speeches = new Map<number, Speech>();
  #current: Speech | undefined;
  /** Event ids count the replies and the interruptions. */
  #eventId = 0;

  constructor(format: AudioFormat, send: (message: object) => void) {
    this.#send = send;
    this.#format = format;
    this.#encoder = encoderOf(format);
  }

  /** Of the reply that is being spoken; undefined in between. */
  get eventId(): number | undefined {
    return this.#current?.reply.eventId;
  }

  /** How much of the reply was sent. */
  get sourceSample(): number {
    return this.#current?.next ?? 0;
  }

  /** The sample of reply `eventId` that has not been sent. */
  nextOf(eventId: number): number {
    return this.#speeches.get(eventId)?.next ?? 0;
  }

  /** Begins a reply with the next frame; returns its event id. */
  say(text: string, samples: Int16Array, words: readonly Word[]): number {
    this.#eventId += 1;
    const reply = { eventId: this.#eventId, samples, words };
    this.replies.push(reply);
    this.#current = { reply, next: 0, sent: 0, fadeIn: 0 };
    this.#speeches.set(reply.eventId, this.#current);
    this.#send({ type: 'agent_response', agent_response_event: { agent_response: text, event_id: reply.eventId } });
    return reply.eventId;
  }

  /** Sends the next 20 ms, if there is anything to say. */
  frame(): void {
    const speech = this.#current;
    if (speech === undefined) return;
    const rest = speech.reply.samples.length - speech.next;
    this.#sendPart(speech, Math.min(frameSamples, rest), 0, rest <= frameSamples);
    if (speech.next >= speech.reply.samples.length) this.#end(speech);
  }

  /** Sends `lastSamples` more, at most, the last `fadeSamples` of them fading, and then nothing. */
  pause(lastSamples: number, fadeSamples: number): void {
    const speech = this.#current;
    if (speech === undefined) return;
    this.#sendPart(speech, Math.min(lastSamples, speech.reply.samples.length - speech.next), fadeSamples, true);
    this.#current = undefined;
  }

  /** Goes on with reply `eventId` from `sourceSample` on. */
  resume(eventId: number, sourceSample: number, fadeSamples: number): void {
    const speech = this.#speeches.get(eventId);
    if (speech === undefined) throw new RangeError(`there is no reply ${eventId}`);
    speech.next = Math.min(Math.max(0, sourceSample), speech.reply.samples.length);
    speech.fadeIn = fadeSamples;
    this.#current = speech;
  }

  /** Tells the caller's device to drop what it has of the reply. */
  interrupt(): void {
    this.#current = undefined;
    this.#send({ type: 'interruption', interruption_event: { event_id: this.#eventId } });
    this.#eventId += 1;
  }

  #sendPart(speech: Speech, count: number, fadeSamples: number, isLast: boolean): void {
    const { reply, next, sent } = speech;
    const samples = reply.samples.slice(next, next + count);
    if (speech.fadeIn > 0) fadeIn(samples, speech.fadeIn);
    speech.fadeIn = 0;
    if (fadeSamples > 0) fadeOut(samples, fadeSamples);
    if (count > 0) this.#note({ eventId: reply.eventId, sentFrom: sent, sourceFrom: next, count });
    const bytes = this.#encoder(samples, isLast);
    if (isLast) this.#encoder = encoderOf(this.#format);
    const base64 = Buffer.from(bytes).toString('base64');
    if (bytes.length > 0) this.#send({ type: 'audio', audio_event: { audio_base_64: base64, event_id: reply.eventId } });
    speech.next += count;
    speech.sent += count;
  }

  #note(run: SentRun): void {
    const last = this.runs.at(-1);
    const goesOn =
      last?.eventId === run.eventId &&
      last.sentFrom + last.count === run.sentFrom &&
      last.sourceFrom + last.count === run.sourceFrom;
    if (goesOn) last.count += run.count;
    else this.runs.push(run);
  }

  #end({ reply }: Speech): void {
    this.#current = undefined;
    this.#send({ type: 'agent_response_complete', agent_response_complete_event: { event_id: reply.eventId } });
  }
}

/** `isLast`: nothing follows for now, so nothing is kept back. */
type Encoder = (samples: Int16Array, isLast: boolean) => Uint8Array;

function encoderOf(format: AudioFormat): Encoder {
  if (format === 'pcm_16000') return (samples) => new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  if (format !== 'ulaw_8000') throw new RangeError(`these agents do not speak ${format}`);
  const resampler = new Resampler(inputRateHz, hz(8000));
  return (samples, isLast) => {
    const narrow = resampler.process(samples);
    return encodeMulaw(isLast ? Int16Array.from([...narrow, ...resampler.flush()]) : narrow);
  };
}
