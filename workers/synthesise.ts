/**
 * Pool thread of the embedded synthesiser (piscina): loads the voice once, then turns one piece of text after another into samples.
 * Blocked in `Atomics.wait` between jobs, busy for tens of milliseconds during one; holds no session state.
 */
import { move, transferableSymbol, valueSymbol } from 'piscina';
import { takePriority } from '../src/shared/priority.js';
import type { Flite, Speech, SynthesisOptions } from '../src/tts/embedded/flite.js';
import { loadFlite } from '../src/tts/embedded/flite.js';

// It computes for tens of milliseconds at a time; threads that take turns go first.
takePriority('background');

export type SynthesisJob = SynthesisOptions & { readonly text: string };

let loading: Promise<Flite> | undefined;

/** The handler named in the pool's options. The samples are moved to the caller's thread, not copied. */
export async function synthesise(job: SynthesisJob): Promise<Speech> {
  loading ??= loadFlite();
  const speech = (await loading).synthesise(job.text, job);
  // The pool knows what to move by the first symbol, and what to send by the second.
  return move({ [transferableSymbol]: [speech.audio.buffer], [valueSymbol]: speech }) as unknown as Speech;
}
