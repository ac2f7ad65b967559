/**
 * The thirteen calls of WASI preview 1 that the embedded synthesiser imports, served from memory: no file system, no environment, a clock
 * that stands still. Two runs with the same arguments therefore give the same bytes. Runs wherever `flite.ts` runs.
 *
 * Why not `node:wasi`: with several voices in one process it crashes the process, and it can only write to real files.
 */

/** Thrown through the module to leave it; `code` is the program's exit code. */
export class ProgramExit extends Error {
  readonly code: number;
  override readonly name = 'ProgramExit';

  constructor(code: number) {
    super(`the program ended with code ${code}`);
    this.code = code;
  }
}

/** One file: `bytes` may be longer than the content, `length` says how much of it counts. */
type MemoryFile = { bytes: Uint8Array; length: number };
type OpenFile = { readonly file: MemoryFile; position: number };
type WasiCall = (...parameters: never[]) => number;

/** Codes and constants of WASI preview 1. */
const ok = 0;
const badDescriptor = 8;
const fileTooLarge = 22;
const invalid = 28;
const noEntry = 44;
const notSeekable = 70;
const standardOutput = 1;
const rootDescriptor = 3;
const openCreate = 1;
const openTruncate = 8;
const fileTypeCharacterDevice = 2;
const fileTypeDirectory = 3;
const fileTypeRegular = 4;

/** Longest file the program may write, and longest text it may print. Five minutes of 16 kHz samples fit in the first. */
const fileBytesMax = 16 * 1024 * 1024;
const printedBytesMax = 1024 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The world of one run of one program. Not to be used twice. */
export class MemoryWasi {
  readonly #programArguments: readonly Uint8Array[];
  readonly #files = new Map<string, MemoryFile>();
  readonly #openFiles = new Map<number, OpenFile>();
  readonly #printed: Uint8Array[] = [];
  #printedBytes = 0;
  #nextDescriptor = rootDescriptor + 1;
  #memory: { readonly buffer: ArrayBuffer } | undefined;

  /** `files`: name to content, readable by the program under that name. */
  constructor(programArguments: readonly string[], files: Readonly<Record<string, string>> = {}) {
    this.#programArguments = programArguments.map((argument) => encoder.encode(`${argument}\0`));
    for (const [name, content] of Object.entries(files)) {
      const bytes = encoder.encode(content);
      this.#files.set(name, { bytes, length: bytes.length });
    }
  }

  /** To be called with the instance's exported memory before the program starts. */
  attach(memory: { readonly buffer: ArrayBuffer }): void {
    this.#memory = memory;
  }

