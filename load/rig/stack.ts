/**
 * The engine under test and the simulated providers, each as a process of its own, started and stopped by a rig. Reads the engine's log lines,
 * its metrics and what the system knows of its cost; asks the simulator for its journal. Runs on the thread of the rig.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../../src/shared/errors.js';
import { smallYoungGeneration } from '../../src/shared/young-generation.js';
import type { FaultOrder } from '../faults/inject.js';
import type { ScriptedAnswer } from '../providers/answers.js';
import type { ClipRegistration } from '../providers/clips.js';
import type { Fault } from '../providers/faults.js';
import type { Entry, LlmRequest } from '../providers/journal.js';
import type { ProfileName } from '../providers/profile.js';

const readyTimeoutMs = 60_000;
const stopTimeoutMs = 8000;
const requestTimeoutMs = 60_000;
/** Lines of the engine's log that are kept; a run of 100 calls writes some 30 a call and turn. */
const logLinesMax = 400_000;
const plainLinesMax = 200;

/** One line of the engine's log: named fields, instants (`…at_ms`) on the monotonic clock. */
export type LogLine = { readonly event: string; readonly [field: string]: string | number };

export type StackOptions = {
  readonly profile: ProfileName;
  readonly seed: number;
  readonly sessionsMax: number;
  /** Agents in the shape of the public API; `plainAgent` makes one. */
  readonly agents: readonly object[];
  /** `simulated`: the cloud adapters against the simulator; `embedded`: no key, no simulator. */
  readonly providers: 'simulated' | 'embedded';
  /** More settings of the engine. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The engine's threads can be broken with `breakEngine`. */
  readonly isBreakable?: boolean;
  /** A second simulator speaks OpenAI's protocols and is configured as the fallback of every stage. */
  readonly hasFallback?: boolean;
};

/** What a process has used so far. */
export type Cost = { readonly cpuMs: number; readonly residentMb: number };

/** Open files, connections and so on, and threads of a process. */
export type Handles = { readonly files: number; readonly threads: number };

export class Stack {
  /** Of the engine, for callers. */
  readonly url: string;
  readonly simulator: Simulator | undefined;
  readonly fallback: Simulator | undefined;
  /** What the engine printed at its start. */
  readonly says: readonly string[];
  readonly #engine: Child;
  readonly #providers: Child | undefined;
  readonly #children: readonly Child[];
  readonly #folder: string;
  readonly #logs: EngineLog;
  readonly #onExit: () => void;

