/**
 * The PGlite thread: Postgres compiled to WebAssembly on a folder of this machine. Evented; busy for the whole of a statement, so it lives
 * alone, and under Linux with less priority than the threads that carry speech. Started by `src/store/pglite.ts`, which sends one statement
 * at a time.
 */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import { NodeFS } from '@electric-sql/pglite/nodefs';
import type { FromPglite, PgliteStart, ToPglite } from '../src/store/pglite-links.js';
import type { Row } from '../src/store/sql-connection.js';

if (parentPort === null) throw new Error('this file runs only as a thread of the engine');
const port = parentPort;
const start = workerData as PgliteStart;

/** Of 0..19; what runs at 0 gets about nine times as much of a busy core. */
const niceness = 10;
/** Type number of `bytea`. */
const byteaType = 17;
/** Cached pages are in the system's cache too; the log is kept short because nobody else makes checkpoints. */
const settings = ['-c', 'shared_buffers=16MB', '-c', 'max_wal_size=64MB'];

// Process 0 means the calling thread here, and the whole process on other systems.
if (process.platform === 'linux') setPriority(0, niceness);

const send = (message: FromPglite): void => port.postMessage(message);

async function answer(database: PGlite, text: string, values: readonly unknown[]): Promise<void> {
  try {
    const { rows } = await database.query<Row>(text, [...values]);
    send({ type: 'rows', rows });
  } catch (error) {
    // An error without a state is not the database's answer: the instance is in ruins, and so is this thread.
    if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) throw error;
    send({ type: 'refused', state: error.code, message: error.message });
  }
}

try {
  const database = await PGlite.create({
    fs: new NodeFS(start.folder),
    startParams: [...PGlite.defaultStartParams, ...settings],
    // Bytes as they are in, and by Node's decoder out: ten times as fast as PGlite's own way through hexadecimal text.
    serializers: { [byteaType]: (value: Uint8Array) => value as unknown as string },
    parsers: { [byteaType]: (value: string) => Buffer.from(value.slice(2), 'hex') },
  });
  port.on('message', (message: ToPglite) => {
    if (message.type === 'query') void answer(database, message.text, message.values);
    else void database.close().finally(() => port.close());
  });
  send({ type: 'ready' });
} catch (error) {
  send({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  port.close();
}
