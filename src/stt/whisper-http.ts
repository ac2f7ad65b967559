/**
 * What the HTTP recognisers share: the fields of a transcription request, the audio as a WAV file, and the reading of the answer. STT thread.
 */
import { randomUUID } from 'node:crypto';
import { writeWav } from '../audio/wav.js';
import { readText } from '../shared/bounded-body.js';
import { Deadline } from '../shared/deadline.js';
import { EngineError } from '../shared/errors.js';
import { engineErrorOf, field } from '../shared/http-errors.js';
import { giveBack, lend } from '../shared/lent-memory.js';
import type { Timers } from '../shared/timers.js';
import type { Hz, Ms } from '../shared/units.js';
import type { Recognition, TranscribeRequest } from './port.js';
import { isPhantom } from './whisper-text.js';

/** An hour of speech is not a tenth of this. */
const answerBytesMax = 1_048_576;
/** Whisper reads the last 224 tokens of its prompt. */
const promptCharactersMax = 600;
/** Of one segment, by the recogniser's own estimate. */
const segmentNoSpeechRatio = 0.6;
const wavHeaderBytes = 44;

/** What an SDK's `post` takes. */
export type WhisperUpload = { readonly body: Uint8Array<ArrayBuffer>; readonly headers: { readonly 'content-type': string } };

/**
 * The request as multipart form data, in one piece. Why not the SDK's own: it goes through File, FormData, Blob and a stream, which is two thirds
 * of the CPU of a request (docs/decisions/recognition-upload.md).
 */
export function whisperUpload(request: TranscribeRequest, model: string, format: 'verbose_json' | 'json'): WhisperUpload {
  const { language, keywords } = request.settings;
  const prompt = promptOf(keywords);
  const fields = Object.entries({ model, response_format: format, temperature: '0', language, prompt });
  const boundary = `parley-${randomUUID()}`;
  const parts = fields
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`);
  parts.push(
    `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="turn.wav"\r\ncontent-type: audio/wav\r\n\r\n`,
  );
  const { audio, rateHz } = request;
  const samples = new Uint8Array(audio.buffer, audio.byteOffset, audio.byteLength);
  const body = joined([Buffer.from(parts.join('')), wavHeader(audio, rateHz), samples, Buffer.from(`\r\n--${boundary}--\r\n`)]);
  return { body, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } };
}

/** In lent memory. */
function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
  const whole = new Uint8Array(lend(bytes), 0, bytes);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Sends `upload` with `send` and reads the answer like `transcribeOver`. Its memory is used again when the request was answered. */
export async function transcribeUpload(
  upload: WhisperUpload,
  send: (upload: WhisperUpload & { readonly signal: AbortSignal }) => Promise<Response>,
  signal: AbortSignal,
  limits: { readonly who: string; readonly timers: Timers; readonly timeoutMs: Ms },
): Promise<Recognition> {
  const recognition = await transcribeOver((ends) => send({ ...upload, signal: ends }), signal, limits);
  // A request that failed may still be on its way out.
  giveBack(upload.body.buffer);
  return recognition;
}

/**
 * Sends one request and reads its answer, within `timeoutMs` and as long as the request's signal allows. Throws `EngineError`.
 * `send` is given the signal that ends both.
 */
export async function transcribeOver(
  send: (signal: AbortSignal) => Promise<Response>,
  signal: AbortSignal,
  limits: { readonly who: string; readonly timers: Timers; readonly timeoutMs: Ms },
): Promise<Recognition> {
  const text = await answerOver(send, signal, limits);
  if (text.trim() === '') throw new EngineError('broken', `${limits.who} gave an empty answer`);
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (error) {
    throw engineErrorOf(error, limits.who);
  }
  return recognitionOf(answer, limits.who);
}

/** The body of the answer to one request. A success that is cut off throws `broken`. */
export async function answerOver(
  send: (signal: AbortSignal) => Promise<Response>,
  signal: AbortSignal,
  limits: { readonly who: string; readonly timers: Timers; readonly timeoutMs: Ms },
): Promise<string> {
  const { who, timers, timeoutMs } = limits;
  const deadline = new Deadline(timers, signal);
  deadline.arm(timeoutMs);
  try {
    return await readText(await send(deadline.signal), answerBytesMax, who);
  } catch (error) {
    if (signal.aborted) throw new EngineError('aborted', `request to ${who} was aborted`);
    if (deadline.expired) throw new EngineError('timeout', `${who} did not answer within ${timeoutMs} ms`);
    throw engineErrorOf(error, who);
  } finally {
    deadline.clear();
  }
}

/** From an answer in `json` or `verbose_json`. Throws `garbage` when it has no text. */
export function recognitionOf(answer: unknown, who: string): Recognition {
  const text = field(answer, 'text');
  if (typeof text !== 'string') throw new EngineError('garbage', `${who} answered without a text`);
  const list = field(answer, 'segments');
  const segments = Array.isArray(list) ? list.map(segmentOf) : [];
  const spoken = segments.filter((segment) => !(segment.noSpeechRatio > segmentNoSpeechRatio && isPhantom(segment.text, [])));
  // One segment is the whole text, which the turn weighs with what it knows more. Of several, those invented for the silence between and
  // after speech would hide behind the others, so they go here.
  const kept = segments.length > 1 ? spoken : segments;
  const words = segments.length > 1 && kept.length < segments.length ? kept.map((segment) => segment.text).join('') : text;
  const ratios = kept.map((segment) => segment.noSpeechRatio).filter((ratio) => !Number.isNaN(ratio));
  const logs = kept.map((segment) => segment.meanLogProbability).filter((log) => !Number.isNaN(log));
  return {
    text: words.trim(),
    ...(ratios.length === 0 ? {} : { noSpeechRatio: clampRatio(Math.min(...ratios)) }),
    ...(logs.length === 0 ? {} : { confidence: clampRatio(Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length)) }),
  };
}

function segmentOf(segment: unknown): { text: string; noSpeechRatio: number; meanLogProbability: number } {
  const text = field(segment, 'text');
  return {
    text: typeof text === 'string' ? text : '',
    noSpeechRatio: numberOf(field(segment, 'no_speech_prob')),
    meanLogProbability: numberOf(field(segment, 'avg_logprob')),
  };
}

/** NaN for what is missing. */
function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN;
}

function clampRatio(ratio: number): number {
  return Math.min(1, Math.max(0, ratio));
}

/** Names and rare words in the form in which Whisper takes a hint: as if they had been written just before. */
function promptOf(keywords: readonly string[]): string {
  let prompt = '';
  for (const keyword of keywords) {
    const longer = prompt === '' ? keyword : `${prompt}, ${keyword}`;
    if (longer.length > promptCharactersMax) break;
    prompt = longer;
  }
  return prompt;
}

/** Of the file that is uploaded. `writeWav` of all samples takes 2.2 ms for ten seconds; header and samples apart a tenth of it. */
function wavHeader(audio: Int16Array, rateHz: Hz): Buffer {
  const header = Buffer.from(writeWav({ channels: [new Int16Array(0)], rateHz }).subarray(0, wavHeaderBytes));
  header.writeUInt32LE(wavHeaderBytes - 8 + audio.byteLength, 4);
  header.writeUInt32LE(audio.byteLength, wavHeaderBytes - 4);
  return header;
}
