/** What crosses the port between `src/store/pglite.ts` (API thread) and `workers/pglite.ts`. One statement at a time, one answer to each. */
import type { Row, SqlValue } from './sql-connection.js';

/** `folder`: of the database files; made when it is not there, and filled when it is empty. */
export type PgliteStart = { readonly folder: string };

export type ToPglite =
  | { readonly type: 'query'; readonly text: string; readonly values: readonly SqlValue[] }
  /** The thread ends when the database is closed. */
  | { readonly type: 'close' };

export type FromPglite =
  | { readonly type: 'ready' }
  /** It cannot start; the thread ends. */
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'rows'; readonly rows: readonly Row[] }
  /** `state`: SQLSTATE. */
  | { readonly type: 'refused'; readonly state: string; readonly message: string };
