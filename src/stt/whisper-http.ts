/**
 * What the HTTP recognisers share: the fields of a transcription request, the audio as a WAV file, and the reading of the answer. STT thread.
 */
import { writeWav } from '../audio/wav.js';
import { readText } from '../shared/bounded-body.js';
import { Deadline } from '../shared/deadline.js';
import { EngineError } from '../shared/errors.js';
import { engineErrorOf, field } from '../shared/http-errors.js';
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

export type WhisperFields = {
  readonly file: File;
  readonly model: string;
  readonly response_format: 'verbose_json' | 'json';
  readonly temperature: number;
  readonly language?: string;
  readonly prompt?: string;
};

export function whisperFields(request: TranscribeRequest, model: string, format: 'verbose_json' | 'json'): WhisperFields {
  const { language, keywords } = request.settings;
  const prompt = promptOf(keywords);
  return {
    file: wavFile(request.audio, request.rateHz),
    model,
    response_format: format,
    temperature: 0,
    ...(language === '' ? {} : { language }),
    ...(prompt === '' ? {} : { prompt }),
  };
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

/**
 * The file that is uploaded. Header and samples stay two pieces, so the samples are copied once, by the body's encoder; `writeWav` of all
 * samples takes 2.2 ms for ten seconds, this a tenth of it.
 */
function wavFile(audio: Int16Array, rateHz: Hz): File {
  const header = Buffer.from(writeWav({ channels: [new Int16Array(0)], rateHz }).subarray(0, wavHeaderBytes));
  header.writeUInt32LE(wavHeaderBytes - 8 + audio.byteLength, 4);
  header.writeUInt32LE(audio.byteLength, wavHeaderBytes - 4);
  const samples = new Uint8Array(audio.buffer as ArrayBuffer, audio.byteOffset, audio.byteLength);
  return new File([header, samples], 'turn.wav', { type: 'audio/wav' });
}
