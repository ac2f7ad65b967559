/** Speech as the messages of a synthesis socket: pieces of audio with the times of their characters. Pure apart from its memory. */
import { Cache } from './cache.js';
import type { Fault } from './faults.js';
import { type EncodedSpeech, type OutputFormat, pieceEndsMs, SpeechEncoder } from './formats.js';
import { type Speech, soundKey, type TimedText, type VoiceStyle } from './voice.js';

/** Encoded messages that are kept for the next time the same text is spoken. */
const messageBytesMax = 96 * 1024 * 1024;

/** Times are relative to the message's audio. */
export type Alignment = { readonly chars: string[]; readonly charStartTimesMs: number[]; readonly charDurationsMs: number[] };

export type SpokenMessage = {
  /** How much audio lies before the end of this message. */
  readonly untilMs: number;
  readonly audio: Buffer;
  readonly alignment: Alignment;
  readonly normalizedAlignment: Alignment;
  /** The JSON of it, without its first brace and the context's name. */
  readonly body: string;
};

function alignmentOf(timed: TimedText, fromMs: number, toMs: number, isLast: boolean): Alignment {
  const alignment: Alignment = { chars: [], charStartTimesMs: [], charDurationsMs: [] };
  for (const [index, startMs] of timed.startMs.entries()) {
    if (startMs < fromMs || (startMs >= toMs && !isLast)) continue;
    alignment.chars.push(timed.chars[index]!);
    alignment.charStartTimesMs.push(startMs - fromMs);
    // A number written out may be cut by the end of the message, which falls between characters of the text as sent.
    alignment.charDurationsMs.push(Math.min(timed.durationMs[index]!, toMs - startMs));
  }
  return alignment;
}

function bodyOf(audio: Buffer, alignment: Alignment | null, normalizedAlignment: Alignment | null): string {
  const times = `"alignment":${JSON.stringify(alignment)},"normalizedAlignment":${JSON.stringify(normalizedAlignment)}`;
  return `"audio":"${audio.toString('base64')}","isFinal":null,${times}}`;
}

function messagesOf(speech: Speech, encoded: EncodedSpeech): SpokenMessage[] {
  const ends = pieceEndsMs(speech);
  let fromMs = 0;
  return ends.map((untilMs, index) => {
    const isLast = index === ends.length - 1;
    const audio = encoded.between(fromMs, untilMs);
    const alignment = alignmentOf(speech.chars, fromMs, untilMs, isLast);
    const normalizedAlignment = alignmentOf(speech.normalized, fromMs, untilMs, isLast);
    fromMs = untilMs;
    return { untilMs, audio, alignment, normalizedAlignment, body: bodyOf(audio, alignment, normalizedAlignment) };
  });
}

/** Speech that was encoded before, and the messages made of it; one for the whole simulator. */
export class MessageMemory {
  readonly encoder = new SpeechEncoder();
  readonly #messages = new Cache<readonly SpokenMessage[]>(messageBytesMax);

  of(speech: Speech, style: VoiceStyle, format: OutputFormat): readonly SpokenMessage[] {
    const key = `${format.name} ${soundKey(speech.text, style)}`;
    const known = this.#messages.get(key);
    if (known !== undefined) return known;
    const messages = messagesOf(speech, this.encoder.encode(speech, style, format));
    this.#messages.set(
      key,
      messages,
      messages.reduce((sum, message) => sum + message.body.length, 0),
    );
    return messages;
  }
}

/** The frames of `messages` for a context (none on single-context sockets), with the fault that concerns their content. */
export function framesOf(messages: readonly SpokenMessage[], contextId: string | undefined, fault: Fault | undefined): string[] {
  const head = contextId === undefined ? '{' : `{"contextId":${JSON.stringify(contextId)},`;
  switch (fault?.kind) {
    case 'final_without_audio':
      return [];
    case 'null_alignment':
      return messages.map((message) => head + bodyOf(message.audio, null, null));
    case 'garbage':
      return messages.map((message, index) => (index === 0 ? `${head}"audio":"AAA` : head + message.body));
    case 'both_spellings':
      return messages.map((message) => {
        const twice = (alignment: Alignment): object => ({ ...alignment, charsDurationsMs: alignment.charDurationsMs });
        const times = { alignment: twice(message.alignment), normalizedAlignment: twice(message.normalizedAlignment) };
        const audio = message.audio.toString('base64');
        return JSON.stringify({
          ...(contextId === undefined ? {} : { contextId, context_id: contextId }),
          audio,
          isFinal: null,
          is_final: null,
          ...times,
        });
      });
    case 'split_samples': {
      // Every boundary between two messages is moved by one byte, into the middle of a sample.
      const audio = Buffer.concat(messages.map((message) => message.audio));
      let from = 0;
      let boundary = 0;
      return messages.map((message, index) => {
        boundary += message.audio.length;
        const to = index === messages.length - 1 ? boundary : boundary - 1;
        const part = audio.subarray(from, to);
        from = to;
        return head + bodyOf(part, message.alignment, message.normalizedAlignment);
      });
    }
    default:
      return messages.map((message) => head + message.body);
  }
}
