/**
 * What the engine wants of a learned model of turn-taking: the probability that the caller is done, asked in a pause. An audio model hears the open
 * turn and is asked by the STT thread, a text model reads the conversation and is asked by the conversation thread; the runs are on a pool's threads.
 */

/** The last seconds of the open turn are all that an audio model hears. */
export const windowSeconds = 8;

export type ChatLine = { readonly role: 'agent' | 'caller'; readonly text: string };

/** `audio`: 16 kHz mono, at most `windowSeconds`, ending where the pause was noticed. `lines`: the last one is the caller's open turn. */
export type TurnQuestion =
  | { readonly kind: 'audio'; readonly audio: Int16Array }
  | { readonly kind: 'text'; readonly lines: readonly ChatLine[] };

/** Which question a model answers. */
export type TurnModelKind = TurnQuestion['kind'];

/** A loaded model, on the thread that runs it. */
export interface LoadedTurnModel {
  readonly name: string;
  /** Probability that the caller is done, 0..1. Throws `EngineError` for what is no such number. */
  judge(question: TurnQuestion): Promise<number>;
}

/** What those who ask see: nothing to catch, nothing to wait for longer than the model's budget. */
export interface TurnModel {
  readonly name: string;
  readonly kind: TurnModelKind;
  /** 0..1; undefined when the model failed, was busy or took longer than its budget: then the words decide. */
  judge(question: TurnQuestion): Promise<number | undefined>;
  /** Ends its threads. */
  close(): Promise<void>;
}
