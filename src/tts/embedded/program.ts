/**
 * A command-line program in WebAssembly that can be run thousands of times in one process. Runs wherever `flite.ts` runs.
 *
 * One instance is kept, and after each run its memory is set back to what it was at the start: a run cannot leave anything behind for the
 * next. Comparing 17 MB and copying the 50 kB that differ took 1 ms where a fresh instance took 8 ms, most of it page faults, and left
 * garbage of that size behind.
 */
import { EngineError } from '../../shared/errors.js';
import { MemoryWasi, ProgramExit } from './wasi.js';

type WasmModule = { readonly kind: 'compiled module' };
type WasmInstance = {
  readonly exports: { readonly memory: { readonly buffer: ArrayBuffer }; readonly _start: () => void };
};
/** The part of the global that we use; the types of Node 20 leave it out. */
declare const WebAssembly: {
  compile(bytes: Uint8Array): Promise<WasmModule>;
  readonly Instance: new (module: WasmModule, imports: object) => WasmInstance;
};

export type ProgramOutput = {
  readonly printed: string;
  /** Content of a file that the program wrote. */
  readonly file: (name: string) => Uint8Array | undefined;
};

/** An instance whose memory has grown beyond this is given up; the next run gets a fresh one. */
const memoryBytesMax = 128 * 1024 * 1024;
/** Memory is compared and set back in blocks of this size. */
const blockBytes = 16 * 1024;

export class Program {
  readonly #module: WasmModule;
  #instance: WasmInstance | undefined;
  /** The instance's memory before its first run. */
  #pristine = Buffer.alloc(0);
  #wasi = new MemoryWasi([]);

  /** Use `loadProgram()`. */
  constructor(module: WasmModule) {
    this.#module = module;
  }

  /** Runs to the end. `files`: name to content. Throws `broken` when the program fails. */
  run(programArguments: readonly string[], files: Readonly<Record<string, string>> = {}): ProgramOutput {
    const wasi = new MemoryWasi(programArguments, files);
    this.#wasi = wasi;
    const instance = this.#instance ?? this.#instantiate();
    wasi.attach(instance.exports.memory);
    // A program that leaves through an exception does not unwind its own stack, so that instance is not used again.
    this.#instance = undefined;
    try {
      instance.exports._start();
      this.#restore(instance);
    } catch (cause) {
      if (!(cause instanceof ProgramExit) || cause.code !== 0) {
        throw new EngineError('broken', 'The embedded voice failed on a text.', { cause });
      }
    }
    return { printed: wasi.printed(), file: (name) => wasi.file(name) };
  }

  #instantiate(): WasmInstance {
    // The imports of an instance are fixed, its world changes with each run.
    const names = Object.keys(this.#wasi.imports);
    const calls = names.map((name) => [name, (...parameters: never[]) => this.#wasi.imports[name]?.(...parameters)]);
    const instance = new WebAssembly.Instance(this.#module, { wasi_snapshot_preview1: Object.fromEntries(calls) });
    this.#pristine = Buffer.from(new Uint8Array(instance.exports.memory.buffer).slice().buffer);
    return instance;
  }

  #restore(instance: WasmInstance): void {
    const memory = new Uint8Array(instance.exports.memory.buffer);
    if (memory.length > memoryBytesMax) return;
    const pristine = this.#pristine;
    for (let start = 0; start < pristine.length; start += blockBytes) {
      const end = Math.min(pristine.length, start + blockBytes);
      if (pristine.compare(memory, start, end, start, end) !== 0) memory.set(pristine.subarray(start, end), start);
    }
    memory.fill(0, pristine.length);
    this.#instance = instance;
  }
}

/** Throws what the engine throws for bytes that are no module. */
export async function loadProgram(bytes: Uint8Array): Promise<Program> {
  return new Program(await WebAssembly.compile(bytes));
}
