/** The processes of callers of a load run: started, given their shares of the calls, listened to. Runs in the process that leads the run. */
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../../src/shared/errors.js';
import { newTally, type Tally } from './behaviour.js';
import type { CrewInterval, CrewStart, CrewTick, FromCrew, ToCrew } from './crew-messages.js';

/** One process serves this many calls at well under half a core. */
const callsPerProcess = 300;
const readyTimeoutMs = 30_000;
/** After the plan has ended: for the last hang-ups. */
const endTimeoutMs = 15_000;
const tallyKeys = Object.keys(newTally()) as (keyof Tally)[];

/** How many processes `sessions` calls need: at most half of the cores, since the server may want the others. */
export function processesFor(sessions: number, cores = availableParallelism()): number {
  return Math.max(1, Math.min(Math.floor(cores / 2), Math.ceil(sessions / callsPerProcess)));
}

export type CrewNews = {
  readonly onTick: () => void;
  readonly onInterval: (interval: CrewInterval) => void;
};

export type CrewEnd = { readonly tally: Tally; readonly failures: ReadonlyMap<string, number> };

export class Crew {
  readonly #members: Member[];

  /** Resolves when every process has made its audio and waits for `run`. */
  static async start(options: Omit<CrewStart, 'type'>, processes: number, news: CrewNews): Promise<Crew> {
    const members = Array.from({ length: processes }, () => new Member(news));
    const crew = new Crew(members);
    try {
      await Promise.all(
        members.map((member, index) =>
          member.start({ ...options, type: 'start', calls: options.calls.filter(({ seat }) => seat % processes === index) }),
        ),
      );
    } catch (error) {
      crew.kill();
      throw error;
    }
    return crew;
  }

  private constructor(members: Member[]) {
    this.#members = members;
  }

  /** Resolves when every call is over. Fails when a process of callers died or does not come to its end. */
  async run(atMonotonicMs: number, totalMs: number): Promise<CrewEnd> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new EngineError('timeout', 'the callers did not come to their end')),
        totalMs + endTimeoutMs + 1000,
      );
    });
    try {
      const ends = await Promise.race([Promise.all(this.#members.map((member) => member.run(atMonotonicMs))), late]);
      const failures = new Map<string, number>();
      for (const end of ends)
        for (const [reason, count] of Object.entries(end.failures)) failures.set(reason, (failures.get(reason) ?? 0) + count);
      return { tally: sumOf(ends.map(({ tally }) => tally)), failures };
    } finally {
      clearTimeout(timer);
      this.kill();
    }
  }

  /** Hangs up everywhere; `run` resolves soon after. */
  stop(): void {
    for (const member of this.#members) member.send({ type: 'stop' });
  }

  kill(): void {
    for (const member of this.#members) member.kill();
  }

  get live(): number {
    return this.#members.reduce((sum, { last }) => sum + (last?.live ?? 0), 0);
  }

  get tally(): Tally {
    return sumOf(this.#members.flatMap(({ last }) => last?.tally ?? []));
  }

  /** CPU time of all processes so far. */
  get cpuMs(): number {
    return this.#members.reduce((sum, { last }) => sum + (last?.cpuMs ?? 0), 0);
  }
}

function sumOf(tallies: readonly Tally[]): Tally {
  const sum = newTally();
  for (const tally of tallies) for (const key of tallyKeys) sum[key] += tally[key];
  return sum;
}

type Done = Extract<FromCrew, { type: 'done' }>;

class Member {
  last: CrewTick | undefined;
  readonly #process: ChildProcess;
  readonly #news: CrewNews;
  #onReady: () => void = () => undefined;
  #onDone: (done: Done) => void = () => undefined;
  #onDeath: (error: Error) => void = () => undefined;
  #isDone = false;

  constructor(news: CrewNews) {
    this.#news = news;
    this.#process = fork(fileURLToPath(new URL('./caller-process.js', import.meta.url)), [], { serialization: 'advanced' });
    this.#process.on('message', (message: FromCrew) => this.#take(message));
    this.#process.on('exit', (code) => {
      if (!this.#isDone) this.#onDeath(new EngineError('broken', `a process of callers ended with code ${code}`));
    });
    this.#process.on('error', (error) => this.#onDeath(error));
  }

  start(message: CrewStart): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new EngineError('timeout', 'a process of callers did not start')), readyTimeoutMs);
      this.#onDeath = (error) => {
        clearTimeout(timer);
        reject(error);
      };
      this.#onReady = () => {
        clearTimeout(timer);
        resolve();
      };
      this.send(message);
    });
  }

  run(atMonotonicMs: number): Promise<Done> {
    return new Promise((resolve, reject) => {
      this.#onDone = resolve;
      this.#onDeath = reject;
      this.send({ type: 'go', atMonotonicMs });
    });
  }

  send(message: ToCrew): void {
    if (this.#process.connected) this.#process.send(message);
  }

  kill(): void {
    this.#isDone = true;
    if (this.#process.exitCode === null) this.#process.kill('SIGKILL');
  }

  #take(message: FromCrew): void {
    if (message.type === 'ready') this.#onReady();
    if (message.type === 'interval') this.#news.onInterval(message);
    if (message.type === 'tick') {
      this.last = message;
      this.#news.onTick();
    }
    if (message.type === 'done') {
      this.#isDone = true;
      this.#onDone(message);
    }
  }
}
