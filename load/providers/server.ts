/**
 * The simulated providers: speech recognition, language model and speech synthesis on one port, speaking the vendors' wire formats so
 * that the engine's real adapters and the official SDKs can be tried without keys or network. It says of itself, in every response,
 * that it is simulated. `startProviders` is used by tests in their own process and by `main.ts` as a process of its own.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { nowMs } from '../../src/shared/clock.js';
import { AnswerBook, replyTexts } from './answers.js';
import { chat, chatBytesMax } from './chat.js';
import { ClipLibrary, readClipFiles } from './clips.js';
import { MessageMemory } from './context-audio.js';
import { readQuery } from './context-messages.js';
import { ContextSocket } from './context-socket.js';
import { addFaults, control, registerClips } from './control.js';
import type { Endpoint } from './endpoints.js';
import { type ErrorShape, Exchange, jsonAnswer, Refusal } from './exchange.js';
import { FaultBook } from './faults.js';
import { Journal } from './journal.js';
import { Dealer, type ProfileName, profiles } from './profile.js';
import { Recogniser } from './recognise.js';
import { Schedule } from './schedule.js';
import { isKeyAccepted, type Services, type SimulatedVoice, simulatorName } from './services.js';
import { audioSpeech, speechBytesMax, textToSpeech } from './speech.js';
import { transcribe, uploadBytesMax } from './transcriptions.js';
import { VoiceThread } from './voice-thread.js';

export type ProvidersOptions = {
  readonly profile?: ProfileName;
  readonly seed?: number;
  /** 0 (default): any free one. */
  readonly port?: number;
  readonly host?: string;
  /** A JSON file of clips or a folder of them; see `clips.ts`. */
  readonly clips?: string;
  /** A fault, or `{faults: […]}`; see `faults.ts`. */
  readonly faults?: unknown;
  /** Share of words that the recogniser gets wrong; 0 by default. */
  readonly wordErrorRatio?: number;
  /** Has the voice make the words of the built-in replies beforehand. */
  readonly isVoicePrepared?: boolean;
};

export type Providers = {
  readonly port: number;
  /** `http://host:port`, without a slash at the end. */
  readonly url: string;
  /** What the control interface works on, for tests in the same process. */
  readonly services: Services;
  /** Cuts every connection and leaves nothing behind. */
  close(): Promise<void>;
};

/** The simulator without a port: connections are given to `server` by its event `connection`. */
export type ProviderServer = {
  readonly services: Services;
  readonly server: Server;
  /** Ends all work and cuts the WebSockets; other connections are the caller's. */
  close(): Promise<void>;
};

/** Longer than any client keeps an idle connection, so that it is never the simulator that closes one in use. */
const keepAliveMs = 120_000;
const messageBytesMax = 1024 * 1024;

const openaiError: ErrorShape = (status, message, code) => ({
  error: { message, type: status >= 500 ? 'server_error' : 'invalid_request_error', param: null, code: code ?? null },
});
const groqError: ErrorShape = (status, message, code) => ({
  error: {
    message,
    type: status >= 500 ? 'internal_server_error' : status === 429 ? 'requests' : 'invalid_request_error',
    ...(code === undefined ? {} : { code }),
  },
});
const elevenLabsError: ErrorShape = (status, message, code) => ({
  detail: {
    status: code ?? (status === 429 ? 'too_many_concurrent_requests' : status === 401 ? 'invalid_api_key' : 'invalid_request'),
    message,
  },
});

const modelIds = [
  'whisper-large-v3-turbo',
  'whisper-large-v3',
  'llama-3.3-70b-versatile',
  'llama-3.1-8b-instant',
  'gpt-4o-mini',
  'tts-1',
];

type Route = {
  readonly endpoint: Endpoint;
  readonly bytesMax: number;
  readonly errorShape: ErrorShape;
  readonly keyOf: (request: IncomingMessage) => string;
  readonly handle: (exchange: Exchange, body: Buffer) => void | Promise<void>;
};

const bearerOf = (request: IncomingMessage): string => /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
const headerKeyOf = (request: IncomingMessage): string => {
  const key = request.headers['xi-api-key'];
  return typeof key === 'string' ? key : '';
};

