/**
 * One recording on its way to the disk: a stereo WAV file, 16 kHz, 16 bits, that grows while the call goes on. API thread.
 * Both channels are put independently, in any order and also twice: what nobody has put is silence.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { writeWav } from '../audio/wav.js';
import { EngineError } from '../shared/errors.js';
import { inputRateHz } from '../shared/units.js';

export const recordingFileLimits = {
  /** Samples that wait for a slow disk, in bytes: half a minute of one call. Beyond it the recording ends. */
  pendingBytesMax: 2 * 1024 * 1024,
  /** Frames of one channel each; the sizes in a WAV file are of 32 bits, which is 18 hours. */
  framesMax: Math.floor((2 ** 32 - 1 - 36) / 4),
} as const;

/** Caller left, agent right. */
export type Channel = 0 | 1;

const frameBytes = 4;
const none = new Int16Array(0);
const plainHeader = writeWav({ channels: [none, none], rateHz: inputRateHz });

/** The header of a file with `dataBytes` of sound. */
function headerFor(dataBytes: number): Buffer {
  const header = Buffer.from(plainHeader);
  header.writeUInt32LE(header.length - 8 + dataBytes, 4);
  header.writeUInt32LE(dataBytes, header.length - 4);
  return header;
}

/** Until a file is finished its sizes are these, as in a stream: readers take what is there. */
const streamHeader = headerFor(recordingFileLimits.framesMax * frameBytes);

export class RecordingFile {
  #work: Promise<void> = Promise.resolve();
  #handle: FileHandle | undefined;
  #dataBytes = 0;
  #pendingBytes = 0;
  #problem: EngineError | undefined;
  #isFinished = false;

  /** Creates the file once `isReady` resolves; what is put before waits. Nothing here throws: see `problem`. */
  constructor(path: string, isReady: Promise<unknown>) {
    this.#then(async () => {
      await isReady;
      this.#handle = await open(path, 'w+', 0o600);
      await writeAll(this.#handle, streamHeader, 0);
    });
  }

  /** Why nothing is recorded any more; what was written before stays good. */
  get problem(): EngineError | undefined {
    return this.#problem;
  }

  /** Length of the sound so far. */
  get frames(): number {
    return this.#dataBytes / frameBytes;
  }

  /** Puts `samples` into one channel from frame `at` on. They belong to the file until they are written. */
  put(channel: Channel, at: number, samples: Int16Array): void {
    if (this.#problem !== undefined || this.#isFinished || samples.length === 0) return;
    if (at + samples.length > recordingFileLimits.framesMax) {
      this.#fail(new EngineError('broken', 'the recording is as long as a WAV file can be'));
      return;
    }
    if (this.#pendingBytes + samples.byteLength > recordingFileLimits.pendingBytesMax) {
      this.#fail(new EngineError('timeout', 'the disk is too slow for the recording'));
      return;
    }
    this.#pendingBytes += samples.byteLength;
    this.#then(async (handle) => {
      this.#pendingBytes -= samples.byteLength;
      await this.#merge(handle!, channel, at, samples);
    });
  }

  /** Resolves when everything put so far is written, or has failed. */
  async settled(): Promise<void> {
    await this.#work;
  }

  /** Writes the sizes, makes the file durable and closes it. Fails when even that is not possible; closed it is in any case. */
  async finish(): Promise<void> {
    this.#isFinished = true;
    await this.#work;
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle === undefined) throw this.#problem ?? new EngineError('broken', 'the recording was finished twice');
    try {
      await seal(handle, this.#dataBytes);
    } finally {
      await handle.close();
    }
  }

  /** One after the other; after a failure nothing more is tried. */
  #then(task: (handle: FileHandle | undefined) => Promise<void>): void {
    this.#work = this.#work
      .then(() => (this.#problem === undefined ? task(this.#handle) : undefined))
      .catch((cause: unknown) => this.#fail(problemWith(cause)));
  }

  #fail(problem: EngineError): void {
    this.#problem ??= problem;
  }

  /** Keeps the other channel as it is. */
  async #merge(handle: FileHandle, channel: Channel, at: number, samples: Int16Array): Promise<void> {
    const bytes = Buffer.alloc(samples.length * frameBytes);
    const start = at * frameBytes;
    const known = Math.min(bytes.length, this.#dataBytes - start);
    if (known > 0) await handle.read(bytes, 0, known, plainHeader.length + start);
    const frames = new Int16Array(bytes.buffer, bytes.byteOffset, 2 * samples.length);
    for (let index = 0; index < samples.length; index++) frames[2 * index + channel] = samples[index]!;
    await writeAll(handle, bytes, plainHeader.length + start);
    this.#dataBytes = Math.max(this.#dataBytes, start + bytes.length);
  }
}

/** Gives a file that nobody finished its sizes: whole frames that are there. Returns how many frames these are; 0: it is no recording. */
export async function repairRecording(path: string): Promise<number> {
  const handle = await open(path, 'r+');
  try {
    const { size } = await handle.stat();
    const frames = Math.max(0, Math.floor((size - plainHeader.length) / frameBytes));
    if (frames > 0) await seal(handle, frames * frameBytes);
    return frames;
  } finally {
    await handle.close();
  }
}

/** A part of a frame at the end, left by a full disk or a killed process, is cut off. */
async function seal(handle: FileHandle, dataBytes: number): Promise<void> {
  await handle.truncate(plainHeader.length + dataBytes);
  await writeAll(handle, headerFor(dataBytes), 0);
  await handle.sync();
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw new EngineError('broken', 'the disk takes no more bytes of the recording');
    done += bytesWritten;
  }
}

/** A failure of the file system as one of ours; ours stay as they are. */
export function problemWith(cause: unknown): EngineError {
  if (cause instanceof EngineError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  return new EngineError('broken', `the recording could not be written: ${code}`, { cause, fields: { code } });
}