  /** All the program printed on standard output; its complaints on standard error are dropped. */
  printed(): string {
    return decoder.decode(Buffer.concat(this.#printed));
  }

  /** Content of a file that the program wrote, as a view; `undefined` when there is none. */
  file(name: string): Uint8Array | undefined {
    const file = this.#files.get(name);
    return file?.bytes.subarray(0, file.length);
  }

  /** The functions of the module's import `wasi_snapshot_preview1`. */
  readonly imports: Readonly<Record<string, WasiCall>> = {
    args_sizes_get: (countAt: number, bytesAt: number): number => {
      const view = this.#view();
      view.setUint32(countAt, this.#programArguments.length, true);
      view.setUint32(
        bytesAt,
        this.#programArguments.reduce((sum, argument) => sum + argument.length, 0),
        true,
      );
      return ok;
    },
    args_get: (pointersAt: number, bytesAt: number): number => {
      const view = this.#view();
      let pointerAt = pointersAt;
      let byteAt = bytesAt;
      for (const argument of this.#programArguments) {
        view.setUint32(pointerAt, byteAt, true);
        this.#bytes().set(argument, byteAt);
        pointerAt += 4;
        byteAt += argument.length;
      }
      return ok;
    },
    clock_time_get: (_clock: number, _precision: bigint, resultAt: number): number => {
      this.#view().setBigUint64(resultAt, 0n, true);
      return ok;
    },
    fd_close: (descriptor: number): number => (this.#openFiles.delete(descriptor) ? ok : badDescriptor),
    fd_fdstat_get: (descriptor: number, resultAt: number): number => {
      const view = this.#view();
      const isStandardStream = descriptor < rootDescriptor;
      const type = isStandardStream
        ? fileTypeCharacterDevice
        : descriptor === rootDescriptor
          ? fileTypeDirectory
          : fileTypeRegular;
      view.setUint8(resultAt, type);
      view.setUint16(resultAt + 2, 0, true);
      view.setBigUint64(resultAt + 8, 0xffffffffffffffffn, true);
      view.setBigUint64(resultAt + 16, 0xffffffffffffffffn, true);
      return ok;
    },
    fd_fdstat_set_flags: (): number => ok,
    fd_prestat_get: (descriptor: number, resultAt: number): number => {
      if (descriptor !== rootDescriptor) return badDescriptor;
      const view = this.#view();
      view.setUint32(resultAt, 0, true);
      view.setUint32(resultAt + 4, 1, true);
      return ok;
    },
    fd_prestat_dir_name: (descriptor: number, nameAt: number, nameBytes: number): number => {
      if (descriptor !== rootDescriptor || nameBytes < 1) return invalid;
      this.#bytes()[nameAt] = '/'.charCodeAt(0);
      return ok;
    },
    fd_read: (descriptor: number, partsAt: number, partCount: number, countAt: number): number =>
      this.#read(descriptor, partsAt, partCount, countAt),
    fd_write: (descriptor: number, partsAt: number, partCount: number, countAt: number): number =>
      this.#write(descriptor, partsAt, partCount, countAt),
    fd_seek: (descriptor: number, offset: bigint, whence: number, resultAt: number): number => {
      const open = this.#openFiles.get(descriptor);
      if (open === undefined) return descriptor < rootDescriptor ? notSeekable : badDescriptor;
      const base = whence === 0 ? 0 : whence === 1 ? open.position : open.file.length;
      const position = base + Number(offset);
      if (position < 0 || position > fileBytesMax) return invalid;
      open.position = position;
      this.#view().setBigUint64(resultAt, BigInt(position), true);
      return ok;
    },
    path_open: (
      _directory: number,
      _lookup: number,
      nameAt: number,
      nameBytes: number,
      flags: number,
      _rights: bigint,
      _inheritedRights: bigint,
      _descriptorFlags: number,
      resultAt: number,
    ): number => {
      const name = decoder.decode(this.#bytes().subarray(nameAt, nameAt + nameBytes));
      let file = this.#files.get(name);
      if (file === undefined && (flags & openCreate) === 0) return noEntry;
      if (file === undefined || (flags & openTruncate) !== 0) {
        file = { bytes: new Uint8Array(64 * 1024), length: 0 };
        this.#files.set(name, file);
      }
      this.#openFiles.set(this.#nextDescriptor, { file, position: 0 });
      this.#view().setUint32(resultAt, this.#nextDescriptor, true);
      this.#nextDescriptor += 1;
      return ok;
    },
    proc_exit: (code: number): never => {
      throw new ProgramExit(code);
    },
  };

  #read(descriptor: number, partsAt: number, partCount: number, countAt: number): number {
    const open = this.#openFiles.get(descriptor);
    if (open === undefined) return badDescriptor;
    let count = 0;
    for (const part of this.#parts(partsAt, partCount)) {
      const available = open.file.bytes.subarray(open.position, Math.min(open.file.length, open.position + part.length));
      part.set(available);
      open.position += available.length;
      count += available.length;
    }
    this.#view().setUint32(countAt, count, true);
    return ok;
  }

  #write(descriptor: number, partsAt: number, partCount: number, countAt: number): number {
    const open = this.#openFiles.get(descriptor);
    if (open === undefined && descriptor >= rootDescriptor) return badDescriptor;
    let count = 0;
    for (const part of this.#parts(partsAt, partCount)) {
      if (open !== undefined) {
        if (!append(open, part)) return fileTooLarge;
      } else if (descriptor === standardOutput) this.#print(part);
      count += part.length;
    }
    this.#view().setUint32(countAt, count, true);
    return ok;
  }

  /** What is printed beyond the bound is dropped: it is only read for timings, and their reader notices that it is short. */
  #print(part: Uint8Array): void {
    if (this.#printedBytes + part.length > printedBytesMax) return;
    this.#printedBytes += part.length;
    this.#printed.push(part.slice());
  }

  *#parts(partsAt: number, partCount: number): Generator<Uint8Array> {
    const view = this.#view();
    for (let index = 0; index < partCount; index += 1) {
      const at = view.getUint32(partsAt + 8 * index, true);
      yield this.#bytes().subarray(at, at + view.getUint32(partsAt + 8 * index + 4, true));
    }
  }

  /** Views are made afresh each time: they are detached whenever the module's memory grows. */
  #view(): DataView {
    return new DataView(this.#bytes().buffer);
  }

  #bytes(): Uint8Array<ArrayBuffer> {
    if (this.#memory === undefined) throw new Error('attach() comes before the program starts');
    return new Uint8Array(this.#memory.buffer);
  }
}

function append(open: OpenFile, part: Uint8Array): boolean {
  const { file } = open;
  const end = open.position + part.length;
  if (end > fileBytesMax) return false;
  if (end > file.bytes.length) {
    const larger = new Uint8Array(Math.max(end, file.bytes.length * 2));
    larger.set(file.bytes.subarray(0, file.length));
    file.bytes = larger;
  }
  file.bytes.set(part, open.position);
  open.position = end;
  file.length = Math.max(file.length, end);
  return true;
}
