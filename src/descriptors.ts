/** Whether the process may open as many sockets as its calls need: asked once, before the first call. Main thread. */
import { readFileSync } from 'node:fs';
import type { Config } from './config.js';
import { EngineError } from './shared/errors.js';

/** The database, files of recordings, pages, pipes and what Node itself holds open. */
const spare = 256;

export type DescriptorNeed = { readonly needed: number; readonly sum: string };

/** One socket for the caller and one for each provider that is not in this process. */
export function descriptorsNeeded(config: Pick<Config, 'sessionsMax' | 'stt' | 'llm' | 'tts'>): DescriptorNeed {
  const stages = [config.stt, config.llm, config.tts];
  const perCall = 1 + stages.filter(({ provider, fallbacks }) => provider !== 'embedded' || fallbacks.length > 0).length;
  const needed = config.sessionsMax * perCall + spare;
  return { needed, sum: `${config.sessionsMax} calls × ${perCall} sockets + ${spare} = ${needed}` };
}

/** Soft limit of open files; Node raises it to the hard one at its start. Infinity where the system does not say. */
export function descriptorLimit(limits: string = readLimits()): number {
  const value = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return value === undefined || value === 'unlimited' ? Number.POSITIVE_INFINITY : Number(value);
}

export function checkDescriptors(need: DescriptorNeed, limit: number): void {
  if (need.needed <= limit) return;
  throw new EngineError(
    'config',
    `PARLEY_SESSIONS_MAX needs more open files than this process may have: ${need.sum}, and the limit is ${limit} (ulimit -n).`,
  );
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}
