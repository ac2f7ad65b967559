/**
 * One step of the machine in the making: a private copy of the state, the actions so far, and the small changes that every subject needs.
 * The functions of this folder that take a `Work` change it in place; nobody else sees it before the step is over. Conversation thread.
 */
import type { TurnSettings } from './settings.js';
import type { Action, DropReason, OpenTurn, TurnState } from './state.js';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export type Work = {
  readonly state: Mutable<TurnState>;
  readonly actions: Action[];
  /** The instant of the step on the input clock. */
  readonly atMs: number;
  readonly settings: TurnSettings;
  readonly phrases: Phrases;
};

/** Sentences the machine says by itself. */
export type Phrases = {
  readonly idle: readonly string[];
  readonly apology: string;
};

/** Changes the open turn, if there is one. */
export function openWith(work: Work, change: Partial<OpenTurn>): void {
  if (work.state.open !== undefined) work.state.open = { ...work.state.open, ...change };
}

/** Something of the agent's is on its way or heard that the caller cannot interrupt. */
export function isProtected({ state }: Work): boolean {
  return state.agent.phase !== 'idle' && state.agent.speech === state.protectedSpeech;
}

export function nextSpeech(work: Work): number {
  work.state.speech += 1;
  return work.state.speech;
}

export function becomeIdle(work: Work): void {
  work.state.agent = { phase: 'idle' };
  if (work.state.open === undefined) work.state.idleSinceMs = work.atMs;
}

/** The open turn ends without an answer. */
export function dropTurn(work: Work, reason: DropReason): void {
  discardDraft(work);
  work.actions.push({ type: 'drop_turn', turn: work.state.turn, reason, text: work.state.open?.text ?? '' });
  work.state.open = undefined;
  work.state.turn += 1;
  if (work.state.agent.phase === 'idle' && work.state.idleSinceMs === undefined) work.state.idleSinceMs = work.atMs;
}

export function discardDraft(work: Work): void {
  const { open } = work.state;
  if (open?.draft === undefined) return;
  work.actions.push({ type: 'discard', speech: open.draft.speech });
  openWith(work, { draft: undefined });
}