function routeOf(method: string, path: string, query: URLSearchParams): Route | undefined {
  const [, prefix, rest] = /^(\/openai)?\/v1\/(.+)$/.exec(path) ?? [];
  const vendor = prefix === undefined ? 'openai' : 'groq';
  const errorShape = vendor === 'groq' ? groqError : openaiError;
  const shared = { errorShape, keyOf: bearerOf };
  switch (`${method} ${rest}`) {
    case 'POST audio/transcriptions':
      return {
        ...shared,
        endpoint: 'stt',
        bytesMax: uploadBytesMax,
        handle: (exchange, body) => {
          const requestId = vendor === 'groq' ? `req_simulated${exchange.draws.ordinal}` : undefined;
          return transcribe(exchange, body, { textPrefix: vendor === 'groq' ? ' ' : '', requestId });
        },
      };
    case 'POST chat/completions':
      return { ...shared, endpoint: 'llm', bytesMax: chatBytesMax, handle: (exchange, body) => chat(exchange, body, vendor) };
    case 'POST audio/speech':
      return { ...shared, endpoint: 'speech', bytesMax: speechBytesMax, handle: audioSpeech };
    default: {
      const [, voiceId, stream] = /^text-to-speech\/([^/]+)(\/stream)?$/.exec(rest ?? '') ?? [];
      if (method !== 'POST' || prefix !== undefined || voiceId === undefined) return undefined;
      return {
        endpoint: 'tts',
        bytesMax: speechBytesMax,
        errorShape: elevenLabsError,
        keyOf: headerKeyOf,
        handle: (exchange, body) => textToSpeech(exchange, body, voiceId, query, stream !== undefined),
      };
    }
  }
}

async function serve(services: Services, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://simulator');
  response.setHeader('server', simulatorName);
  if (url.pathname.startsWith('/_simulator/')) {
    return await control(services, url.pathname.slice('/_simulator'.length), url.searchParams, request, response);
  }
  if (request.method === 'GET' && /^(\/openai)?\/v1\/models$/.test(url.pathname)) {
    const errorShape = url.pathname.startsWith('/openai') ? groqError : openaiError;
    const data = modelIds.map((id) => ({ id, object: 'model', created: 1700000000, owned_by: simulatorName, active: true }));
    const key = bearerOf(request);
    const refused = jsonAnswer(errorShape(401, 'Invalid API Key', 'invalid_api_key'), 401);
    const answer = isKeyAccepted(key) ? jsonAnswer({ object: 'list', data }) : refused;
    response.writeHead(answer.head.status, answer.head.headers);
    response.end(answer.body);
    return;
  }
  const route = routeOf(request.method ?? '', url.pathname, url.searchParams);
  if (route === undefined) {
    const unknown = jsonAnswer(groqError(404, `Unknown request URL: ${request.method} ${url.pathname}.`, 'unknown_url'), 404);
    response.writeHead(404, unknown.head.headers);
    response.end(unknown.body);
    return;
  }
  const exchange = new Exchange(services, route.endpoint, url.pathname, request, response, route.errorShape);
  try {
    const body = await exchange.receive(route.bytesMax);
    if (body === undefined) return;
    if (!isKeyAccepted(route.keyOf(request))) throw new Refusal(401, 'Invalid API Key', 'invalid_api_key');
    await route.handle(exchange, body);
  } catch (error) {
    if (error instanceof Refusal) exchange.refuse(error);
    else exchange.refuse(new Refusal(500, `${simulatorName} failed: ${error instanceof Error ? error.message : String(error)}`));
  }
}

/** Refuses an upgrade with a plain HTTP answer. */
function refuseUpgrade(socket: Duplex, status: number, message: string, headers = ''): void {
  const body = JSON.stringify(elevenLabsError(status, message));
  const head = `HTTP/1.1 ${status} Refused\r\nserver: ${simulatorName}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}connection: close\r\n\r\n`;
  socket.end(head + body);
}

type Upgrades = {
  readonly services: Services;
  readonly server: WebSocketServer;
  readonly sockets: Set<ContextSocket>;
  /** Connections that the HTTP server has let go of. */
  readonly upgraded: Set<Duplex>;
};

