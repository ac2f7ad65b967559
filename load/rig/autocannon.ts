/** autocannon, which speaks HTTP only, in a process of its own (`http-process.ts`): its requests must not make the callers late. */
import { type ChildProcess, fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../../src/shared/errors.js';

export type HttpOrder = {
  readonly url: string;
  readonly connections: number;
  /** Requests a second, all connections together; with it autocannon counts a late answer from when its request was due. */
  readonly rate: number;
  readonly seconds: number;
  readonly headers: Readonly<Record<string, string>>;
};

/** Latencies in ms. */
export type HttpFigures = {
  readonly path: string;
  readonly requests: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly non2xx: number;
  readonly errors: number;
};

/** What the process answers. */
export type HttpAnswer = { readonly figures: HttpFigures } | { readonly problem: string };

/** Whether the package is installed: it is needed for this alone. */
export function hasAutocannon(): boolean {
  try {
    createRequire(import.meta.url).resolve('autocannon');
    return true;
  } catch {
    return false;
  }
}

/** Over the planned time: for the last answers. */
const overtimeMs = 30_000;

/** Asks one URL for a while. */
export async function fire(order: HttpOrder): Promise<HttpFigures> {
  const child = fork(fileURLToPath(new URL('./http-process.js', import.meta.url)));
  try {
    const answer = await answerOf(child, order);
    if (answer === undefined || 'problem' in answer)
      throw new EngineError('broken', `autocannon told nothing about ${order.url}: ${answer?.problem ?? 'it ended'}`);
    return answer.figures;
  } finally {
    child.kill();
  }
}

async function answerOf(child: ChildProcess, order: HttpOrder): Promise<HttpAnswer | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const answer = new Promise<HttpAnswer | undefined>((resolve) => {
    child.once('message', (message: HttpAnswer) => resolve(message));
    child.once('exit', () => resolve(undefined));
    child.once('error', () => resolve(undefined));
    timer = setTimeout(() => resolve(undefined), order.seconds * 1000 + overtimeMs);
  });
  child.send(order);
  return await answer.finally(() => clearTimeout(timer));
}
