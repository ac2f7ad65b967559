/** The public protocol as a client sees it: text to events, samples to the messages of a microphone. Pure; callers use it. */
import { decodeMulaw, encodeMulaw } from '../src/audio/mulaw.js';
import { Resampler } from '../src/audio/resample.js';
import { inputRateHz } from '../src/shared/units.js';
import type { AudioFormat } from '../src/wire/events.js';
import { describeFormat, parseAudioFormat } from '../src/wire/formats.js';
import { frameSamples } from './microphone.js';

type Fields = Readonly<Record<string, unknown>>;

export type Metadata = {
  readonly conversationId: string;
  readonly inputFormat: AudioFormat;
  readonly outputFormat: AudioFormat;
  readonly details: Fields;
};

/** `details`: the object in which an event keeps its fields, empty when it has none. */
export type ServerMessage = {
  readonly type: string;
  readonly details: Fields;
  readonly eventId: number | undefined;
};

/** Where an event keeps its fields, when that is not its name with `_event`. */
const detailKeys: Readonly<Record<string, string>> = {
  user_transcript: 'user_transcription_event',
  tentative_user_transcript: 'tentative_user_transcription_event',
  agent_chat_response_part: 'text_response_part',
  agent_tool_response: 'agent_tool_response',
  client_tool_call: 'client_tool_call',
  parley_turn_event: 'parley_turn_event',
};

/** Undefined for anything but a JSON object with a type, which every server message is. */
export function parseEvent(text: string): ServerMessage | undefined {
  const body = parseObject(text);
  const type = body?.['type'];
  if (body === undefined || typeof type !== 'string') return undefined;
  const details = objectIn(body, detailKeys[type] ?? `${type}_event`);
  const eventId = details['event_id'];
  return { type, details, eventId: typeof eventId === 'number' ? eventId : undefined };
}

/** Undefined unless it is metadata with formats that the protocol has. */
export function parseMetadata(text: string): Metadata | undefined {
  const body = parseObject(text);
  if (body?.['type'] !== 'conversation_initiation_metadata') return undefined;
  const details = objectIn(body, 'conversation_initiation_metadata_event');
  const inputFormat = parseAudioFormat(String(details['user_input_audio_format'] ?? 'pcm_16000'));
  const outputFormat = parseAudioFormat(String(details['agent_output_audio_format']));
  if (inputFormat === undefined || outputFormat === undefined) return undefined;
  return { conversationId: String(details['conversation_id'] ?? ''), inputFormat, outputFormat, details };
}

/** Samples of one audio event; undefined when they are not whole. */
export function decodeAudio(base64: string, format: AudioFormat): Int16Array | undefined {
  const bytes = Buffer.from(base64, 'base64');
  if (format === 'ulaw_8000') return decodeMulaw(bytes);
  if (bytes.length % 2 !== 0) return undefined;
  const samples = new Int16Array(bytes.length / 2);
  for (let i = 0; i < samples.length; i++) samples[i] = bytes.readInt16LE(2 * i);
  return samples;
}

/**
 * Makes the message of one microphone frame; undefined is silence. Encoding costs 0.4 µs a frame, so clips need not be prepared (and could not
 * be, as they start at any sample); silence, which is most frames, is.
 */
export function frameEncoder(format: AudioFormat): (frame: Int16Array | undefined) => string {
  const silentFrame = new Int16Array(frameSamples);
  const message = (bytes: Uint8Array): string => {
    return `{"user_audio_chunk":"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}"}`;
  };
  const bytesOf = (samples: Int16Array): Uint8Array => new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  if (format === 'pcm_16000') {
    const silence = message(bytesOf(silentFrame));
    return (frame) => (frame === undefined ? silence : message(bytesOf(frame)));
  }
  const { encoding, rateHz } = describeFormat(format);
  const resampler = new Resampler(inputRateHz, rateHz);
  return (frame) => {
    const samples = resampler.process(frame ?? silentFrame);
    return message(encoding === 'ulaw' ? encodeMulaw(samples) : bytesOf(samples));
  };
}

function parseObject(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

function objectIn(body: Fields, key: string): Fields {
  const value = body[key];
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}