function upgrade(
  { services, server, sockets, upgraded }: Upgrades,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  // The client may leave while its upgrade is under way; `close` follows.
  socket.on('error', () => undefined);
  upgraded.add(socket);
  socket.on('close', () => upgraded.delete(socket));
  const url = new URL(request.url ?? '/', 'http://simulator');
  const [, voiceId, kind] = /^\/v1\/text-to-speech\/([^/]+)\/(multi-stream-input|stream-input)$/.exec(url.pathname) ?? [];
  const draws = services.dealer.deal('tts_connect');
  const fault = services.faults.take('tts_connect', draws.random);
  const entry = services.journal.open('tts_connect', url.pathname, nowMs());
  if (fault !== undefined) entry.fault = fault.kind;
  // A new connection costs a round trip for TCP and one for the upgrade; the first is not simulated elsewhere.
  const stallMs = fault?.kind === 'stall' ? (fault.ms ?? 1500) : 0;
  const atMs = nowMs() + 2 * (draws.uplinkMs + draws.downlinkMs) + stallMs;
  services.schedule.at(atMs, () => {
    if (socket.destroyed) return;
    if (fault?.kind === 'refuse' || fault?.kind === 'close') return socket.destroy();
    if (fault?.kind === 'status') {
      const retryAfter = fault.retryAfterSeconds === undefined ? '' : `retry-after: ${fault.retryAfterSeconds}\r\n`;
      return refuseUpgrade(socket, fault.status ?? 500, 'refused on purpose', retryAfter);
    }
    if (voiceId === undefined) return refuseUpgrade(socket, 404, `Unknown request URL: ${url.pathname}`);
    const query = readQuery(url.searchParams);
    const key = headerKeyOf(request) || ('problem' in query ? '' : (query.key ?? ''));
    if (key !== '' && !isKeyAccepted(key)) return refuseUpgrade(socket, 401, 'Invalid API key');
    server.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
      if ('problem' in query) {
        webSocket.send(JSON.stringify({ message: query.problem, error: 'invalid_input_message', code: 1008 }));
        return webSocket.close(1008, query.problem.slice(0, 100));
      }
      const mode = kind === 'stream-input' ? 'single' : 'multi';
      const options = { services, mode, path: url.pathname, voiceId, query, hasKey: key !== '' } as const;
      const contextSocket = new ContextSocket(webSocket, options);
      sockets.add(contextSocket);
      webSocket.on('close', () => sockets.delete(contextSocket));
    });
  });
}

async function listen(server: Server, port: number, host: string): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return server.address() as AddressInfo;
}

/** Everything of the simulator but its port. Rejects when a clip or fault is malformed. `voice` is closed with it. */
export async function createProviders(
  options: Omit<ProvidersOptions, 'port' | 'host' | 'isVoicePrepared'>,
  voice: SimulatedVoice,
): Promise<ProviderServer> {
  const services: Services = {
    schedule: new Schedule(),
    journal: new Journal(),
    faults: new FaultBook(),
    answers: new AnswerBook(),
    recogniser: new Recogniser(new ClipLibrary()),
    voice,
    memory: new MessageMemory(),
    dealer: new Dealer(profiles[options.profile ?? 'reference'], options.seed ?? 1),
    wordErrorRatio: options.wordErrorRatio ?? 0,
  };
  const server = createServer({ keepAliveTimeout: keepAliveMs }, (request, response) => {
    void serve(services, request, response);
  });
  const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: messageBytesMax });
  webSockets.on('headers', (headers) => headers.push(`server: ${simulatorName}`));
  const sockets = new Set<ContextSocket>();
  const upgrades: Upgrades = { services, server: webSockets, sockets, upgraded: new Set() };
  server.on('upgrade', (request, socket, head) => upgrade(upgrades, request, socket, head));

  const close = async (): Promise<void> => {
    services.schedule.close();
    for (const socket of sockets) socket.stop();
    for (const client of webSockets.clients) client.terminate();
    for (const socket of upgrades.upgraded) socket.destroy();
    await services.voice.close();
  };
  try {
    for (const { registration, folder } of options.clips === undefined ? [] : await readClipFiles(options.clips)) {
      await registerClips(services, registration, folder);
    }
    if (options.faults !== undefined) addFaults(services, options.faults);
    return { services, server, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Starts the simulator. Rejects when the port is taken, the voice is missing or a clip or fault is malformed. */
export async function startProviders(options: ProvidersOptions = {}): Promise<Providers> {
  const { services, server, close: end } = await createProviders(options, new VoiceThread());
  const close = async (): Promise<void> => {
    await Promise.all([
      end(),
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    ]);
  };
  try {
    if (options.isVoicePrepared === true) services.voice.prepare(replyTexts.join(' '));
    const host = options.host ?? '127.0.0.1';
    const { port } = await listen(server, options.port ?? 0, host);
    return { port, url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`, services, close };
  } catch (error) {
    await close();
    throw error;
  }
}
