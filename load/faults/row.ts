/** What a row of the fault table is, and what it has to work with. */
import { setTimeout as wait } from 'node:timers/promises';
import { EngineError } from '../../src/shared/errors.js';
import { plainAgent, Stack, type StackOptions } from '../rig/stack.js';
import { Client } from './client.js';

export type Row = {
  readonly what: string;
  readonly promised: string;
  /** Resolves with what was observed; throws when that is not what was promised. */
  readonly run: (bench: Bench) => Promise<string>;
};

/** Rows that share an engine, one after the other. */
export type Group = {
  readonly title: string;
  readonly options: Partial<StackOptions>;
  /** A call that talks without end beside every row must not notice: hole in its sound at most `holeMaxMs`. */
  readonly hasBeside: boolean;
  readonly rows: readonly Row[];
};

export const sentence = 'Seven boats came home late.';
export const apology = /^Sorry, something went wrong/;
/** A longer silence is heard as a break. The rig's own lateness comes on top. */
export const holeMaxMs = 400;
const longText = Array.from({ length: 40 }, (_, index) => `This is line ${index + 1} of a call that nothing disturbs.`).join(' ');
const pollMs = 50;

/** How late the rig's own loop was at worst since an instant: what a client of it heard too late may have been on time. */
export class Lateness {
  readonly #late: { readonly atMs: number; readonly lateMs: number }[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor() {
    let dueAtMs = performance.now() + latenessEveryMs;
    this.#timer = setInterval(() => {
      const atMs = performance.now();
      if (atMs - dueAtMs > latenessEveryMs) this.#late.push({ atMs, lateMs: atMs - dueAtMs });
      if (this.#late.length > latenessKept) this.#late.shift();
      dueAtMs = atMs + latenessEveryMs;
    }, latenessEveryMs);
    this.#timer.unref();
  }

  since(startedAtMs: number): number {
    return this.#late.reduce((worst, { atMs, lateMs }) => (atMs >= startedAtMs ? Math.max(worst, lateMs) : worst), 0);
  }
}

const latenessEveryMs = 20;
const latenessKept = 10_000;

/** Of this process. */
export const lateness = new Lateness();

export class Bench {
  readonly stack: Stack;

  constructor(stack: Stack) {
    this.stack = stack;
  }

  static async start(options: Partial<StackOptions>): Promise<Bench> {
    const stack = await Stack.start({
      profile: 'instant',
      seed: 1,
      sessionsMax: 8,
      providers: 'simulated',
      ...options,
      environment: { PARLEY_LANES: '1', ...options.environment },
      agents: [
        plainAgent(),
        plainAgent('beside', { firstMessage: longText }),
        ...Array.from({ length: 8 }, (_, index) => voiceAgent(index)),
        ...(options.agents ?? []),
      ],
    });
    for (const simulator of [stack.simulator, stack.fallback]) {
      await simulator?.addAnswers([{ match: '*', text: sentence }]);
      // One word after the other, so that there is a middle.
      await simulator?.override({ tokensPerSecond: 60 });
    }
    return new Bench(stack);
  }

  get http(): string {
    return this.stack.url.replace(/^ws/, 'http').replace(/\/$/, '');
  }

  open(agentId = 'default', initiation: object | false = {}): Promise<Client> {
    return Client.open(this.stack.url, agentId, initiation);
  }

  /** A call that has begun. */
  async begin(agentId = 'default', initiation: object = {}): Promise<Client> {
    const client = await this.open(agentId, initiation);
    await client.event('conversation_initiation_metadata');
    return client;
  }

  async status(path: string): Promise<{ status: number; body: Record<string, unknown> }> {
    const answer = await fetch(`${this.http}${path}`, { signal: AbortSignal.timeout(5000) });
    const text = await answer.text();
    return { status: answer.status, body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {} };
  }

  async free(): Promise<number> {
    return Number((await this.status('/readyz')).body['free']);
  }

  /** Sum of a metric over all labels that hold `label`. */
  async metric(name: string, label = ''): Promise<number> {
    let sum = 0;
    for (const [key, value] of await this.stack.metrics()) if (key.startsWith(name) && key.includes(label)) sum += value;
    return sum;
  }

  /** Resolves with how long it took until `look` was true, ms; fails after `timeoutMs`. */
  async until(what: string, look: () => Promise<boolean> | boolean, timeoutMs: number): Promise<number> {
    const startedAtMs = performance.now();
    while (!(await look())) {
      if (performance.now() - startedAtMs > timeoutMs) throw new EngineError('broken', `${what}: not within ${timeoutMs} ms`);
      await wait(pollMs);
    }
    return Math.round(performance.now() - startedAtMs);
  }

  /** After a fault the same call is answered in full. */
  async answersAgain(client: Client): Promise<void> {
    await this.stack.simulator?.orderFaults([]);
    const turn = await client.ask('And now?');
    must(turn.text === sentence, `the next turn got "${turn.text}"`);
    await client.firstAudio(turn);
  }

  /** How a handshake is refused. */
  async refusal(): Promise<string> {
    try {
      await (await this.open()).close();
    } catch (error) {
      if (error instanceof EngineError && error.kind === 'rejected') {
        return `${error.fields['status']} ${/"status":"(\w+)"/.exec(error.message)?.[1] ?? ''} Retry-After ${error.fields['retryAfter'] || 'none'}`;
      }
      throw error;
    }
    return 'accepted';
  }
}

function voiceAgent(index: number): object {
  const agent = plainAgent(`voice${index}`) as { conversation_config: object };
  return { ...agent, conversation_config: { ...agent.conversation_config, tts: { voice_id: `voice-${index}` } } };
}

/** Throws what was observed when it is not as promised. */
export function must(isSo: boolean, observed: string): void {
  if (!isSo) throw new EngineError('broken', observed);
}

/** Returns what was observed when it is as promised. */
export function seen(isSo: boolean, observed: string): string {
  must(isSo, observed);
  return observed;
}
