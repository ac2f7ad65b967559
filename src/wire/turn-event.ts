/**
 * `parley_turn_event`: what the turn machine saw and decided, for a console that draws it. It is ours and not of the public protocol, whose
 * clients hand messages of an unknown type to their debug callback: only a client that lists it in `client_events` gets it. Pure; main thread.
 *
 * All instants are milliseconds since the conversation began (its metadata message), on the server's monotonic clock. The smallest difference
 * that a client sees between the arrival of an event and its `sent_at_ms` tells it where that zero lies on its own clock.
 */

/** The instants of one turn in the order in which one usually causes the next; `committed` may come at any time after `final_answered`. */
export const turnInstants = [
  'speech_end',
  'final_asked',
  'final_answered',
  'committed',
  'llm_asked',
  'first_token',
  'first_segment',
  'first_chunk',
  'first_frame',
] as const;
export type TurnInstant = (typeof turnInstants)[number];
export type TurnInstants = Readonly<Partial<Record<TurnInstant, number>>>;

/** What happened. `eventId` is the id that the reply's other events carry; 0 while it has none. */
export type TurnHappening =
  | { readonly kind: 'speech_start' }
  /** At the caller's last sample, so `atMs` lies some 200 ms back. */
  | { readonly kind: 'speech_end' }
  /** The agent's audio is held until a verdict: one of `release`, `resume` and `cut` ends it. */
  | { readonly kind: 'hold' }
  /** There was nothing to decide, because the agent was not audible. */
  | { readonly kind: 'release' }
  | { readonly kind: 'resume'; readonly reason: string }
  | { readonly kind: 'cut'; readonly reason: string; readonly eventId: number }
  /** The reply that was cut goes on under a new id. */
  | { readonly kind: 'undo'; readonly reason: string; readonly eventId: number; readonly newEventId: number }
  | { readonly kind: 'commit'; readonly isTyped: boolean; readonly isAdopted: boolean }
  | { readonly kind: 'drop'; readonly reason: string }
  /** The first frame of a reply was handed to the socket. */
  | { readonly kind: 'first_audio'; readonly eventId: number }
  /** Everything about an answered turn is known: its instants. */
  | { readonly kind: 'answered'; readonly instants: TurnInstants };

export type ParleyTurnEvent = {
  readonly type: 'parley_turn_event';
  /** Number of the caller's turn, from 1. */
  readonly turn: number;
  readonly atMs: number;
  readonly sentAtMs: number;
  readonly happening: TurnHappening;
};

/** The payload on the wire; what is absent does not belong to the kind. */
export type TurnEventPayload = {
  readonly kind: TurnHappening['kind'];
  readonly turn: number;
  readonly at_ms: number;
  readonly sent_at_ms: number;
  readonly reason?: string;
  readonly event_id?: number;
  readonly new_event_id?: number;
  readonly is_typed?: boolean;
  readonly is_adopted?: boolean;
  readonly instants?: TurnInstants;
};

/** Hundredths: a console draws milliseconds, and numbers on the wire stay short. */
function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}

function detailsOf(happening: TurnHappening): Partial<TurnEventPayload> {
  switch (happening.kind) {
    case 'speech_start':
    case 'speech_end':
    case 'hold':
    case 'release':
      return {};
    case 'resume':
    case 'drop':
      return { reason: happening.reason };
    case 'cut':
      return { reason: happening.reason, event_id: happening.eventId };
    case 'undo':
      return { reason: happening.reason, event_id: happening.eventId, new_event_id: happening.newEventId };
    case 'commit':
      return { is_typed: happening.isTyped, is_adopted: happening.isAdopted };
    case 'first_audio':
      return { event_id: happening.eventId };
    case 'answered': {
      const instants: Partial<Record<TurnInstant, number>> = {};
      for (const name of turnInstants) {
        const atMs = happening.instants[name];
        if (atMs !== undefined) instants[name] = rounded(atMs);
      }
      return { instants };
    }
  }
}

/** The message as an object, to be written as JSON. */
export function turnEventShape(event: ParleyTurnEvent): { type: 'parley_turn_event'; parley_turn_event: TurnEventPayload } {
  const { turn, atMs, sentAtMs, happening } = event;
  return {
    type: 'parley_turn_event',
    parley_turn_event: {
      kind: happening.kind,
      turn,
      at_ms: rounded(atMs),
      sent_at_ms: rounded(sentAtMs),
      ...detailsOf(happening),
    },
  };
}
