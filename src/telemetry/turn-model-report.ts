/** How questions to a turn model ended, into a thread's figures. STT and conversation thread. */
import type { Recorder } from './recorder.js';

export function turnModelReport(recorder: Recorder): (outcome: string, tookMs: number, problem: string | undefined) => void {
  return (outcome, tookMs) => {
    recorder.count('parley_turn_model_total', `outcome="${outcome}"`);
    if (outcome === 'answered') recorder.record('turn_model', tookMs);
  };
}
