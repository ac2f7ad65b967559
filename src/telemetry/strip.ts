/**
 * A thread's figures in shared memory: counts that only grow, and facts. The thread writes (one writer), the API thread reads once a second
 * and subtracts what it saw the second before. So collecting costs the writer nothing: no message, no lock, no swap, no encoding.
 *
 * Stores are plain: a reader may be a moment late with a number, never wrong about it for good, and an Int32 is never half written. Only the
 * count of entries is an atomic, stored after the entry's name, so a name that can be seen is whole. Counts wrap; readers subtract in 32 bits.
 * Pages that nobody touches are never committed.
 */
import { cellOf, histogramCells, pairsSince } from './interval-histogram.js';

export const entryKinds = ['counter', 'gauge', 'histogram'] as const;
export type EntryKind = (typeof entryKinds)[number];

const stripBounds = { entriesMax: 256, histogramsMax: 40, textBytesMax: 24 * 1024 } as const;

const Head = { threadId: 0, entryCount: 1, lost: 2, cells: 8 } as const;
/** Of an entry: kind, first cell, first byte and length of the name. */
const entryInts = 4;
const entriesStart = Head.cells;
const textStart = entriesStart + stripBounds.entriesMax * entryInts;
const scalarsStart = textStart + stripBounds.textBytesMax / 4;
const histogramsStart = scalarsStart + stripBounds.entriesMax;
/** The number of values goes before the cells: a histogram in which it stands still need not be looked at. */
const histogramInts = histogramCells + 1;
const stripInts = histogramsStart + stripBounds.histogramsMax * histogramInts;

export type StripMemory = SharedArrayBuffer;

export function createStrip(): StripMemory {
  return new SharedArrayBuffer(stripInts * 4);
}

/** One strip a thread; lanes in their order. */
export type Strips = {
  readonly main: StripMemory;
  readonly api: StripMemory;
  readonly lanes: readonly {
    readonly vad: StripMemory;
    readonly stt: StripMemory;
    readonly conversation: StripMemory;
    readonly tts: StripMemory;
  }[];
};

export function createStrips(laneCount: number): Strips {
  const lane = (): Strips['lanes'][number] => ({
    vad: createStrip(),
    stt: createStrip(),
    conversation: createStrip(),
    tts: createStrip(),
  });
  return { main: createStrip(), api: createStrip(), lanes: Array.from({ length: laneCount }, lane) };
}

type Entry = { readonly kind: EntryKind; readonly name: string; readonly cell: number };

/** Entries from `from` on. */
function readEntries(ints: Int32Array, from: number): Entry[] {
  const count = Atomics.load(ints, Head.entryCount);
  return Array.from({ length: count - from }, (_, offset) => {
    const at = entriesStart + (from + offset) * entryInts;
    const [kind, cell, byte, length] = [ints[at]!, ints[at + 1]!, ints[at + 2]!, ints[at + 3]!];
    // Decoders do not take shared memory.
    const name = Buffer.from(new Uint8Array(ints.buffer, textStart * 4 + byte, length)).toString('utf8');
    return { kind: entryKinds[kind]!, name, cell };
  });
}

/** The writing end: the thread's own. A thread that was started anew goes on where the one before it ended. */
export class StripWriter {
  readonly #ints: Int32Array;
  readonly #cells = new Map<string, number>();
  #histograms = 0;
  #textBytes = 0;

