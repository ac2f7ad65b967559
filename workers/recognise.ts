/**
 * Pool thread of the embedded recogniser (piscina): keeps one recogniser per grammar, and turns one utterance after another into words.
 * Blocked in `Atomics.wait` between jobs, busy for about a twentieth of the audio's length during one; holds no session state.
 */
import { type Problem, problemOf } from '../src/shared/errors.js';
import { type Decoded, GrammarRecogniser } from '../src/stt/embedded/recogniser.js';

export type RecogniseJob = {
  /** Equal grammars have equal keys. The grammar itself comes along each time: it is small, and a fresh thread may need it. */
  readonly grammarKey: string;
  readonly grammar: unknown;
  /** 16 kHz mono; absent to load the grammar only. */
  readonly audio?: Int16Array;
};

/** Recognisers kept, the least recently used one goes first: 8 MB each. */
const recognisersMax = 16;
const recognisers = new Map<string, Promise<GrammarRecogniser>>();

/** Errors go back as values: a thrown one would lose its kind on the way between threads. */
export type RecogniseResult = { readonly decoded: Decoded | undefined } | { readonly problem: Problem };

/** The handler named in the pool's options. */
export async function recognise({ grammarKey, grammar, audio }: RecogniseJob): Promise<RecogniseResult> {
  try {
    const recogniser = await recogniserFor(grammarKey, grammar);
    return { decoded: audio === undefined ? undefined : recogniser.decode(audio) };
  } catch (error) {
    return { problem: problemOf(error) };
  }
}

async function recogniserFor(key: string, grammar: unknown): Promise<GrammarRecogniser> {
  const loading = recognisers.get(key) ?? GrammarRecogniser.load(grammar);
  // Moved to the end of the map: the first key is that of the recogniser that was not used for longest.
  recognisers.delete(key);
  recognisers.set(key, loading);
  const recogniser = await loading.catch((error: unknown) => {
    recognisers.delete(key);
    throw error;
  });
  if (recognisers.size > recognisersMax) {
    const [oldest, old] = recognisers.entries().next().value!;
    recognisers.delete(oldest);
    (await old).close();
  }
  return recogniser;
}
