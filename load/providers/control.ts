/**
 * The control interface under `/_simulator/`: what the simulator shall understand, answer and get wrong, and what it was asked.
 * Runs on the simulator's main thread.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as z from 'zod';
import { nowMs } from '../../src/shared/clock.js';
import { answerSchema, answersMax } from './answers.js';
import { parseClips } from './clips.js';
import { Refusal, readBody } from './exchange.js';
import { faultSchema, faultsMax } from './faults.js';
import { Dealer, type Profile, profileNames, profiles } from './profile.js';
import { type Services, simulatorName } from './services.js';
import { styleOf } from './voice.js';

/** Ten minutes of audio in base64, with room to spare. */
const controlBytesMax = 64 * 1024 * 1024;

const quantiles = z.strictObject({ p50Ms: z.number().min(0), p95Ms: z.number().min(0) });
const profileSchema = z.strictObject({
  profile: z.enum(profileNames).optional(),
  seed: z.int().min(0).optional(),
  wordErrorRatio: z.number().min(0).max(1).optional(),
  /** Single values in place of the profile's own. */
  overrides: z
    .strictObject({
      sttFinal: quantiles,
      sttPartial: quantiles,
      llmFirstToken: quantiles,
      tokensPerSecond: z.number().min(0),
      ttsFirstByte: quantiles,
      ttsRealTimeRatio: z.number().min(0),
      linkMs: z.number().min(0),
      linkDeviationMs: z.number().min(0),
      stallRatio: z.number().min(0).max(1),
      stallMs: z.number().min(0),
      disconnectEvery: z.int().min(0),
    })
    .partial()
    .optional(),
});
const answersSchema = z.strictObject({ answers: z.array(answerSchema), replace: z.boolean().optional() });
const faultsSchema = z.strictObject({ faults: z.array(faultSchema), replace: z.boolean().optional() });
const speakSchema = z.strictObject({
  text: z.string().max(10_000),
  voiceId: z.string().optional(),
  speed: z.number().min(0.7).max(1.2).optional(),
});

type Handler = (services: Services, body: unknown, query: URLSearchParams) => object | Promise<object>;

function afterOf(query: URLSearchParams): number {
  const after = Number(query.get('after') ?? '0');
  if (!Number.isFinite(after)) throw new Refusal(400, 'after must be a number');
  return after;
}

/** `{[key]: […], replace?}` as it is, a list or a single item put into one. */
function asList(body: unknown, key: string): unknown {
  if (Array.isArray(body)) return { [key]: body };
  return typeof body === 'object' && body !== null && key in body ? body : { [key]: [body] };
}

/** Tests and the command line use these as well. */
export async function registerClips(services: Services, body: unknown, folder = '.'): Promise<string[]> {
  const ids: string[] = [];
  for (const registration of parseClips(body)) {
    const clip = await services.recogniser.library.register(registration, folder);
    services.recogniser.index(clip);
    ids.push(clip.id);
  }
  return ids;
}

export function addFaults(services: Services, body: unknown): number {
  const { faults, replace } = faultsSchema.parse(asList(body, 'faults'));
  if (replace === true) services.faults.clear();
  if (services.faults.size + faults.length > faultsMax) throw new RangeError(`more than ${faultsMax} faults`);
  for (const fault of faults) services.faults.add(fault);
  return services.faults.size;
}

const handlers: Readonly<Record<string, Handler>> = {
  'GET /healthz': (services) => ({
    status: 'ok',
    simulated: true,
    profile: services.dealer.profile.name,
    atMonotonicMs: nowMs(),
  }),

  'POST /clips': async (services, body) => ({ registered: await registerClips(services, body) }),
  'GET /clips': (services) => ({
    clips: services.recogniser.library.clips.map((clip) => ({
      id: clip.id,
      durationMs: clip.length / 16,
      words: clip.words.length,
    })),
  }),
  'DELETE /clips': (services) => {
    services.recogniser.clear();
    return { clips: 0 };
  },

  'GET /requests': (services, _body, query) => ({ requests: services.journal.llmRequests(afterOf(query)) }),
  'DELETE /requests': (services) => {
    services.journal.clearLlmRequests();
    return { requests: 0 };
  },

  'POST /answers': (services, body) => {
    const { answers, replace } = answersSchema.parse(asList(body, 'answers'));
    if (replace === true) services.answers.clear();
    if (services.answers.size + answers.length > answersMax) throw new RangeError(`more than ${answersMax} answers`);
    for (const answer of answers) {
      services.answers.add(answer);
      services.voice.prepare(`${answer.text ?? ''} ${answer.afterTool ?? ''}`);
    }
    return { answers: services.answers.size };
  },
  'DELETE /answers': (services) => {
    services.answers.clear();
    return { answers: 0 };
  },

  'POST /profile': (services, body) => {
    const asked = profileSchema.parse(body);
    const base = asked.profile === undefined ? services.dealer.profile : profiles[asked.profile];
    const given = Object.entries(asked.overrides ?? {}).filter(([, value]) => value !== undefined);
    const profile: Profile = { ...base, ...Object.fromEntries(given) };
    services.dealer = new Dealer(profile, asked.seed ?? services.dealer.seed);
    services.wordErrorRatio = asked.wordErrorRatio ?? services.wordErrorRatio;
    return { profile, seed: services.dealer.seed, wordErrorRatio: services.wordErrorRatio };
  },
  'GET /profile': (services) => ({
    profile: services.dealer.profile,
    seed: services.dealer.seed,
    wordErrorRatio: services.wordErrorRatio,
  }),

  'POST /faults': (services, body) => ({ faults: addFaults(services, body) }),
  'DELETE /faults': (services) => {
    services.faults.clear();
    return { faults: 0 };
  },

  'GET /log': (services, _body, query) => ({ log: services.journal.entries(afterOf(query)), atMonotonicMs: nowMs() }),
  'DELETE /log': (services) => {
    services.journal.clearEntries();
    return { log: 0 };
  },

  /** The exact times of words and characters in a text given as one piece: what "heard" is compared with. */
  'POST /speak': async (services, body) => {
    const { text, voiceId, speed } = speakSchema.parse(body);
    const { durationMs, words, chars, normalized } = await services.voice.speak(text, styleOf(voiceId ?? '', speed));
    return { text, durationMs, words, chars, normalized };
  },
};

function send(response: ServerResponse, status: number, value: object): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) });
  response.end(body);
}

/** Answers a request whose path, without the prefix, is `path`. Everything wrong with it is a 400 that says what. */
export async function control(
  services: Services,
  path: string,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const handler = handlers[`${request.method} ${path}`];
  if (handler === undefined) return send(response, 404, { error: `${simulatorName} has no ${request.method} ${path}` });
  try {
    const bytes = await readBody(request, controlBytesMax);
    if (bytes === undefined) return;
    const body: unknown = bytes.length === 0 ? {} : JSON.parse(bytes.toString('utf8'));
    send(response, 200, await handler(services, body, query));
  } catch (error) {
    const problem = error instanceof z.ZodError ? z.prettifyError(error) : error instanceof Error ? error.message : String(error);
    send(response, error instanceof Refusal ? error.status : 400, { error: problem });
  }
}
