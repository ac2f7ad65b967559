/** Which kind of turn model a path names, told without opening it. Main thread at start, and the threads that ask. */
import { statSync } from 'node:fs';
import { EngineError } from '../shared/errors.js';
import type { TurnModelKind } from './port.js';

/** What lies at `path`: a file is a model that hears, a folder one that reads. Fails with `missing` or `config`. */
export function turnModelKind(path: string): TurnModelKind {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new EngineError('missing', `PARLEY_TURN_MODEL: there is nothing at ${path}`);
  if (found.isDirectory()) return 'text';
  if (path.endsWith('.onnx')) return 'audio';
  throw new EngineError('config', `PARLEY_TURN_MODEL: ${path} is neither an .onnx file nor a folder`);
}
