/** What the figures are taken from and what they are not: said in every report, in the same words. */
import type { EvaluationResult } from '../result.js';

export type Honest = {
  readonly real: readonly string[];
  readonly simulated: readonly string[];
  readonly runNotes: readonly string[];
};

export function honesty(result: EvaluationResult): Honest {
  return {
    real: [
      'The engine is the real one: speech detection, endpointing, barge-in, pause and resume, pacing, buffers, history, speculation, cancellation, provider protocols and failure handling all run as they do in service.',
      'Timing truth is placed when the caller’s clips are mixed and never re-detected. What the agent did is read from the sound the caller hears; the engine’s own events are used only where the report says so.',
      'Words reach the engine only if their sound did: audio that was gated, dropped or silenced is not recognised.',
    ],
    simulated: [
      `Recognition, language model and voice are SIMULATED, profile “${result.profile}”: they speak the providers’ wire formats with seeded delays. The absolute gap follows from that profile. Nothing here says anything about word error rate, the quality of answers or of a voice.`,
      `The callers are synthetic voices (${result.voices}) with scripted texts. Timing, energy and words of their pauses are right; their prosody is more regular than that of people, so a learned audio model for the end of turns must be judged on recordings instead.`,
      'The simulated recogniser errs less creatively than a real one. Coughs, doors and babble are a few kinds of mixed sound; real rooms vary more.',
      'Public figures that are drawn beside ours were taken on different data. They are for orientation only.',
    ],
    runNotes: runNotes(result),
  };
}

function runNotes({ clock, profile, timing, scores, mutant, playouts }: EvaluationResult): string[] {
  const unjudged = scores.gates.filter(({ isJudged }) => !isJudged);
  const notes = [...new Set(unjudged.flatMap(({ note }) => note ?? []))];
  return [
    clock === 'virtual'
      ? 'Virtual clock: engine, caller and providers ran in one thread on an injected clock. Work costs no time there, so latencies hold no computing and no scheduling, and gates G1 to G3 are not judged.'
      : `Wall clock: caller frames were late by at most ${timing.frameLatenessP99MsMax.toFixed(1)} ms (p99 of the worst call); that is the error bar of every latency.`,
    ...(profile === 'reference' ? [] : [`Profile “${profile}”, not “reference”: gate G1 is not judged.`]),
    ...(playouts.length > 1 ? [] : [`Playout: ${playouts.join(', ')} only.`]),
    ...(mutant === undefined ? [] : [`The engine was broken on purpose: ${mutant}.`]),
    ...notes.map((note) => `${unjudged.flatMap((gate) => (gate.note === note ? [gate.id] : [])).join(', ')}: ${note}`),
  ];
}
