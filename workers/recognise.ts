/**
 * Pool thread of the embedded recogniser (piscina): loads the model once, and turns one utterance after another into words.
 * Blocked in `Atomics.wait` between jobs, busy for about a twelfth of the audio's length during one; holds no session state.
 */

import { type Problem, problemOf } from '../src/shared/errors.js';
import { takePriority } from '../src/shared/priority.js';
import { type Decoded, Recogniser } from '../src/stt/embedded/recogniser.js';

// It computes for tens of milliseconds at a time; threads that take turns go first.
takePriority('background');

export type RecogniseJob = {
  /** Equal grammars have equal keys. The grammar itself comes along each time: it is small, and a fresh thread may need it. */
  readonly grammarKey: string;
  readonly grammar: unknown;
  /** 16 kHz mono; absent to load the grammar only. */
  readonly audio?: Int16Array;
};

let loading: Promise<Recogniser> | undefined;

/** Errors go back as values: a thrown one would lose its kind on the way between threads. */
export type RecogniseResult = { readonly decoded: Decoded | undefined } | { readonly problem: Problem };

/** The handler named in the pool's options. One job at a time: between loading and decoding nothing waits. */
export async function recognise({ grammarKey, grammar, audio }: RecogniseJob): Promise<RecogniseResult> {
  try {
    loading ??= Recogniser.load();
    const recogniser = await loading;
    recogniser.listenFor(grammarKey, grammar);
    return { decoded: audio === undefined ? undefined : recogniser.decode(audio) };
  } catch (error) {
    return { problem: problemOf(error) };
  }
}