  constructor(memory: StripMemory) {
    this.#ints = new Int32Array(memory);
    for (const { kind, name, cell } of readEntries(this.#ints, 0)) {
      this.#cells.set(`${kind} ${name}`, cell);
      this.#textBytes += Buffer.byteLength(name);
      if (kind === 'histogram') this.#histograms += 1;
    }
  }

  /** The operating system's id of this thread, under which it keeps account of processor time. */
  set threadId(id: number) {
    Atomics.store(this.#ints, Head.threadId, id);
  }

  /** Where to write; -1 when the strip is full, which the other methods take for "nowhere". */
  cell(kind: EntryKind, name: string): number {
    const key = `${kind} ${name}`;
    const known = this.#cells.get(key);
    if (known !== undefined) return known;
    const cell = this.#allot(kind, name);
    this.#cells.set(key, cell);
    return cell;
  }

  /** To a counter. */
  add(cell: number, by: number): void {
    if (cell >= 0) this.#ints[cell]! += by;
  }

  /** Of a gauge: a whole number of 32 bits. */
  set(cell: number, value: number): void {
    if (cell >= 0) this.#ints[cell] = value;
  }

  /** In a histogram: a whole number from 0 to `highestValue`. */
  record(cell: number, value: number): void {
    if (cell < 0) return;
    this.#ints[cell + 1 + cellOf(value)]! += 1;
    this.#ints[cell]! += 1;
  }

  #allot(kind: EntryKind, name: string): number {
    const ints = this.#ints;
    const count = Atomics.load(ints, Head.entryCount);
    const bytes = Buffer.from(name);
    const isFull =
      count >= stripBounds.entriesMax ||
      this.#textBytes + bytes.length > stripBounds.textBytesMax ||
      (kind === 'histogram' && this.#histograms >= stripBounds.histogramsMax);
    if (isFull) {
      ints[Head.lost]! += 1;
      return -1;
    }
    const cell = kind === 'histogram' ? histogramsStart + this.#histograms * histogramInts : scalarsStart + count;
    if (kind === 'histogram') this.#histograms += 1;
    new Uint8Array(ints.buffer, textStart * 4 + this.#textBytes, bytes.length).set(bytes);
    ints.set([entryKinds.indexOf(kind), cell, this.#textBytes, bytes.length], entriesStart + count * entryInts);
    this.#textBytes += bytes.length;
    Atomics.store(ints, Head.entryCount, count + 1);
    return cell;
  }
}

/** What happened since the last look. */
export type StripInterval = {
  /** Only those that grew. */
  readonly counters: readonly (readonly [name: string, by: number])[];
  readonly gauges: readonly (readonly [name: string, value: number])[];
  /** Only those with values. */
  readonly histograms: readonly (readonly [name: string, pairs: number[]])[];
  /** Names for which there was no room, since the start. */
  readonly lost: number;
};

/** Of the thread that writes into that strip; 0: it has not said it, or there is none here. */
export function threadIdOf(memory: StripMemory): number {
  return Atomics.load(new Int32Array(memory), Head.threadId);
}

/** The reading end. The first look covers everything since it was made. */
export class StripReader {
  readonly #ints: Int32Array;
  readonly #entries: { readonly entry: Entry; total: number; readonly before: Int32Array | undefined }[] = [];

  constructor(memory: StripMemory) {
    this.#ints = new Int32Array(memory);
    this.#learn();
    this.look();
  }

  /** 0: the thread has not said it, or there is none here. */
  get threadId(): number {
    return Atomics.load(this.#ints, Head.threadId);
  }

  /** All that are known, whether they grew or not. */
  counterNames(): readonly string[] {
    return this.#entries.filter(({ entry }) => entry.kind === 'counter').map(({ entry }) => entry.name);
  }

  look(): StripInterval {
    this.#learn();
    const counters: [string, number][] = [];
    const gauges: [string, number][] = [];
    const histograms: [string, number[]][] = [];
    for (const known of this.#entries) {
      const { kind, name, cell } = known.entry;
      const value = Atomics.load(this.#ints, cell);
      if (kind === 'gauge') gauges.push([name, value]);
      if (value === known.total) continue;
      const by = (value - known.total) | 0;
      // Less than before: the sum was over calls of which some have ended.
      if (kind === 'counter' && by > 0) counters.push([name, by]);
      if (known.before !== undefined) {
        const pairs = pairsSince(known.before, this.#ints.subarray(cell + 1, cell + 1 + histogramCells));
        if (pairs.length > 0) histograms.push([name, pairs]);
      }
      known.total = value;
    }
    return { counters, gauges, histograms, lost: this.#ints[Head.lost]! };
  }

  #learn(): void {
    for (const entry of readEntries(this.#ints, this.#entries.length)) {
      const before = entry.kind === 'histogram' ? new Int32Array(histogramCells) : undefined;
      this.#entries.push({ entry, total: 0, before });
    }
  }
}
