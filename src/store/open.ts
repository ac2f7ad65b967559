/** Which store: the setting `PARLEY_STORE` as text, as data, and as the store itself. Main reads it; the API thread opens it. */
import { EngineError } from '../shared/errors.js';
import { MemoryStore, memoryLimits } from './memory.js';
import { PgliteConnection } from './pglite.js';
import type { Store } from './port.js';
import { PostgresConnection } from './postgres.js';
import { SqlStore } from './sql.js';

/** Plain data: it may cross a port. `url` may hold a password; `folder` is relative to the working directory. */
export type StoreSetting =
  | { readonly kind: 'memory' /** The newest are kept; undefined: `memoryLimits`. */; readonly conversationsMax?: number }
  | { readonly kind: 'pglite'; readonly folder: string }
  | { readonly kind: 'postgres'; readonly url: string };

/** A row of the settings table. */
export const storeVariable = {
  name: 'PARLEY_STORE',
  fallback: 'pglite:./parley-data',
  allowed: 'pglite:DIR | memory | memory:CONVERSATIONS | postgres://USER:PASSWORD@HOST:PORT/DATABASE',
  means: 'where agents and conversations are kept',
} as const;

/** Fails with `config`, naming the variable, the value (without a password) and what is allowed. */
export function parseStoreUrl(text: string): StoreSetting {
  if (text === 'memory') return { kind: 'memory' };
  if (/^memory:[1-9]\d{0,5}$/.test(text)) return { kind: 'memory', conversationsMax: Number(text.slice('memory:'.length)) };
  if (text.startsWith('pglite:')) {
    const folder = text.slice('pglite:'.length);
    // Two slashes would look like a host, and mean a folder that nobody thought of.
    if (folder.trim() !== '' && !folder.startsWith('//') && !folder.includes('\0')) return { kind: 'pglite', folder };
  }
  if (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text)) return { kind: 'postgres', url: text };
  throw new EngineError(
    'config',
    `${storeVariable.name}="${withoutPassword(text)}" is not allowed. Allowed: ${storeVariable.allowed}.`,
  );
}

/** Nothing is opened yet. `onProblem` hears of failures that nobody waits for; without it they are warnings of the process. */
export function openStore(
  setting: StoreSetting,
  onProblem: (problem: EngineError) => void = (problem) => process.emitWarning(problem.message),
): Store {
  if (setting.kind === 'memory') {
    const { conversationsMax = memoryLimits.conversationsMax } = setting;
    return new MemoryStore({ ...memoryLimits, conversationsMax });
  }
  const connection = setting.kind === 'pglite' ? new PgliteConnection(setting.folder) : new PostgresConnection(setting.url);
  return new SqlStore(connection, onProblem);
}

function withoutPassword(text: string): string {
  return text.replace(/\/\/[^/]*@/, '//…@').replace(/(password=)[^&]*/gi, '$1…');
}
