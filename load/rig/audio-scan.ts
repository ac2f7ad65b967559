/**
 * Reads what a counting caller needs of an `audio` message without parsing it: event id, duration, whether it is the last or nothing but silence.
 * Anything that is not spelt as engines spell it is left to the parser of all events. Pure; one a caller, its fields hold until the next `read`.
 */
import { parseEvent } from '../client-messages.js';

const head = Buffer.from('{"type":"audio","audio_event":{"audio_base_64":"');
const idKey = Buffer.from('"event_id":');
const finalKey = Buffer.from('"is_final":true');
const quote = 0x22;
const equals = 0x3d;
/** Base64 of zeros (16-bit samples) and of all ones (µ-law's silence): each letter, and the last one before one or two signs of padding. */
const zeros = { letter: 0x41, last: [0x41, 0x41, 0x41] } as const;
const ones = { letter: 0x2f, last: [0x2f, 0x38, 0x77] } as const;

export class AudioScan {
  eventId = 0;
  durationMs = 0;
  isFinal = false;
  /** Digital silence from beginning to end, such as the chunk that ends an interrupted reply. */
  isSilent = false;
  readonly #bytesPerMs: number;

  constructor(bytesPerMs: number) {
    this.#bytesPerMs = bytesPerMs;
  }

  /** False when `message` is no audio event with whole audio and an id. */
  read(message: Buffer): boolean {
    if (message.length > head.length && message.compare(head, 0, head.length, 0, head.length) === 0) {
      const end = message.indexOf(quote, head.length);
      const idAt = end < 0 ? -1 : message.indexOf(idKey, end);
      if (idAt >= 0) {
        this.isFinal = message.indexOf(finalKey, end) >= 0;
        return this.#take(message.subarray(head.length, end), numberAt(message, idAt + idKey.length));
      }
    }
    return this.#readSlowly(message);
  }

  #readSlowly(message: Buffer): boolean {
    // Every audio message has this near its beginning or end; all others are small or rare.
    if (!message.includes('"audio_base_64"')) return false;
    const event = parseEvent(message.toString());
    const base64 = event?.details['audio_base_64'];
    if (event?.type !== 'audio' || event.eventId === undefined || typeof base64 !== 'string') return false;
    this.isFinal = event.details['is_final'] === true;
    return this.#take(Buffer.from(base64, 'latin1'), event.eventId);
  }

  #take(base64: Buffer, eventId: number): boolean {
    let padding = 0;
    while (padding < 2 && base64[base64.length - 1 - padding] === equals) padding += 1;
    const byteCount = Math.floor(((base64.length - padding) * 3) / 4);
    if (byteCount === 0 || Number.isNaN(eventId)) return false;
    this.eventId = eventId;
    this.durationMs = byteCount / this.#bytesPerMs;
    this.isSilent = isAll(zeros, base64, padding) || isAll(ones, base64, padding);
    return true;
  }
}

/** Stops at the first other letter, which in speech is one of the first. */
function isAll({ letter, last }: typeof zeros | typeof ones, base64: Buffer, padding: number): boolean {
  const end = base64.length - padding - 1;
  for (let at = 0; at < end; at += 1) if (base64[at] !== letter) return false;
  return base64[end] === last[padding];
}

/** NaN when there is no digit. */
function numberAt(message: Buffer, from: number): number {
  let value = Number.NaN;
  for (let at = from; at < message.length; at += 1) {
    const digit = message[at]! - 0x30;
    if (digit < 0 || digit > 9) break;
    value = (Number.isNaN(value) ? 0 : value) * 10 + digit;
  }
  return value;
}