  /** Resolves when both processes say that they are ready; fails with what they said otherwise. */
  static async start(options: StackOptions): Promise<Stack> {
    const folder = mkdtempSync(join(tmpdir(), 'parley-rig-'));
    const agentsPath = join(folder, 'agents.json');
    writeFileSync(agentsPath, JSON.stringify(options.agents));
    const children: Child[] = [];
    const killAll = (): void => {
      for (const child of children) child.kill();
    };
    process.once('exit', killAll);
    try {
      const { profile, seed } = options;
      let simulator: Simulator | undefined;
      let providers: Child | undefined;
      if (options.providers === 'simulated') {
        const started = new Child(
          'simulator',
          '../providers/main.js',
          ['--profile', profile, '--seed', `${seed}`, '--port', '0'],
          {},
        );
        children.push(started);
        const { url } = await started.ready(/ on (http:\/\/\S+)/);
        providers = started;
        simulator = new Simulator(url);
      }
      let fallback: Simulator | undefined;
      if (options.hasFallback === true) {
        const second = new Child('second simulator', '../providers/main.js', ['--profile', profile, '--port', '0'], {});
        children.push(second);
        fallback = new Simulator((await second.ready(/ on (http:\/\/\S+)/)).url);
      }
      const lists =
        fallback === undefined
          ? {}
          : {
              OPENAI_API_KEY: 'any',
              OPENAI_BASE_URL: `${fallback.url}/v1`,
              PARLEY_STT: 'groq,openai',
              PARLEY_LLM: 'groq,openai',
              PARLEY_TTS: 'elevenlabs,openai',
            };
      const cloud =
        simulator === undefined
          ? { PARLEY_STT: 'embedded', PARLEY_LLM: 'embedded', PARLEY_TTS: 'embedded' }
          : { GROQ_API_KEY: 'any', ELEVENLABS_API_KEY: 'any', GROQ_BASE_URL: simulator.url, ELEVENLABS_BASE_URL: simulator.url };
      const engine = new Child(
        'engine',
        '../../src/main.js',
        [],
        {
          ...cloud,
          ...lists,
          PARLEY_HOST: '127.0.0.1',
          PARLEY_PORT: '0',
          PARLEY_LOG: 'debug',
          PARLEY_STORE: 'memory',
          // Rig and engine share a machine, and the rig says itself when that was too busy.
          PARLEY_LOOP_DELAY_MAX_MS: '0',
          PARLEY_AGENTS: agentsPath,
          PARLEY_SESSIONS_MAX: `${options.sessionsMax}`,
          ...options.environment,
        },
        { nodeOptions: smallYoungGeneration, ...(options.isBreakable === true ? { preload: '../faults/inject.js' } : {}) },
      );
      children.push(engine);
      const logs = new EngineLog(engine.errors);
      const { url, says } = await engine.ready(/is ready .*(http:\/\/\S+?)\/?$/);
      return new Stack({ url, says, engine, children, simulator, fallback, folder, logs, providers, onExit: killAll });
    } catch (error) {
      process.removeListener('exit', killAll);
      await Promise.all(children.map((child) => child.stop()));
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(parts: {
    url: string;
    says: readonly string[];
    engine: Child;
    children: readonly Child[];
    providers: Child | undefined;
    simulator: Simulator | undefined;
    fallback: Simulator | undefined;
    folder: string;
    logs: EngineLog;
    onExit: () => void;
  }) {
    this.url = parts.url.replace(/^http/, 'ws');
    this.says = parts.says;
    this.simulator = parts.simulator;
    this.fallback = parts.fallback;
    this.#children = parts.children;
    this.#engine = parts.engine;
    this.#providers = parts.providers;
    this.#folder = parts.folder;
    this.#logs = parts.logs;
    this.#onExit = parts.onExit;
  }

  /** Log lines of one conversation so far, in order. */
  logOf(conversationId: string): readonly LogLine[] {
    return this.#logs.lines.get(conversationId) ?? [];
  }

  /** What the engine wrote on standard error that was no log line: empty for a healthy one. */
  get complaints(): readonly string[] {
    return this.#logs.plain;
  }

  /** `stage.problem` lines of all conversations: failures that the engine logged. */
  get problems(): readonly LogLine[] {
    return [...this.#logs.lines.values()].flat().filter(({ event }) => /\.(?:problem|failed|disorder)$/.test(event));
  }

  get engineDied(): boolean {
    return this.#engine.hasExited;
  }

  /** Resolves with the status when the engine's process has ended: a number, or the name of the signal. */
  get engineExit(): Promise<number | string> {
    return this.#engine.exit;
  }

  /** Only when the stack was started as breakable. */
  breakEngine(order: FaultOrder): void {
    this.#engine.send(order);
  }

  /** Nobody reads what the engine logs, until the stack is stopped. */
  stopReadingLog(): void {
    this.#engine.errors.removeAllListeners();
    this.#engine.errors.pause();
  }

  signalEngine(signal: NodeJS.Signals): void {
    this.#engine.signal(signal);
  }

  /** The engine's figures, by name with labels as Prometheus writes them. */
  async metrics(): Promise<Map<string, number>> {
    const answer = await fetch(`${this.url.replace(/^ws/, 'http')}/metrics`, { signal: AbortSignal.timeout(requestTimeoutMs) });
    return parseMetrics(await answer.text());
  }

  get enginePid(): number {
    return this.#engine.pid;
  }

  /** 0 without one. */
  get simulatorPid(): number {
    return this.#providers?.pid ?? 0;
  }

  /** Lines of the engine's log that belong to no conversation. */
  get processLog(): readonly LogLine[] {
    return this.logOf('');
  }

  engineCost(): Cost {
    return costOf(this.#engine.pid);
  }

  /** What the engine holds open. */
  engineHandles(): Handles {
    return handlesOf(this.#engine.pid);
  }

  simulatorCost(): Cost {
    return this.#providers === undefined ? { cpuMs: 0, residentMb: 0 } : costOf(this.#providers.pid);
  }

  /** Ends both processes and waits for them. */
  async stop(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop()));
    process.removeListener('exit', this.#onExit);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A percentile of a stage in ms: of the thread where it is worst, when several measure it. NaN when none did. */
export function stageMs(metrics: ReadonlyMap<string, number>, stage: string, quantile: string): number {
  let worst = Number.NaN;
  for (const [name, seconds] of metrics) {
    const isIt =
      name.startsWith('parley_stage_seconds{') && name.includes(`stage="${stage}"`) && name.includes(`quantile="${quantile}"`);
    if (isIt && !(worst >= seconds * 1000)) worst = seconds * 1000;
  }
  return worst;
}

/** Figures of Prometheus text: `name{labels}` → value. */
export function parseMetrics(text: string): Map<string, number> {
  const figures = new Map<string, number>();
  for (const line of text.split('\n')) {
    const space = line.lastIndexOf(' ');
    if (!line.startsWith('#') && space > 0) figures.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return figures;
}

/** An agent that speaks only when spoken to, and for as long as the rig likes. `id` `default` is the one that callers get unasked. */
export function plainAgent(id = 'default', changes: { readonly firstMessage?: string; readonly prompt?: string } = {}): object {
  return {
    agent_id: id,
    name: 'rig',
    conversation_config: {
      agent: {
        first_message: changes.firstMessage ?? '',
        prompt: { prompt: changes.prompt ?? 'You are the agent of a measurement.', max_tokens: 2000 },
      },
      turn: { turn_timeout: -1 },
      conversation: {
        max_duration_seconds: 7200,
        client_events: [
          'audio',
          'interruption',
          'user_transcript',
          'agent_response',
          'agent_response_correction',
          'agent_response_complete',
        ],
      },
    },
  };
}

/** The control interface of the simulated providers. */
export class Simulator {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async registerClips(clips: readonly ClipRegistration[]): Promise<void> {
    // One at a time: ten minutes of audio are the limit of one request.
    for (const clip of clips) await this.#ask('POST', '/clips', { clips: [clip] });
  }

  async addAnswers(answers: readonly ScriptedAnswer[]): Promise<void> {
    await this.#ask('POST', '/answers', { answers });
  }

  /** Orders faults, in place of those that are left. */
  async orderFaults(faults: readonly Fault[]): Promise<void> {
    await this.#ask('POST', '/faults', { faults, replace: true });
  }

  /** Single values in place of the profile's own (`profile.ts`). */
  async override(overrides: Readonly<Record<string, number>>): Promise<void> {
    await this.#ask('POST', '/profile', { overrides });
  }

  /** Every request so far, oldest first. */
  async journal(): Promise<readonly Entry[]> {
    return (await this.#ask<{ log: Entry[] }>('GET', '/log')).log;
  }

  /** What language models were asked so far. */
  async llmRequests(): Promise<readonly LlmRequest[]> {
    return (await this.#ask<{ requests: LlmRequest[] }>('GET', '/requests')).requests;
  }

  async tokensPerSecond(): Promise<number> {
    return (await this.#ask<{ profile: { tokensPerSecond: number } }>('GET', '/profile')).profile.tokensPerSecond;
  }

  async #ask<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const answer = await fetch(`${this.url}/_simulator${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    if (!answer.ok) throw new EngineError('broken', `the simulator refused ${method} ${path}: ${await answer.text()}`);
    return (await answer.json()) as Answer;
  }
}

/** The messages of a chat request as the simulator recorded it. */
export function messagesOf(request: LlmRequest): readonly { readonly role: string; readonly content: string }[] {
  return (request.body as { messages: { role: string; content: string }[] }).messages;
}

class EngineLog {
  readonly lines = new Map<string, LogLine[]>();
  readonly plain: string[] = [];
  #count = 0;

  constructor(errors: Readable) {
    createInterface({ input: errors }).on('line', (text) => this.#take(text));
  }

  #take(text: string): void {
    const line = parseLine(text);
    if (line === undefined) {
      if (this.plain.length < plainLinesMax) this.plain.push(text);
      return;
    }
    this.#count += 1;
    if (this.#count > logLinesMax) return;
    const id = String(line['conversation_id'] ?? '');
    const known = this.lines.get(id);
    if (known === undefined) this.lines.set(id, [line]);
    else known.push(line);
  }
}

function parseLine(text: string): LogLine | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}

class Child {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #said: string[] = [];
  readonly exit: Promise<number | string>;
  hasExited = false;

  /** `module` and `preload` (a module that is loaded first) are relative to this file, so that any output folder works; `nodeOptions`: of Node itself. */
  constructor(
    name: string,
    module: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
    { preload, nodeOptions = [] }: { readonly preload?: string; readonly nodeOptions?: readonly string[] } = {},
  ) {
    this.#name = name;
    const own = Object.entries(process.env).filter(([key]) => !/^(?:PARLEY|GROQ|OPENAI|ELEVENLABS)_/.test(key));
    const before = [...nodeOptions, ...(preload === undefined ? [] : ['--import', new URL(preload, import.meta.url).href])];
    this.#process = spawn(process.execPath, [...before, fileURLToPath(new URL(module, import.meta.url)), ...args], {
      stdio: preload === undefined ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...Object.fromEntries(own), ...environment },
    });
    this.exit = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => {
        this.hasExited = true;
        resolve(code ?? signal ?? 0);
      });
      this.#process.once('error', () => resolve('not started'));
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get errors(): Readable {
    return this.#process.stderr!;
  }

  /** Waits for the line that `pattern` matches; its first group is the address. Resolves with the lines that follow at once, too. */
  async ready(pattern: RegExp): Promise<{ url: string; says: readonly string[] }> {
    const address = new Promise<string>((resolve) => {
      createInterface({ input: this.#process.stdout! }).on('line', (line) => {
        this.#said.push(line);
        const found = pattern.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
    });
    const errors: string[] = [];
    const listen = (data: Buffer): void => void errors.push(data.toString());
    this.errors.on('data', listen);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), readyTimeoutMs);
    });
    const url = await Promise.race([address, this.exit.then(() => undefined), late]);
    clearTimeout(timer);
    this.errors.off('data', listen);
    if (url === undefined) {
      const told = [...this.#said, ...errors].join('\n').slice(0, 2000);
      throw new EngineError('broken', `the ${this.#name} did not start: ${told || 'it said nothing'}`);
    }
    return { url, says: this.#said };
  }

  send(message: object): void {
    this.#process.send?.(message);
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  kill(): void {
    if (!this.hasExited) this.#process.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    if (this.hasExited || this.#process.pid === undefined) return;
    this.#process.kill('SIGINT');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, stopTimeoutMs);
    });
    await Promise.race([this.exit, late]);
    clearTimeout(timer);
    this.kill();
    await this.exit;
  }
}

/** Of a running process of this machine. Zeros where the system has no /proc. */
function handlesOf(pid: number): Handles {
  try {
    return { files: readdirSync(`/proc/${pid}/fd`).length, threads: readdirSync(`/proc/${pid}/task`).length };
  } catch {
    return { files: 0, threads: 0 };
  }
}

/** Of a running process of this machine. Zeros where the system has no /proc. */
export function costOf(pid: number): Cost {
  try {
    // Fields 14 and 15 after the name, which may hold spaces: user and system time in ticks of 10 ms.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
    return { cpuMs: ticks * 10, residentMb: (pages * 4096) / 2 ** 20 };
  } catch {
    return { cpuMs: 0, residentMb: 0 };
  }
}
