/** `POST …/audio/transcriptions` as Groq and OpenAI answer it. Runs on the simulator's main thread. */
import { monoOf } from '../../src/audio/recording.js';
import { resample } from '../../src/audio/resample.js';
import { inputRateHz } from '../../src/shared/units.js';
import { readRecording } from './clips.js';
import { type Exchange, jsonAnswer, Refusal, type WholeAnswer } from './exchange.js';
import { boundaryOf, readForm } from './multipart.js';
import type { Heard } from './recognise.js';

/** Both vendors take files up to 25 MB. */
export const uploadBytesMax = 25 * 1024 * 1024 + 65536;
/** Groq refuses anything shorter. */
const audioMsMin = 10;
/** 224 tokens. */
const promptCharsMax = 896;

const fieldNames = [
  'file',
  'model',
  'language',
  'response_format',
  'temperature',
  'prompt',
  'timestamp_granularities[]',
  'stream',
];
const formats = ['json', 'verbose_json', 'text'] as const;

type TranscriptionRequest = {
  readonly file: Buffer;
  readonly format: (typeof formats)[number];
  readonly language: string;
  readonly temperature: number;
  readonly wantsWords: boolean;
  readonly prompt: string;
};

function readRequest(body: Buffer, contentType: string | undefined): TranscriptionRequest {
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) throw new Refusal(400, "request Content-Type isn't multipart/form-data");
  const form = readForm(body, boundary);
  if ('problem' in form) throw new Refusal(400, `malformed form: ${form.problem}`);
  const { parts } = form;
  const unknown = parts.find((part) => !fieldNames.includes(part.name));
  if (unknown !== undefined) throw new Refusal(400, `property '${unknown.name}' is unsupported`);
  const textOf = (name: string): string | undefined => parts.find((part) => part.name === name)?.data.toString('utf8');

  const model = textOf('model') ?? '';
  if (model === '') throw new Refusal(400, 'Invalid request: `model` is required');
  if (!/whisper|transcribe/.test(model)) {
    throw new Refusal(404, `The model \`${model}\` does not exist or you do not have access to it.`, 'model_not_found');
  }
  const file = parts.find((part) => part.name === 'file');
  if (file === undefined) throw new Refusal(400, 'one of file or url must be provided');
  if (!/\.(?:wav|flac)$/.test(file.fileName ?? '')) {
    throw new Refusal(400, 'file must have one of these types: [flac wav]; the simulator decodes no other');
  }
  const format = formats.find((name) => name === (textOf('response_format') ?? 'json'));
  if (format === undefined) throw new Refusal(400, 'response_format must be one of [json verbose_json text]');
  const language = textOf('language') ?? '';
  if (language !== '' && !/^[a-z]{2,3}$/.test(language)) throw new Refusal(400, 'language must be an ISO 639-1 code');
  const temperature = Number(textOf('temperature') ?? '0');
  if (!(temperature >= 0 && temperature <= 1)) throw new Refusal(400, 'temperature must be between 0 and 1');
  const prompt = textOf('prompt') ?? '';
  if (prompt.length > promptCharsMax) throw new Refusal(400, `prompt may have at most ${promptCharsMax} characters`);
  if (textOf('stream') === 'true') throw new Refusal(400, 'stream is not supported for this model');
  const granularities = parts
    .filter((part) => part.name === 'timestamp_granularities[]')
    .map((part) => part.data.toString('utf8'));
  if (granularities.some((name) => name !== 'word' && name !== 'segment')) {
    throw new Refusal(400, 'timestamp_granularities[] must be word or segment');
  }
  if (granularities.length > 0 && format !== 'verbose_json') {
    throw new Refusal(400, 'timestamp_granularities needs response_format verbose_json');
  }
  return { file: file.data, format, language, temperature, wantsWords: granularities.includes('word'), prompt };
}

/** Groq starts its text with a space, as the model writes it; OpenAI trims it. */
export type TranscriptionFlavour = { readonly textPrefix: string; readonly requestId: string | undefined };

/** Probability of no speech for silence, for sound without known words, and for words. */
function noSpeechOf(heard: Heard): number {
  if (heard.words.length > 0) return 0.02;
  return heard.isAudible ? 0.55 : 0.92;
}

function answerOf(
  asked: TranscriptionRequest,
  heard: Heard,
  text: string,
  audioMs: number,
  flavour: TranscriptionFlavour,
): WholeAnswer {
  const written = text === '' ? '' : flavour.textPrefix + text;
  if (asked.format === 'text') {
    const body = Buffer.from(written);
    return {
      head: { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8', 'content-length': String(body.length) } },
      body,
    };
  }
  const vendor = flavour.requestId === undefined ? {} : { x_groq: { id: flavour.requestId } };
  if (asked.format === 'json') return jsonAnswer({ text: written, ...vendor });
  const seconds = (valueMs: number): number => Math.round(valueMs) / 1000;
  const noSpeech = noSpeechOf(heard);
  const segment = {
    id: 0,
    seek: 0,
    start: seconds(heard.words[0]?.startMs ?? 0),
    end: seconds(heard.words.at(-1)?.endMs ?? audioMs),
    text: written,
    tokens: [],
    temperature: asked.temperature,
    avg_logprob: heard.words.length > 0 ? -0.21 : -1.1,
    compression_ratio: 1.1,
    no_speech_prob: noSpeech,
  };
  const words = heard.words.map((word) => ({ word: word.text, start: seconds(word.startMs), end: seconds(word.endMs) }));
  return jsonAnswer({
    task: 'transcribe',
    language: asked.language === '' || asked.language === 'en' ? 'English' : asked.language,
    duration: audioMs / 1000,
    text: written,
    ...(asked.wantsWords ? { words } : {}),
    segments: [segment],
    ...vendor,
  });
}

/** Answers one transcription request. Throws Refusal. */
export async function transcribe(exchange: Exchange, body: Buffer, flavour: TranscriptionFlavour): Promise<void> {
  const asked = readRequest(body, exchange.headers['content-type']);
  const recording = await readRecording(asked.file).catch(() => undefined);
  if (recording === undefined) throw new Refusal(400, 'could not process file - is it a valid media file?');
  const { services, entry, draws } = exchange;
  const audio = resample(monoOf(recording), recording.rateHz, inputRateHz);
  const audioMs = (audio.length * 1000) / inputRateHz;
  if (audioMs < audioMsMin) throw new Refusal(400, 'Audio file is too short. Minimum audio length is 0.01 seconds.');

  const errors = { ratio: services.wordErrorRatio, seed: services.dealer.seed };
  const group = services.recogniser.groupOf(asked.prompt);
  if (group !== '') entry.group = group;
  const heard = services.recogniser.hear(audio, errors, asked.prompt);
  const heardText = heard.words.map((word) => word.text).join(' ');
  const text = exchange.fault?.kind === 'phantom_words' ? (exchange.fault.text ?? 'Thank you.') : heardText;
  entry.audioMs = audioMs;
  entry.isFinal = heard.isPaused;
  entry.text = text;
  entry.exactRatio = heard.exactRatio;
  const { sttFinal, sttPartial } = services.dealer.profile;
  exchange.answer(answerOf(asked, heard, text, audioMs, flavour), draws.durationMs(heard.isPaused ? sttFinal : sttPartial));
}
