/**
 * Several engine processes on one port: this process starts them, starts one anew that dies, tells each what the others do, hosts what they
 * share (`fleet/desk.ts`), and puts their figures together. It takes no part in a call. Why so: docs/decisions/several-processes.md.
 */

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, fixed } from './config.js';
import { FleetDesk, isHosted } from './fleet/desk.js';
import { EngineProcess } from './fleet/engine-process.js';
import { Gatherer } from './fleet/gatherer.js';
import type { FleetState, FromMember, Spread } from './fleet/links.js';
import { slotsFor } from './fleet/places.js';
import { providersOf } from './lane.js';
import { processGauges } from './server/calls-metrics.js';
import { canShareUws } from './server/open.js';
import { nowMs } from './shared/clock.js';
import { EngineError, problemOf } from './shared/errors.js';
import type { MetricsAnswer } from './shared/links.js';
import { createLog, type Log } from './telemetry/log.js';
import { prometheusText } from './telemetry/prometheus.js';
import { Totals } from './telemetry/totals.js';

const signingKeyBytes = 32;
/** Word of calls is gathered for so long before every process is told the sums. */
const stateEveryMs = 10;
/** Over what the engine processes take to stop. */
const killAfterMs = 5000;
/** Each process counts it for itself; the fleet knows better. */
const fleetsOwn = new Set(['parley_slots_free']);

type Member = EngineProcess<Config>;

export class Fleet {
  readonly port: number;
  readonly #says: string[];
  /** For each engine process, with the slots it has. */
  readonly #config: Config;
  readonly #placesMax: number;
  readonly #spread: Spread;
  readonly #desk: FleetDesk;
  readonly #acceptor: Server | undefined;
  readonly #folder: string;
  readonly #log: Log;
  readonly #onFatal: (error: Error) => void;
  readonly #members: Map<number, Member>;
  readonly #gatherer: Gatherer<Config>;
  /** Of processes that are gone. */
  readonly #past = new Totals();
  readonly #lastAnswers: MetricsAnswer[] = [];
  readonly #deathsAtMs: number[] = [];
  readonly #restarts = new Set<NodeJS.Timeout>();
  #lastNumber = 0;
  #turn = 0;
  #restartCount = 0;
  #stateTimer: NodeJS.Timeout | undefined;
  #isStopping = false;
  #stopping: Promise<MetricsAnswer[]> | undefined;

