/**
 * Every answer of the simulator is a timetable: pieces of bytes or messages with the instant each leaves. Faults rewrite timetables,
 * and one player sends them all. Runs on the simulator's main thread.
 */
import { nowMs } from '../../src/shared/clock.js';
import type { Appointment, Schedule } from './schedule.js';

export type Piece<Data> = { readonly atMs: number; readonly data: Data };

export type Timetable<Data> = {
  readonly pieces: readonly Piece<Data>[];
  /** `cut`: the connection is destroyed after the last piece, at `endAtMs`. */
  readonly ending: 'end' | 'cut';
  /** Not before the last piece. */
  readonly endAtMs: number;
};

/** Where a timetable is played to. */
export type Sink<Data> = {
  /** Sends one piece; false when the peer reads too slowly, and then `isFull` tells when to go on. */
  readonly write: (data: Data) => void;
  readonly isFull: () => boolean;
  readonly end: () => void;
  readonly cut: () => void;
};

export type Played = {
  readonly firstAtMs: number | undefined;
  readonly lastAtMs: number;
  /** False when it was stopped or the timetable ended in a cut. */
  readonly isWhole: boolean;
};

/** How long a slow reader is left alone before it is looked at again. */
const fullRetryMs = 5;

export type Playing = { stop(): void };

/** A timetable whose pieces follow one another at their own instants and which ends normally. */
export function timetableOf<Data>(pieces: readonly Piece<Data>[], endAtMs = 0): Timetable<Data> {
  return { pieces, ending: 'end', endAtMs: Math.max(endAtMs, pieces.at(-1)?.atMs ?? 0) };
}

/**
 * Sends the pieces of `timetable` at their instants: what is due together goes out together, nothing goes out early, and a slow reader
 * delays what follows. `onPlayed` is called exactly once, also after `stop`.
 */
export function play<Data>(
  schedule: Schedule,
  timetable: Timetable<Data>,
  sink: Sink<Data>,
  onPlayed: (played: Played) => void,
): Playing {
  let next = 0;
  let firstAtMs: number | undefined;
  let appointment: Appointment | undefined;
  let isOver = false;

  const finish = (isWhole: boolean): void => {
    isOver = true;
    onPlayed({ firstAtMs, lastAtMs: nowMs(), isWhole });
  };
  const step = (): void => {
    const startedAtMs = nowMs();
    while (!isOver && next < timetable.pieces.length) {
      const piece = timetable.pieces[next] as Piece<Data>;
      // The schedule may run half a millisecond early; the same tolerance here keeps it from being asked twice.
      if (piece.atMs > startedAtMs + 0.5) {
        appointment = schedule.at(piece.atMs, step);
        return;
      }
      if (sink.isFull()) {
        appointment = schedule.at(startedAtMs + fullRetryMs, step);
        return;
      }
      firstAtMs ??= nowMs();
      next += 1;
      sink.write(piece.data);
    }
    if (isOver) return;
    if (timetable.endAtMs > startedAtMs + 0.5) {
      appointment = schedule.at(timetable.endAtMs, step);
      return;
    }
    if (timetable.ending === 'cut') sink.cut();
    else sink.end();
    finish(timetable.ending === 'end');
  };
  appointment = schedule.at(timetable.pieces[0]?.atMs ?? timetable.endAtMs, step);

  return {
    stop: () => {
      if (isOver) return;
      if (appointment !== undefined) schedule.cancel(appointment);
      finish(false);
    },
  };
}
