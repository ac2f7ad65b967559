/**
 * The folder of recordings: `<conversation>.wav` for finished ones, `<conversation>.<host>.<process>.part` for those under way. API thread.
 * Several processes may share a folder: each knows by the name whose a part is.
 */
import { existsSync } from 'node:fs';
import { access, constants, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { EngineError } from '../shared/errors.js';
import type { ByteRange } from './byte-range.js';
import { repairRecording } from './recording-file.js';

/** A part of another living process, or of another machine, belongs to nobody when it was not written for this long: a call writes twice a second. */
const abandonedAfterMs = 60_000;

/** Ids come from URLs too: nothing that means something in a path. */
const idPattern = /^[\w-]{1,100}$/;
const partPattern = /^([\w-]{1,100})\.([\w-]+)\.(\d+)\.part$/;

/** A finished recording, open for reading. Read it or close it. */
export type OpenRecording = {
  readonly byteLength: number;
  /** The bytes of `range`, or all. At most once; the end of the stream, or destroying it, closes the file. */
  read(range?: ByteRange): Readable;
  close(): Promise<void>;
};

export class RecordingFolder {
  readonly #path: string;
  readonly #host = hostname().replaceAll(/[^\w-]/g, '-') || 'localhost';

  constructor(path: string) {
    this.#path = path;
  }

  /** Of a recording under way in this process. Undefined when the id cannot be a file's name. */
  partPath(conversationId: string): string | undefined {
    return idPattern.test(conversationId) ? this.#in(`${conversationId}.${this.#host}.${process.pid}.part`) : undefined;
  }

  /**
   * Creates the folder if there is none, and finishes what a killed process left: sizes are made right, names final. Returns the ids of
   * the conversations that have a recording by this. Call it before the first part of this process is written.
   */
  async repair(): Promise<readonly string[]> {
    await mayWriteBelow(this.#path);
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    const repaired: string[] = [];
    for (const name of await readdir(this.#path)) {
      const match = partPattern.exec(name);
      if (match === null) continue;
      const [, conversationId = '', host, pid] = match;
      const path = this.#in(name);
      if (!(await this.#isAbandoned(path, host === this.#host, Number(pid)))) continue;
      if ((await repairRecording(path)) === 0) {
        await rm(path, { force: true });
        continue;
      }
      await this.publish(path, conversationId);
      repaired.push(conversationId);
    }
    return repaired;
  }

  /** A finished part becomes the recording, at once and whole. One that is there already stays, and the part goes. */
  async publish(partPath: string, conversationId: string): Promise<void> {
    if (await this.exists(conversationId)) await this.discard(partPath);
    else await rename(partPath, this.#final(conversationId));
  }

  async discard(partPath: string): Promise<void> {
    await rm(partPath, { force: true });
  }

  async exists(conversationId: string): Promise<boolean> {
    if (!idPattern.test(conversationId)) return false;
    return await stat(this.#final(conversationId)).then(
      (found) => found.isFile(),
      (cause: unknown) => absent(cause, false),
    );
  }

  /** Undefined when there is none. */
  async open(conversationId: string): Promise<OpenRecording | undefined> {
    if (!idPattern.test(conversationId)) return undefined;
    const handle = await open(this.#final(conversationId), 'r').catch((cause: unknown) => absent(cause, undefined));
    if (handle === undefined) return undefined;
    const { size } = await handle.stat();
    return {
      byteLength: size,
      read: (range) => handle.createReadStream({ start: range?.first ?? 0, end: range?.last ?? size - 1 }),
      close: () => handle.close(),
    };
  }

  /** False when there was none. */
  async remove(conversationId: string): Promise<boolean> {
    if (!idPattern.test(conversationId)) return false;
    return await rm(this.#final(conversationId)).then(
      () => true,
      (cause: unknown) => absent(cause, false),
    );
  }

  async #isAbandoned(path: string, isThisHost: boolean, pid: number): Promise<boolean> {
    if (isThisHost && (pid === process.pid || !isAlive(pid))) return true;
    const { mtimeMs } = await stat(path);
    return Date.now() - mtimeMs > abandonedAfterMs;
  }

  #final(conversationId: string): string {
    return this.#in(`${conversationId}.wav`);
  }

  #in(name: string): string {
    return join(this.#path, name);
  }
}

const codeOf = (cause: unknown): unknown => (cause instanceof Error && 'code' in cause ? cause.code : undefined);

/** `value` if a file is not there; any other failure goes on. */
function absent<Value>(cause: unknown, value: Value): Value {
  if (codeOf(cause) === 'ENOENT') return value;
  throw cause;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (cause) {
    // A process of somebody else's is alive too.
    return codeOf(cause) === 'EPERM';
  }
}

/** Making folders in `/proc` never ends in Node 20: the nearest folder that is there is asked first. */
async function mayWriteBelow(path: string): Promise<void> {
  let folder = resolve(path);
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder);
  await access(folder, constants.W_OK);
  if (/^\/(proc|sys)(\/|$)/.test(folder)) throw new EngineError('config', `No folder for recordings can be made in ${folder}.`);
}