  /**
   * Resolves when every engine process takes calls; fails with what the first one said that cannot. `onFatal`: processes die one after another, or
   * cannot be started any more.
   */
  static async start(config: Config, onFatal: (error: Error) => void): Promise<Fleet> {
    const { reason, isShared } = await canShareUws(config.sockets);
    const port = await freePort(config.host, config.port);
    const own = config.api.signingKey !== '' || config.api.apiKey !== '';
    // What one process signs the others must know.
    const signingKey = own ? config.api.signingKey : randomBytes(signingKeyBytes).toString('base64url');
    const settings: Config = {
      ...config,
      port,
      sockets: isShared ? 'uws' : 'ws',
      sessionsMax: slotsFor(config.sessionsMax, config.processes),
      api: { ...config.api, signingKey },
    };
    const log = createLog(config.logLevel);
    const members = new Map<number, Member>();
    const fleet: { current: Fleet | undefined } = { current: undefined };
    const desk = await FleetDesk.open({
      store: config.api.store,
      hasWebhook: config.api.webhookUrl !== '',
      series: { sessions_max: config.sessionsMax, providers: providersOf(config) },
      gauges: () => fleet.current?.gauges() ?? {},
      members: () => new Set([...members.values()].filter(({ isUp }) => isUp).map(({ number }) => number)),
      nowMs: Date.now,
      onProblem: (error) => {
        const { kind, message } = problemOf(error);
        log('store.problem', { kind, message });
      },
    });
    const spread: Spread = isShared ? 'shared' : 'handed';
    const started = new Fleet(settings, config.sessionsMax, spread, desk, members, log, onFatal, reason);
    fleet.current = started;
    try {
      const says = await Promise.all(Array.from({ length: config.processes }, () => started.#begin()));
      started.#says.push(...new Set(says.flat()));
      await started.#accept();
    } catch (error) {
      await started.stop(0);
      throw error;
    }
    return started;
  }

  private constructor(
    settings: Config,
    placesMax: number,
    spread: Spread,
    desk: FleetDesk,
    members: Map<number, Member>,
    log: Log,
    onFatal: (error: Error) => void,
    reason: string,
  ) {
    this.port = settings.port;
    this.#config = settings;
    this.#placesMax = placesMax;
    this.#spread = spread;
    this.#desk = desk;
    this.#members = members;
    this.#log = log;
    this.#onFatal = onFatal;
    this.#folder = mkdtempSync(join(tmpdir(), 'parley-idle-'));
    const store = isHosted(settings.api.store) ? 'the store is hosted by this one' : 'each opens the store';
    this.#says = [`${settings.processes} engine processes on one port (${reason}); ${store}.`];
    this.#gatherer = new Gatherer(() => this.#up, nowMs);
    this.#acceptor =
      spread === 'handed'
        ? createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => this.#hand(socket))
        : undefined;
  }

  /** Of itself, and what the engine processes said when they were ready, one line each. */
  get says(): readonly string[] {
    return this.#says;
  }

  /** Calls of all processes. */
  get liveCount(): number {
    let count = 0;
    for (const { calls } of this.#members.values()) count += calls.size;
    return count;
  }

  /** Process ids of the engine processes, by number. */
  get pids(): ReadonlyMap<number, number> {
    return new Map([...this.#members].map(([number, { pid }]) => [number, pid]));
  }

  get #up(): readonly Member[] {
    return [...this.#members.values()].filter(({ isUp }) => isUp);
  }

  /** What is known of the fleet alone. */
  gauges(): Record<string, number> {
    const calls = [...this.#members.values()].map(({ number, calls }) => [
      `parley_process_calls{process="${number}"}`,
      calls.size,
    ]);
    return {
      parley_slots_free: Math.max(0, this.#placesMax - this.liveCount),
      parley_processes_up: this.#up.length,
      ...Object.fromEntries(calls),
    };
  }

  /** For Prometheus: all processes together, those that are gone included. */
  async text(): Promise<string> {
    await this.#gatherer.gather('totals');
    const totals = new Totals().add(this.#past.plain());
    for (const { totals: own } of this.#members.values()) totals.add(withoutGauges(own, fleetsOwn));
    for (const { name, value } of processGauges()) totals.addGauge(name, value);
    for (const [name, value] of Object.entries(this.gauges())) totals.addGauge(name, value);
    totals.count('parley_process_restarts_total', this.#restartCount);
    return prometheusText(totals);
  }

  /**
   * Every process says that it is not ready, takes new calls for `noticeMs` still, lets calls finish for `drainMs`, and ends. A later call without
   * time ends the waits of the first. Resolves with the last figures of all when all are gone.
   */
  stop(drainMs: number, noticeMs = 0): Promise<MetricsAnswer[]> {
    this.#isStopping = true;
    for (const timer of this.#restarts) clearTimeout(timer);
    for (const member of this.#members.values()) member.send({ type: 'stop', drainMs, noticeMs });
    const kill = setTimeout(
      () => {
        for (const member of this.#members.values()) member.kill();
      },
      drainMs + noticeMs + fixed.stopTimeoutMs + killAfterMs,
    );
    this.#stopping ??= this.#stopped();
    return this.#stopping.finally(() => clearTimeout(kill));
  }

  async #stopped(): Promise<MetricsAnswer[]> {
    this.#log('engine.stopping', { calls: this.liveCount });
    await Promise.all([...this.#members.values()].map(({ exit }) => exit));
    clearTimeout(this.#stateTimer);
    this.#acceptor?.close();
    await this.#desk.close();
    rmSync(this.#folder, { recursive: true, force: true });
    return this.#lastAnswers;
  }

  /** Starts one engine process; resolves with what it says when it is up. */
  async #begin(): Promise<readonly string[]> {
    this.#lastNumber += 1;
    const number = this.#lastNumber;
    let onStart: (message: FromMember) => void = () => undefined;
    const member: Member = new EngineProcess(
      number,
      {
        settings: this.#config,
        setup: this.#desk.setupFor(number),
        spread: this.#spread,
        idlePath: join(this.#folder, `${number}`),
        placesMax: this.#placesMax,
      },
      (message) => {
        onStart(message);
        this.#take(member, message);
      },
    );
    this.#members.set(number, member);
    for (const other of this.#members.values()) {
      for (const call of other.calls.values())
        member.send({ type: 'news', member: other.number, news: { type: 'opened', call } });
    }
    void member.exit.then((how) => this.#gone(member, how));
    const { says } = await member.ready((listen) => (onStart = listen), fixed.readyTimeoutMs);
    return says;
  }

  #take(member: Member, message: FromMember): void {
    switch (message.type) {
      case 'ready':
        member.isUp = true;
        member.isOpen = true;
        this.#changed();
        return;
      case 'news':
        if (message.news.type === 'opened') member.opened(message.news.call);
        else member.calls.delete(message.news.conversationId);
        this.#tellOthers(member, { type: 'news', member: member.number, news: message.news });
        this.#changed();
        return;
      case 'door':
        member.isOpen = message.isOpen && member.isUp;
        this.#changed();
        return;
      case 'figures':
        this.#gatherer.take(message, member);
        return;
      case 'ask':
        void this.#answer(member, message);
        return;
      case 'leaving':
        member.isOpen = false;
        member.isLeaving = true;
        if (!this.#isStopping) this.#replace(`engine process ${member.number} has lost a lane for good`);
        return;
      case 'stopped':
        this.#lastAnswers.push(...message.answers);
        return;
      case 'failed':
        return;
    }
  }

  async #answer(member: Member, { id, form }: Extract<FromMember, { type: 'ask' }>): Promise<void> {
    const text = form === 'totals' ? await this.text() : '';
    const { answers } = form === 'histograms' ? await this.#gatherer.gather(form) : { answers: [] };
    member.send({ type: 'told', id, text, answers });
  }

  #tellOthers(member: Member, message: Parameters<Member['send']>[0]): void {
    for (const other of this.#members.values()) if (other !== member) other.send(message);
  }

  #gone(member: Member, how: number | string): void {
    this.#members.delete(member.number);
    // What it did stays counted; what it had is no more.
    this.#past.add({ ...member.totals, gauges: {} });
    this.#tellOthers(member, { type: 'gone', member: member.number });
    this.#desk.gone(member.number);
    this.#changed();
    if (this.#isStopping) return;
    this.#log('process.failed', { process: member.number, how, calls: member.calls.size });
    if (!member.isLeaving) this.#replace(`engine process ${member.number} ended: ${how}`);
  }

  /** One process is to take the place of one that is gone, or about to go. */
  #replace(why: string): void {
    const atMs = nowMs();
    while (this.#deathsAtMs.length > 0 && atMs - this.#deathsAtMs[0]! > fixed.processRestartWindowMs) this.#deathsAtMs.shift();
    this.#deathsAtMs.push(atMs);
    if (this.#deathsAtMs.length > fixed.processRestartsMax) {
      this.#onFatal(
        new EngineError('broken', `${this.#deathsAtMs.length} engine processes were lost in a minute; the last: ${why}`),
      );
      return;
    }
    const timer = setTimeout(() => {
      this.#restarts.delete(timer);
      this.#restartCount += 1;
      // A process that cannot start has ended, which is another death.
      this.#begin().then(
        () => this.#log('process.restarted', { process: this.#lastNumber }),
        (error: unknown) => this.#log('process.problem', { message: problemOf(error).message }),
      );
    }, fixed.processRestartDelayMs);
    this.#restarts.add(timer);
  }

  /** Soon everybody is told how many calls there are, and who is on the port. */
  #changed(): void {
    this.#stateTimer ??= setTimeout(() => {
      this.#stateTimer = undefined;
      const up = this.#up;
      const openCount = up.filter(({ isOpen }) => isOpen).length;
      const { liveCount: calls } = this;
      const free = Math.max(0, this.#placesMax - calls);
      const state: FleetState = { openCount, processCount: this.#config.processes, calls, free };
      for (const member of up) {
        member.send({ type: 'state', state });
        // One that cannot take calls leaves the port to those that can. When none can, all stay, and say so.
        const isListening = member.isOpen || openCount === 0;
        if (isListening === member.isListening) continue;
        member.isListening = isListening;
        member.send({ type: 'listen', isListening });
      }
    }, stateEveryMs);
  }

  /** To the process with the fewest calls that can take one; among equals in turn. */
  #hand(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    const up = this.#up;
    const open = up.filter(({ isOpen }) => isOpen);
    const able = open.length > 0 ? open : up;
    const atMs = nowMs();
    this.#turn += 1;
    let best: Member | undefined;
    for (let index = 0; index < able.length; index += 1) {
      const member = able[(index + this.#turn) % able.length]!;
      if (best === undefined || member.load(atMs) < best.load(atMs)) best = member;
    }
    if (best === undefined) socket.destroy();
    else best.hand(socket, atMs);
  }

  #accept(): Promise<void> {
    const acceptor = this.#acceptor;
    if (acceptor === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      acceptor.once('error', (cause) => reject(portTaken(this.#config.host, this.port, cause)));
      acceptor.listen(this.port, this.#config.host, resolve);
    });
  }
}

function withoutGauges(totals: Member['totals'], names: ReadonlySet<string>): Member['totals'] {
  return { ...totals, gauges: Object.fromEntries(Object.entries(totals.gauges).filter(([name]) => !names.has(name))) };
}

/**
 * The port that all will share. Processes that share one by SO_REUSEPORT do not notice a stranger on it, so it is looked at first. 0: any free
 * one.
 */
function freePort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (cause) => reject(portTaken(host, port, cause)));
    probe.listen(port, host, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
    });
  });
}

function portTaken(host: string, port: number, cause: Error): EngineError {
  const isTaken = 'code' in cause && cause.code === 'EADDRINUSE';
  return new EngineError('config', `Cannot listen on ${host}:${port}: ${isTaken ? 'the port is taken' : cause.message}.`, {
    cause,
  });
}
