/**
 * What `SqlStore` needs of a database: statements with parameters, and transactions; PGlite and Postgres are two of these. Also how a
 * database's failure becomes an `EngineError`. API thread.
 */
import { EngineError, type FailureKind } from '../shared/errors.js';

export type SqlValue = string | number | boolean | null | Uint8Array;
export type Row = Readonly<Record<string, unknown>>;
/** `text` has `$1`, `$2`, … and is one statement. */
export type Query = (text: string, values: readonly SqlValue[]) => Promise<readonly Row[]>;

export interface SqlConnection {
  /** For people; holds no password. */
  readonly name: string;
  /** It lives in this process alone: whoever else wrote to it is gone, and nobody but us tidies it. */
  readonly isEmbedded: boolean;
  /** Connects at the first use. */
  readonly query: Query;
  /** Everything `run` asks by the query it is given happens, or (it throws) nothing. `statementMs`: how long one of them may take. */
  transaction<Result>(run: (query: Query) => Promise<Result>, statementMs: number): Promise<Result>;
  close(): Promise<void>;
}

const messageCharactersMax = 200;

/** Beginnings of SQLSTATE codes; what is not here is a statement or an answer that makes no sense. */
const kindOfState: readonly (readonly [start: string, kind: FailureKind])[] = [
  ['57014', 'timeout'],
  ['08', 'unavailable'],
  ['40', 'unavailable'],
  ['53', 'unavailable'],
  ['55', 'unavailable'],
  ['57', 'unavailable'],
  ['28', 'config'],
  ['3D', 'config'],
  ['42501', 'config'],
  ['54', 'rejected'],
];

/** The failure of the database called `name`. `state`: its SQLSTATE; undefined when it was the way to it that failed. */
export function sqlFailure(name: string, state: string | undefined, message: string, cause?: unknown): EngineError {
  const found = state === undefined ? 'unavailable' : kindOfState.find(([start]) => state.startsWith(start))?.[1];
  const text = `${name}: ${message.slice(0, messageCharactersMax)}`;
  return new EngineError(found ?? 'broken', text, { cause, ...(state === undefined ? {} : { fields: { state } }) });
}
