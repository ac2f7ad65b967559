/** Speech synthesis over HTTP: `POST …/audio/speech` of OpenAI and Groq, and the ElevenLabs streaming endpoint. Runs on the main thread. */
import * as z from 'zod';
import { voiceSettingsSchema } from './context-messages.js';
import { type Exchange, Refusal, streamPieces } from './exchange.js';
import { type OutputFormat, outputFormatOf, pieceEndsMs } from './formats.js';
import { timetableOf } from './timetable.js';
import type { VoiceStyle } from './voice.js';
import { styleOf } from './voice.js';

export const speechBytesMax = 1024 * 1024;
/** Rate of the vendors' `pcm` and `wav`. */
const speechRateHz = 24000;

const speechSchema = z.strictObject({
  model: z.string().regex(/tts/),
  input: z.string().min(1).max(4096),
  voice: z.string().min(1),
  /** MP3 is the vendors' default; the simulator has no encoder for it and says so. */
  response_format: z.enum(['pcm', 'wav']),
  speed: z.number().min(0.25).max(4).optional(),
  instructions: z.string().optional(),
  stream_format: z.literal('audio').optional(),
  sample_rate: z.int().optional(),
});

const elevenLabsSchema = z.strictObject({
  text: z.string().min(1).max(10_000),
  model_id: z
    .string()
    .regex(/^eleven_/)
    .optional(),
  language_code: z
    .string()
    .regex(/^[a-z]{2,3}$/)
    .optional(),
  voice_settings: voiceSettingsSchema.optional(),
  seed: z.int().min(0).max(4294967295).optional(),
  previous_text: z.string().optional(),
  next_text: z.string().optional(),
  previous_request_ids: z.array(z.string()).max(3).optional(),
  next_request_ids: z.array(z.string()).max(3).optional(),
  apply_text_normalization: z.enum(['auto', 'on', 'off']).optional(),
  pronunciation_dictionary_locators: z.array(z.looseObject({})).max(3).optional(),
});

function parsed<Schema extends z.ZodType>(schema: Schema, body: Buffer, status: number): z.infer<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw new Refusal(status, 'The request body is not JSON.');
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new Refusal(status, `${issue?.path.join('.') ?? 'body'}: ${issue?.message ?? 'invalid'}`);
}

/** Header of a WAV stream of unknown length. */
function wavHeader(rateHz: number): Buffer {
  const header = Buffer.alloc(44);
  header.write('RIFF\xff\xff\xff\xffWAVEfmt ', 0, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rateHz, 24);
  header.writeUInt32LE(rateHz * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data\xff\xff\xff\xff', 36, 'latin1');
  return header;
}

type Spoken = {
  readonly text: string;
  readonly style: VoiceStyle;
  readonly format: OutputFormat;
  readonly contentType: string;
  readonly lead: Buffer;
};

/** Streams `spoken` as it would be made, or all of it at the end. */
async function stream(exchange: Exchange, spoken: Spoken, isStreamed: boolean): Promise<void> {
  const { services, draws, entry } = exchange;
  const speech = await services.voice.speak(spoken.text, spoken.style);
  const encoded = services.memory.encoder.encode(speech, spoken.style, spoken.format);
  const ratio = services.dealer.profile.ttsRealTimeRatio;
  const ends = pieceEndsMs(speech);
  const parts = ends.map((toMs, index) => {
    const audio = encoded.between(ends[index - 1] ?? 0, toMs);
    const afterMs = ratio === 0 ? 0 : (toMs - (ends[0] ?? 0)) / ratio;
    return { afterMs, data: index === 0 ? Buffer.concat([spoken.lead, audio]) : audio };
  });
  const firstByteMs = draws.durationMs(services.dealer.profile.ttsFirstByte);
  const whole = { afterMs: parts.at(-1)?.afterMs ?? 0, data: Buffer.concat(parts.map((part) => part.data)) };
  entry.text = spoken.text;
  const headers = { 'content-type': spoken.contentType, 'request-id': `simulated-${draws.ordinal}` };
  exchange.play({ status: 200, headers }, timetableOf(streamPieces(exchange, firstByteMs, isStreamed ? parts : [whole])));
}

/** OpenAI's and Groq's endpoint. Throws Refusal. */
export async function audioSpeech(exchange: Exchange, body: Buffer): Promise<void> {
  const asked = parsed(speechSchema, body, 400);
  const isWav = asked.response_format === 'wav';
  await stream(
    exchange,
    {
      text: asked.input,
      style: styleOf(asked.voice, asked.speed),
      format: { name: 'pcm_24000', encoding: 'pcm', rateHz: speechRateHz },
      contentType: isWav ? 'audio/wav' : 'audio/pcm',
      lead: isWav ? wavHeader(speechRateHz) : Buffer.alloc(0),
    },
    true,
  );
}

/** `/v1/text-to-speech/{voice}` and `…/stream`. Throws Refusal. */
export async function textToSpeech(
  exchange: Exchange,
  body: Buffer,
  voiceId: string,
  query: URLSearchParams,
  isStreamed: boolean,
): Promise<void> {
  const asked = parsed(elevenLabsSchema, body, 422);
  const name = query.get('output_format') ?? 'mp3_44100_128';
  const format = outputFormatOf(name);
  if (format === undefined)
    throw new Refusal(400, `The simulator cannot make the output format ${name}.`, 'invalid_output_format');
  const style = styleOf(voiceId, asked.voice_settings?.speed);
  await stream(
    exchange,
    { text: asked.text, style, format, contentType: 'application/octet-stream', lead: Buffer.alloc(0) },
    isStreamed,
  );
}
