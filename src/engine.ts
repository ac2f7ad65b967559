/**
 * The engine, put together: memory, threads, calls, sockets. Main thread. `main.ts` starts one from the environment; benches and tests start
 * it with a configuration of theirs.
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { totalmem } from 'node:os';

import './shared/no-telemetry.js';

import { checkWritten } from './api/agent-documents.js';
import { agentKeyWarnings } from './api/agent-keys.js';
import { type Config, fixed } from './config.js';
import { checkDescriptors, descriptorLimit, descriptorsNeeded } from './descriptors.js';
import { EngineFigures } from './engine-figures.js';
import type { FleetState } from './fleet/links.js';
import type { Membership } from './fleet/membership.js';
import { signingKeyOf } from './server/access.js';
import { ApiGate } from './server/api-gate.js';
import { Calls, type Visitor } from './server/calls.js';
import { callsFigures, callsMetrics } from './server/calls-metrics.js';
import { ClientAddresses, parseProxies } from './server/client-address.js';
import { Neighbours } from './server/neighbours.js';
import { type ChosenSocketServer, openSocketServer } from './server/open.js';
import { loadPages } from './server/pages.js';
import { memoryRatio, Pressure, pressureDefaults } from './server/pressure.js';
import { createRoutes } from './server/routes.js';
import { StoreWatch } from './server/store-watch.js';
import { uploadRule } from './server/upload-rule.js';
import { nowMs } from './shared/clock.js';
import { EngineError } from './shared/errors.js';
import type { MetricsAnswer } from './shared/links.js';
import { takePriority } from './shared/priority.js';
import { createBlock } from './shared/slots.js';
import { hopSamples } from './shared/units.js';
import { loadAgents, parseAgent } from './store/agents.js';
import { defaultAgent } from './store/default-agent.js';
import { createLog, type Log } from './telemetry/log.js';
import { watchLoop } from './telemetry/loop.js';
import { Recorder } from './telemetry/recorder.js';
import { createStrips } from './telemetry/strip.js';
import type { PlainTotals } from './telemetry/totals.js';
import { Threads } from './threads.js';

const socketLimits = {
  messageBytesMax: 1024 * 1024,
  bodyBytesMax: 1024 * 1024,
  bodyTimeoutMs: 10_000,
  bodiesBytesMax: 256 * 1024 * 1024,
  headerBytesMax: 16 * 1024,
  bufferedBytesMax: 1024 * 1024,
} as const;

const metricsTimeoutMs = 1000;

export const version: string = readVersion();

export class Engine {
  readonly port: number;
  readonly #host: string;
  /** Takes a connection that was accepted elsewhere; undefined: this process listens itself. */
  readonly #handed: ((socket: Socket) => void) | undefined;
  readonly #figures: EngineFigures;
  #isListening = true;
  /** What serves: sockets, recognition, model, synthesis; one line each. */
  readonly says: readonly string[];
  readonly #server: ChosenSocketServer;
  readonly #calls: Calls;
  readonly #threads: Threads;
  readonly #recorder: Recorder;
  readonly #api: ApiGate;
  readonly #log: Log;
  /** `isLeaving`: balancers shall send nobody any more. */
  readonly #state: { isLeaving: boolean };
  readonly #stopTimers: () => void;
  readonly #hurry = new AbortController();
  #stopping: Promise<MetricsAnswer[]> | undefined;

  private constructor(parts: {
    place: { readonly host: string; readonly port: number };
    figures: EngineFigures;
    handed: ((socket: Socket) => void) | undefined;
    says: readonly string[];
    server: ChosenSocketServer;
    calls: Calls;
    threads: Threads;
    recorder: Recorder;
    api: ApiGate;
    log: Log;
    state: { isLeaving: boolean };
    stopTimers: () => void;
  }) {
    this.port = parts.place.port;
    this.#host = parts.place.host;
    this.#figures = parts.figures;
    this.#handed = parts.handed;
    this.says = parts.says;
    this.#server = parts.server;
    this.#calls = parts.calls;
    this.#threads = parts.threads;
    this.#recorder = parts.recorder;
    this.#api = parts.api;
    this.#log = parts.log;
    this.#state = parts.state;
    this.#stopTimers = parts.stopTimers;
  }

  /**
   * Resolves when calls can be taken. `onFatal`: a lane is lost for good. No new calls are taken; those of other lanes may finish, then the
   * process should end with a status that makes its supervisor start another. `fleet`: this process is one of several. `onNews`: a line for whoever
   * looks at the terminal, also later.
   */
  static async start(
    config: Config,
    onFatal: (error: Error) => void,
    fleet?: Membership,
    onNews: (line: string) => void = () => undefined,
  ): Promise<Engine> {
    const log = createLog(config.logLevel);
    checkDescriptors(descriptorsNeeded(config), descriptorLimit());
    const notes: string[] = [];
    const agents = loadAgents(config.agentsPath, parseAgent(defaultAgent, 'the built-in agent'), {
      check: checkWritten,
      onRead: (file, document) => {
        for (const { path, message } of agentKeyWarnings(document)) {
          log('agent.warning', { file, path: path.join('.'), message });
          notes.push(`${file}: ${path.join('.')}: ${message}`);
        }
      },
    });
    const block = createBlock(config.sessionsMax);
    const strips = createStrips(config.lanes);
    const recorder = new Recorder('main', strips.main);
    const keys = { apiKey: config.api.apiKey, signingKey: signingKeyOf(config.api.signingKey, config.api.apiKey) };
    const isLoopback = isLoopbackHost(config.host);
    const gate: { current: ApiGate | undefined } = { current: undefined };
    const storeWatch = new StoreWatch(onNews);
    // Calls and threads know each other; calls exist first and are closed until the threads are ready.
    const calls: { current: Calls | undefined } = { current: undefined };
    const apiFacts = {
      version,
      signingKey: keys.signingKey,
      isLoopback,
      processStartedAtMs: Date.now(),
      strips,
      fleet: fleet?.setup,
    };
    const figures = new EngineFigures(
      strips,
      recorder,
      async () => [callsMetrics(live, recorder), ...(await threads.metrics(metricsTimeoutMs))],
      nowMs,
    );
    const threads = await Threads.start(config, [...agents.values()], block, apiFacts, {
      onConversation: (message) => calls.current?.fromConversation(message),
      onReleased: (message) => calls.current?.released(message),
      onRing: () => calls.current?.ring(),
      onSessionFailed: (message) => calls.current?.failed(message),
      onLaneDown: (isOfLane, thread, error, isForGood) => {
        recorder.count('parley_lane_deaths_total', `thread="${thread}"`);
        recorder.count('parley_errors_total', 'stage="engine",error_type="unknown_websocket_crash"');
        log('thread.failed', { thread, message: error.message, is_for_good: isForGood ? 1 : 0 });
        calls.current?.lost(isOfLane);
        if (!isForGood) return;
        if (calls.current !== undefined) calls.current.isOpen = false;
        onFatal(error);
      },
      onLaneUp: (isOfLane) => {
        recorder.count('parley_lane_restarts_total');
        log('thread.restarted');
        calls.current?.restored(isOfLane);
      },
      onApi: (message) => {
        if (message.type === 'store') storeWatch.told(message);
        else gate.current?.fromApi(message);
      },
      onApiDeath: (error, restartsInMs) => {
        recorder.count('parley_api_deaths_total');
        log('thread.failed', { thread: 'api', message: error.message, restarts_in_ms: restartsInMs ?? -1 });
        gate.current?.died();
        storeWatch.lost();
      },
    });
    const api = new ApiGate((message) => threads.toApi(message), recorder);
    gate.current = api;
    const live = new Calls(block, threads.lanes, recorder, log, nowMs, keys, {
      address: config.addresses,
      addresses: new ClientAddresses(parseProxies(config.addresses.trustedProxies)),
      placesMax: fleet?.placesMax ?? config.sessionsMax,
      neighbours: fleet?.neighbours ?? new Neighbours(),
      tell: fleet?.tell ?? (() => undefined),
    });
    calls.current = live;
    recorder.figures = () => {
      const { gauges, counters } = callsFigures(live);
      return { gauges: [...gauges, ...threads.gauges()], counters };
    };
    const pressure = new Pressure({ ...pressureDefaults, loopDelayMaxMs: config.loopDelayMaxMs });
    live.overload = () => pressure.reason;
    const state = { isLeaving: false };
    const page = loadPages();
    const http = createRoutes({
      version,
      unready: () => unready(live, state.isLeaving, pressure, fleet?.state()),
      providers: () => threads.providers(),
      store: () => storeWatch.state,
      counts: () => fleet?.state() ?? { calls: live.liveCount, free: live.freeCount },
      metricsText: fleet?.text ?? (() => figures.text()),
      metricsAnswers: fleet?.answers ?? (() => figures.answers()),
      page,
      api,
      onError: (path, error) => log('http.failed', { path, message: error instanceof Error ? error.message : String(error) }),
    });
    let server: ChosenSocketServer | undefined;
    try {
      server = await openSocketServer<Visitor>(
        config.sockets,
        {
          upgrade: (request) => live.upgrade(request),
          opened: (visitor, connection) => live.opened(visitor, connection),
          message: (visitor, bytes, isBinary) => live.message(visitor, bytes, isBinary),
          pong: () => undefined,
          closed: (visitor, code) => live.closed(visitor, code),
          http,
        },
        { ...socketLimits, bodyOf: (method, path) => uploadRule(method, path, (id) => live.isLive(id)) },
      );
      const handed = fleet?.spread === 'handed' ? await server.serveHanded(fleet.idlePath) : undefined;
      const port = handed === undefined ? await server.listen(config.host, config.port, fleet !== undefined) : config.port;
      const sweeper = setInterval(() => live.sweep(), fixed.sweepMs);
      const loop = watchLoop(recorder, (delayMs) => pressure.loopDelay(delayMs));
      const memoryBytes = totalmem();
      const judge = setInterval(() => {
        const waitingShare = live.waitingShare(waitingSamplesMax);
        pressure.second({ calls: live.liveCount, waitingShare, memoryRatio: memoryRatio(memoryBytes) });
      }, 1000);
      live.isOpen = true;
      const doorman = fleet === undefined ? undefined : watchDoor(live, pressure, fleet);
      // After the threads: a new one inherits it, and each sets its own.
      const niceness = config.isPriorityTaken ? takePriority('media') : 0;
      const goFirst = niceness < 0 ? ['threads that callers wait for go first on a busy machine'] : [];
      const says = [
        server.reason,
        ...threads.says,
        ...goFirst,
        accessNote(config.api.apiKey !== '', isLoopback),
        ...firstOf(notes),
      ];
      const stopTimers = (): void => {
        clearInterval(sweeper);
        clearInterval(judge);
        clearInterval(doorman);
        loop.stop();
      };
      const place = { host: config.host, port };
      return new Engine({ place, says, server, calls: live, threads, recorder, api, log, state, stopTimers, figures, handed });
    } catch (error) {
      await server?.close();
      await threads.stop();
      throw error;
    }
  }

  get liveCount(): number {
    return this.#calls.liveCount;
  }

  /** Since the start, out of shared memory. */
  totals(): PlainTotals {
    return this.#figures.totals().plain();
  }

  /** Of a fleet with a shared port: leaves it to the other processes for a while, or comes back. */
  async listen(isListening: boolean): Promise<void> {
    if (this.#handed !== undefined || isListening === this.#isListening || this.#stopping !== undefined) return;
    this.#isListening = isListening;
    if (isListening) await this.#server.listen(this.#host, this.port, true);
    else this.#server.stopListening();
  }

  /** A connection that the process which leads the fleet has accepted. */
  take(socket: Socket): void {
    if (this.#handed === undefined) socket.destroy();
    else this.#handed(socket);
  }

  /** Figures of all threads. */
  async metrics(): Promise<MetricsAnswer[]> {
    return [callsMetrics(this.#calls, this.#recorder), ...(await this.#threads.metrics(metricsTimeoutMs))];
  }

  /**
   * Says at once that it is not ready; `noticeMs` later it takes no new calls, lets the running ones finish for `drainMs`, ends what is left
   * with 1011, then stops everything. It answers HTTP to the end, so that balancers see why. A later call without time ends the waits of
   * the first. Resolves with the last figures of all threads.
   */
  stop(drainMs: number, noticeMs = 0, reason = 'The server is restarting. Please call again.'): Promise<MetricsAnswer[]> {
    this.#state.isLeaving = true;
    if (noticeMs <= 0) this.#calls.isOpen = false;
    if (drainMs <= 0) {
      this.#hurry.abort();
      this.#calls.endAll(1011, reason);
    }
    this.#stopping ??= this.#drain(drainMs, noticeMs, reason);
    return this.#stopping;
  }

  async #drain(drainMs: number, noticeMs: number, reason: string): Promise<MetricsAnswer[]> {
    this.#log('engine.stopping', { calls: this.#calls.liveCount });
    await delay(noticeMs, this.#hurry.signal);
    this.#calls.isOpen = false;
    if (!this.#calls.isEmpty) {
      await Promise.race([
        new Promise<void>((resolve) => (this.#calls.onEmpty = resolve)),
        delay(Math.max(drainMs, closeWaitMs), drainMs <= 0 ? undefined : this.#hurry.signal),
      ]);
    }
    // Not all at once: their callers come back to the other nodes together otherwise.
    while (this.#calls.endSome(endBatch, 1011, reason) === endBatch && !this.#hurry.signal.aborted) {
      await delay(endBatchMs * (0.5 + Math.random()), this.#hurry.signal);
    }
    this.#calls.endAll(1011, reason);
    if (!this.#calls.isEmpty) await delay(closeWaitMs);
    this.#stopTimers();
    this.#api.close();
    await this.#server.close();
    const last = await this.metrics();
    await this.#threads.stop();
    return last;
  }
}

/** Why no calls should be sent here, for balancers; undefined: they should. Any process of a fleet speaks for all. */
function unready(live: Calls, isLeaving: boolean, pressure: Pressure, fleet: FleetState | undefined): string | undefined {
  if (isLeaving || (!live.isOpen && (fleet?.openCount ?? 0) === 0)) return 'draining';
  if ((fleet?.free ?? live.freeCount) === 0) return 'full';
  return fleet !== undefined && fleet.openCount > 0 ? undefined : pressure.reason;
}

const doorEveryMs = 100;

/** Says when this process cannot take calls although others of the fleet may, and when it can again. */
function watchDoor(live: Calls, pressure: Pressure, fleet: Membership): NodeJS.Timeout {
  let wasOpen = true;
  return setInterval(() => {
    const isOpen = live.isOpen && live.slotsFree > 0 && pressure.reason === undefined;
    if (isOpen === wasOpen) return;
    wasOpen = isOpen;
    fleet.onDoor(isOpen);
  }, doorEveryMs);
}

function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function accessNote(hasKey: boolean, isLoopback: boolean): string {
  if (hasKey) return 'REST: with the API key of PARLEY_API_KEY.';
  return isLoopback
    ? 'REST: open, because only this machine can reach it. PARLEY_API_KEY asks for a key.'
    : 'REST: closed, because this server can be reached from elsewhere and has no PARLEY_API_KEY.';
}

/** Warnings about agents that are shown at start; the log has all. */
const notesMax = 10;

function firstOf(notes: readonly string[]): string[] {
  const more = notes.length - notesMax;
  return more <= 0 ? [...notes] : [...notes.slice(0, notesMax), `${more} more warnings about agents are in the log.`];
}

/** Time for close frames to leave. */
const closeWaitMs = 250;
/** Calls that are ended together, and how far apart, about. */
const endBatch = 32;
const endBatchMs = 100;
/** Three hops. */
const waitingSamplesMax = 3 * hopSamples;

/** Ends early when `signal` aborts. */
function delay(durationMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (durationMs <= 0 || signal?.aborted === true) {
      resolve();
      return;
    }
    const timer = setTimeout(resolve, durationMs);
    signal?.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const value: unknown = JSON.parse(text);
  if (typeof value === 'object' && value !== null && 'version' in value) return String(value.version);
  throw new EngineError('missing', 'package.json has no version');
}
