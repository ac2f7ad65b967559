/**
 * Pool thread of a learned turn model (piscina): loads it once and answers one question after another. Blocked in `Atomics.wait` between
 * questions; holds no session state.
 */
import { type Problem, problemOf } from '../src/shared/errors.js';
import { AudioTurnModel } from '../src/turn-model/audio-model.js';
import type { LoadedTurnModel, TurnModelKind, TurnQuestion } from '../src/turn-model/port.js';
import { TextTurnModel } from '../src/turn-model/text-model.js';

export type JudgeJob = { readonly kind: TurnModelKind; readonly path: string; readonly question: TurnQuestion };
/** Errors go back as values: a thrown one would lose its kind on the way between threads. */
export type JudgeResult = { readonly name: string; readonly probability: number } | { readonly problem: Problem };

let loading: Promise<LoadedTurnModel> | undefined;

/** The handler named in the pool's options. One job at a time. */
export async function judge({ kind, path, question }: JudgeJob): Promise<JudgeResult> {
  try {
    loading ??= kind === 'audio' ? AudioTurnModel.load(path) : TextTurnModel.load(path);
    const model = await loading;
    return { name: model.name, probability: await model.judge(question) };
  } catch (error) {
    return { problem: problemOf(error) };
  }
}
