/**
 * What `parley_turn_event` says, put together: marks on the timeline, and the instants of each turn. Pure: events in, a new board out.
 * Server instants stay as they came; `offsetMs` leads to the page's clock.
 */
import type { TurnEventPayload, TurnHappening, TurnInstant } from '../../../src/wire/turn-event.js';

export type MarkKind = Exclude<TurnHappening['kind'], 'answered'>;
export type Mark = { readonly kind: MarkKind; readonly atMs: number; readonly turn: number; readonly reason: string };

export type Turn = {
  readonly turn: number;
  readonly isTyped: boolean;
  /** The reply was begun before the turn was over. */
  readonly isAdopted: boolean;
  readonly instants: Readonly<Partial<Record<TurnInstant, number>>>;
  /** When the first sound left the page; undefined until it did. */
  readonly audibleAtMs: number | undefined;
};

export type Board = {
  /** Page clock minus server clock: the smallest difference seen, which is the one with the least delay in it. */
  readonly offsetMs: number | undefined;
  readonly marks: readonly Mark[];
  /** Newest last. */
  readonly turns: readonly Turn[];
};

export const emptyBoard: Board = { offsetMs: undefined, marks: [], turns: [] };

const marksMax = 2000;
const turnsMax = 100;
/** The first sound of a reply is looked for this long after its first frame was sent, and a little before: clocks are not exact. */
const audibleMaxMs = 3000;
const audibleSlackMs = 30;

/** The payload when `message` is a turn event. */
export function readTurnEvent(message: unknown): TurnEventPayload | undefined {
  if (typeof message !== 'object' || message === null || !('parley_turn_event' in message)) return undefined;
  return message.parley_turn_event as TurnEventPayload;
}

/** `arrivedAtMs`: page clock. */
export function report(board: Board, event: TurnEventPayload, arrivedAtMs: number): Board {
  const offsetMs = Math.min(board.offsetMs ?? Number.POSITIVE_INFINITY, arrivedAtMs - event.sent_at_ms);
  const { kind, turn, at_ms: atMs, reason = '' } = event;
  if (kind !== 'answered') {
    const marks = [...board.marks.slice(-marksMax + 1), { kind, atMs, turn, reason }];
    if (kind !== 'commit') return { ...board, offsetMs, marks };
    const begun: Turn = {
      turn,
      isTyped: event.is_typed === true,
      isAdopted: event.is_adopted === true,
      instants: { committed: atMs },
      audibleAtMs: undefined,
    };
    return { offsetMs, marks, turns: [...board.turns.filter((other) => other.turn !== turn).slice(-turnsMax + 1), begun] };
  }
  const turns = board.turns.map((other) =>
    other.turn === turn ? { ...other, instants: { ...other.instants, ...event.instants } } : other,
  );
  return { ...board, offsetMs, turns };
}

/** `soundsAtMs`: when the agent's lane became audible, page clock. Each turn gets the first that its first frame can have caused. */
export function matchSounds(board: Board, soundsAtMs: readonly number[]): Board {
  const { offsetMs } = board;
  if (offsetMs === undefined) return board;
  let isChanged = false;
  const turns = board.turns.map((turn) => {
    const sentAtMs = turn.instants.first_frame;
    if (turn.audibleAtMs !== undefined || sentAtMs === undefined) return turn;
    const earliest = offsetMs + sentAtMs - audibleSlackMs;
    const soundAtMs = soundsAtMs.find((atMs) => atMs >= earliest && atMs < earliest + audibleMaxMs);
    if (soundAtMs === undefined) return turn;
    isChanged = true;
    return { ...turn, audibleAtMs: Math.max(sentAtMs, soundAtMs - offsetMs) };
  });
  return isChanged ? { ...board, turns } : board;
}

export type Stage = {
  readonly name: string;
  /** From the first instant of the turn. */
  readonly startMs: number;
  readonly endMs: number;
  readonly means: string;
  /** Among all stages there are, so that one looks the same in every turn. */
  readonly place: number;
};
export type Waterfall = { readonly stages: readonly Stage[]; readonly totalMs: number; readonly from: string };

/** The stages of one turn in the order in which they end; those of which an instant is missing are left out. */
export function waterfallOf(turn: Turn): Waterfall | undefined {
  const { speech_end, final_answered, committed, llm_asked, first_token, first_chunk, first_frame } = turn.instants;
  const originMs = turn.isTyped ? committed : (speech_end ?? committed);
  if (originMs === undefined) return undefined;
  const readyMs = first_chunk === undefined ? committed : Math.max(first_chunk, committed ?? first_chunk);
  const rows: readonly (readonly [string, number | undefined, number | undefined, string])[] = [
    ['Recognition', turn.isTyped ? undefined : originMs, final_answered, 'end of speech to final transcript'],
    ['End of turn', turn.isTyped ? undefined : originMs, committed, 'end of speech to the decision that the turn is over'],
    ['Model', llm_asked, first_token, 'request to first token'],
    ['Voice', first_token, first_chunk, 'first token to first audio of the voice'],
    ['Sending', readyMs, first_frame, 'audio ready and turn over, to first audio sent'],
    ['Playing', first_frame, turn.audibleAtMs, 'first audio sent to first sound in this page'],
  ];
  const stages = rows.flatMap(([name, start, end, means], place) =>
    start === undefined || end === undefined
      ? []
      : [{ name, startMs: start - originMs, endMs: Math.max(start, end) - originMs, means, place }],
  );
  const endMs = turn.audibleAtMs ?? first_frame;
  if (endMs === undefined || stages.length === 0) return undefined;
  return { stages, totalMs: endMs - originMs, from: turn.isTyped ? 'typed' : 'end of speech' };
}
