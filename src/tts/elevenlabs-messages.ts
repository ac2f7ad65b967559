/**
 * What the multi-context synthesis socket of ElevenLabs sends, and the bookkeeping of one context: which characters of the text given to
 * it have become audio. Pure; used on the TTS thread.
 */
import { EngineError, type FailureKind } from '../shared/errors.js';
import { ms } from '../shared/units.js';
import type { CharTime } from './port.js';
import { isSpeakable } from './speakable.js';

/** Characters in the order they sound. Times in milliseconds from the start of the audio of the message. */
export type Alignment = {
  readonly chars: readonly string[];
  readonly startsMs: readonly number[];
  readonly durationsMs: readonly number[];
};

export type ServerMessage =
  | {
      readonly kind: 'audio';
      readonly contextId: string | undefined;
      /** PCM bytes, possibly an odd number, possibly none. */
      readonly audio: Buffer;
      readonly alignment: Alignment | undefined;
      readonly isFinal: boolean;
    }
  | { readonly kind: 'error'; readonly contextId: string | undefined; readonly error: EngineError }
  | { readonly kind: 'garbage' };

/** Errors that the service names, first match counts; any other name is a failure on its side. */
const errorKinds: readonly (readonly [RegExp, FailureKind])[] = [
  [/^input_timeout/, 'broken'],
  [/^max_active|rate_limit|too_many/, 'rate_limited'],
  [/^invalid_|unauthorized|authentication|forbidden|not_found|quota|unusual_activity/, 'rejected'],
];

/** Reads one text frame. Both spellings of every name are understood; anything else than an object of these is `garbage`. */
export function parseServerMessage(text: string): ServerMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'garbage' };
  }
  if (!isRecord(value)) return { kind: 'garbage' };
  const contextId = stringOf(value['contextId'] ?? value['context_id']);
  const errorName = stringOf(value['error']);
  if (errorName !== undefined) return { kind: 'error', contextId, error: errorNamed(errorName) };
  const audio = value['audio'] ?? '';
  if (typeof audio !== 'string') return { kind: 'garbage' };
  return {
    kind: 'audio',
    contextId,
    audio: Buffer.from(audio, 'base64'),
    alignment: alignmentOf(value['alignment'] ?? value['normalizedAlignment'] ?? value['normalized_alignment']),
    isFinal: (value['isFinal'] ?? value['is_final']) === true,
  };
}

function errorNamed(name: string): EngineError {
  // The name is the provider's, so only what looks like a name goes into a log.
  const fields = /^[a-z][a-z0-9_]{0,40}$/.test(name) ? { providerError: name } : {};
  const kind = errorKinds.find(([pattern]) => pattern.test(name))?.[1] ?? 'server';
  return new EngineError(kind, 'The speech provider reported an error.', { fields });
}

function alignmentOf(value: unknown): Alignment | undefined {
  if (!isRecord(value)) return undefined;
  const chars = arrayOf(value['chars'], isString);
  const startsMs = arrayOf(value['charStartTimesMs'], isNumber);
  const durationsMs = arrayOf(value['charDurationsMs'] ?? value['charsDurationsMs'], isNumber);
  if (chars === undefined || startsMs?.length !== chars.length || durationsMs?.length !== chars.length) return undefined;
  return { chars, startsMs, durationsMs };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isString = (value: unknown): value is string => typeof value === 'string';
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const stringOf = (value: unknown): string | undefined => (isString(value) ? value : undefined);

function arrayOf<Item>(value: unknown, isItem: (item: unknown) => item is Item): readonly Item[] | undefined {
  return Array.isArray(value) && value.every(isItem) ? value : undefined;
}

/** How far ahead a character is looked for when the provider left some out. */
const skippedCharsMax = 3;
/** Characters by which a message is found again in the text after one that could not be placed. */
const probeChars = 12;
/** A message with more characters that are not in the text than this is of another text. */
const strangersMaxRatio = 0.2;

/**
 * The text one context was given, as written and as sent (a piece gets a space at its end), and how much of it has sounded. The service
 * reports the text as sent, so its characters are found by going along in it; white space on either side is not held against a match.
 */
export class SentText {
  #sent = '';
  /** For each UTF-16 unit of `#sent` its index in the text written to the stream, -1 for a space that we added. */
  readonly #writtenIndex: number[] = [];
  #cursor = 0;
  #isPlaced = true;

  /** Adds a piece that begins at `writtenIndex`; the answer is what to send. */
  add(text: string, writtenIndex: number): string {
    const sent = /\s$/.test(text) ? text : `${text} `;
    for (let offset = 0; offset < sent.length; offset += 1) {
      this.#writtenIndex.push(offset < text.length ? writtenIndex + offset : -1);
    }
    this.#sent += sent;
    return sent;
  }

  /** Times of the characters of one message; those that are not in the text, and those that take no time, are left out. */
  place(alignment: Alignment): CharTime[] {
    this.#findAgain(alignment.chars.join(''));
    const startCursor = this.#cursor;
    const times: CharTime[] = [];
    let strangers = 0;
    for (const [rank, char] of alignment.chars.entries()) {
      const sentIndex = this.#advance(char);
      if (sentIndex === undefined) {
        if (char.trim() !== '') strangers += 1;
        continue;
      }
      const charIndex = this.#writtenIndex[sentIndex] ?? -1;
      const durationMs = alignment.durationsMs[rank] ?? 0;
      if (charIndex >= 0 && durationMs > 0) {
        times.push({ charIndex, startMs: ms(alignment.startsMs[rank] ?? 0), durationMs: ms(durationMs) });
      }
    }
    this.#isPlaced = strangers === 0;
    if (strangers <= alignment.chars.length * strangersMaxRatio) return times;
    // The text as spoken, not as sent: letters that fit here and there fit by chance.
    this.#cursor = startCursor;
    return [];
  }

  /** Audio came without an alignment, or with one of another text: what has sounded is not known until the next that fits. */
  lose(): void {
    this.#isPlaced = false;
  }

  /** What of the text has not sounded; `undefined` when the alignments do not tell. */
  rest(): string | undefined {
    return this.#isPlaced ? this.#sent.slice(this.#cursor) : undefined;
  }

  /** All that makes a sound has sounded, as far as the alignments tell. */
  isCovered(): boolean {
    return this.#isPlaced && !isSpeakable(this.#sent.slice(this.#cursor));
  }

  #findAgain(message: string): void {
    const probe = message.trim().slice(0, probeChars);
    const here = this.#sent.slice(this.#cursor).trimStart();
    if (probe === '' || here.startsWith(probe)) return;
    const index = this.#sent.indexOf(probe, this.#cursor);
    if (index !== -1) this.#cursor = index;
  }

  /** Index in `#sent` of the next `char`, behind which the cursor then stands. */
  #advance(char: string): number | undefined {
    if (char.trim() === '') {
      if (char === '' || !this.#sent.startsWith(char, this.#cursor)) return undefined;
      this.#cursor += char.length;
      return this.#cursor - char.length;
    }
    let index = this.#cursor;
    for (let skipped = 0; skipped <= skippedCharsMax; skipped += 1) {
      while (/\s/.test(this.#sent.charAt(index))) index += 1;
      if (this.#sent.startsWith(char, index)) {
        this.#cursor = index + char.length;
        return index;
      }
      index += 1;
    }
    return undefined;
  }
}
