/**
 * Faults that can be asked of the simulated providers: which there are, which request gets one, and what each does to a timetable.
 * Pure apart from the counters of the book; runs on the simulator's main thread.
 */
import * as z from 'zod';
import { type Endpoint, endpoints } from './endpoints.js';
import type { Random } from './seeded.js';
import { type Piece, type Timetable, timetableOf } from './timetable.js';

/**
 * `refuse` the connection is reset before any answer · `stall` silence of `ms` before the first, middle or last byte · `close` the connection
 * is lost there · `status` an HTTP error with the vendor's body · `garbage` bytes that are not the protocol · `drip` `bytes` at a time, `ms` apart.
 * Speech synthesis: `missing_final`, `final_without_audio`, `null_alignment`, `split_samples` (odd chunk lengths), `both_spellings`,
 * `error_event` (an error object, then close 1008). Language model: `missing_done`, `empty_delta`, `cut_sentence`.
 * Recognition: `phantom_words` says `text` instead of what was heard.
 */
export const faultKinds = [
  'refuse',
  'stall',
  'close',
  'status',
  'garbage',
  'drip',
  'missing_final',
  'final_without_audio',
  'null_alignment',
  'split_samples',
  'both_spellings',
  'error_event',
  'missing_done',
  'empty_delta',
  'cut_sentence',
  'phantom_words',
] as const;

export const faultSchema = z.strictObject({
  endpoint: z.enum([...endpoints, '*']),
  kind: z.enum(faultKinds),
  position: z.enum(['first', 'middle', 'last']).optional(),
  ms: z.number().min(0).max(600_000).optional(),
  bytes: z.int().min(1).max(65536).optional(),
  status: z.int().min(400).max(599).optional(),
  retryAfterSeconds: z.number().min(0).max(3600).optional(),
  text: z.string().max(1000).optional(),
  /** Requests let through before the fault begins. */
  skip: z.int().min(0).max(1_000_000).optional(),
  /** How many requests it hits; without it once, or without end when a probability is given. */
  times: z.int().min(1).max(1_000_000).optional(),
  probability: z.number().min(0).max(1).optional(),
});
export type Fault = z.infer<typeof faultSchema>;

/** More standing orders than this at a time are a mistake of the test. */
export const faultsMax = 1000;
/** A dripped answer is cut into at most so many pieces; the last one carries the rest. */
const dripPiecesMax = 4096;

type Order = { readonly fault: Fault; skip: number; times: number };

export class FaultBook {
  #orders: Order[] = [];

  add(fault: Fault): void {
    const times = fault.times ?? (fault.probability === undefined ? 1 : Number.POSITIVE_INFINITY);
    this.#orders.push({ fault, skip: fault.skip ?? 0, times });
  }

  clear(): void {
    this.#orders = [];
  }

  get size(): number {
    return this.#orders.length;
  }

  /** The fault of the next request of `endpoint`, if any; the oldest order that applies is used and counted. */
  take(endpoint: Endpoint, random: Random): Fault | undefined {
    for (const order of this.#orders) {
      // Without a name of its own the upgrade of a socket is not a request: `*` spares it.
      if (order.fault.endpoint !== endpoint && (order.fault.endpoint !== '*' || endpoint === 'tts_connect')) continue;
      if (order.skip > 0) {
        order.skip -= 1;
        continue;
      }
      if (order.fault.probability !== undefined && random() >= order.fault.probability) continue;
      order.times -= 1;
      if (order.times <= 0) this.#orders = this.#orders.filter((other) => other !== order);
      return order.fault;
    }
    return undefined;
  }
}

/** How a kind of data is cut into smaller parts; messages cannot be cut. */
export type Cutting<Data> = {
  readonly lengthOf: (data: Data) => number;
  readonly partOf: (data: Data, from: number, to: number) => Data;
};

export const byteCutting: Cutting<Buffer> = {
  lengthOf: (data) => data.length,
  partOf: (data, from, to) => data.subarray(from, to),
};

export const messageCutting: Cutting<string> = { lengthOf: () => 1, partOf: (data) => data };

/** The same pieces, cut so that one begins at the fault's position; and the index of that one. */
function brokenAt<Data>(
  pieces: readonly Piece<Data>[],
  position: Fault['position'],
  cutting: Cutting<Data>,
): { pieces: Piece<Data>[]; index: number } {
  if (position === undefined || position === 'first' || pieces.length === 0) return { pieces: [...pieces], index: 0 };
  const index = position === 'last' ? pieces.length - 1 : Math.floor(pieces.length / 2);
  const piece = pieces[index] as Piece<Data>;
  const length = cutting.lengthOf(piece.data);
  const isWithinPiece = length > 1 && (position === 'last' || pieces.length === 1);
  if (!isWithinPiece) return { pieces: [...pieces], index };
  const at = position === 'last' ? length - 1 : length >> 1;
  const parts = [
    { atMs: piece.atMs, data: cutting.partOf(piece.data, 0, at) },
    { atMs: piece.atMs, data: cutting.partOf(piece.data, at, length) },
  ];
  return { pieces: [...pieces.slice(0, index), ...parts, ...pieces.slice(index + 1)], index: index + 1 };
}

function dripped<Data>(pieces: readonly Piece<Data>[], fault: Fault, cutting: Cutting<Data>): Piece<Data>[] {
  const stepMs = fault.ms ?? 5;
  const stepBytes = fault.bytes ?? 1;
  const drips: Piece<Data>[] = [];
  let earliestMs = 0;
  for (const piece of pieces) {
    const length = cutting.lengthOf(piece.data);
    for (let from = 0; from < length; ) {
      const to = drips.length >= dripPiecesMax ? length : Math.min(length, from + stepBytes);
      const atMs = Math.max(piece.atMs, earliestMs);
      drips.push({ atMs, data: cutting.partOf(piece.data, from, to) });
      earliestMs = atMs + stepMs;
      from = to;
    }
  }
  return drips;
}

/** What `fault` makes of `timetable` on the connection's level; kinds that concern content leave it as it is. */
export function withFault<Data>(timetable: Timetable<Data>, fault: Fault | undefined, cutting: Cutting<Data>): Timetable<Data> {
  switch (fault?.kind) {
    case 'refuse': {
      const atMs = timetable.pieces[0]?.atMs ?? timetable.endAtMs;
      return { pieces: [], ending: 'cut', endAtMs: atMs };
    }
    case 'stall': {
      const broken = brokenAt(timetable.pieces, fault.position, cutting);
      const lateMs = fault.ms ?? 1500;
      const late = broken.pieces.map((piece, index) => (index < broken.index ? piece : { ...piece, atMs: piece.atMs + lateMs }));
      return { ...timetable, pieces: late, endAtMs: timetable.endAtMs + lateMs };
    }
    case 'close': {
      const broken = brokenAt(timetable.pieces, fault.position, cutting);
      const endAtMs = broken.pieces[broken.index]?.atMs ?? timetable.endAtMs;
      return { pieces: broken.pieces.slice(0, broken.index), ending: 'cut', endAtMs };
    }
    case 'drip': {
      const pieces = dripped(timetable.pieces, fault, cutting);
      return timetableOf(pieces, timetable.endAtMs);
    }
    default:
      return timetable;
  }
}
