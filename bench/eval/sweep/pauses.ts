/** Pauses after which a caller goes on, and ends after which nobody does, each with all that was known at its beginning: what an endpointing rule is tried on. */
import { inputRateHz } from '../../../src/shared/units.js';
import type { ClipMaker } from '../clips/clip-maker.js';
import type { VoiceSet } from '../clips/voice-set.js';
import type { LoadedRecording } from '../real/recordings.js';
import type { Scenario, Step } from '../scenario.js';
import { prepareClips } from '../suite.js';

export type Pause = {
  /** Undefined: the turn is over. */
  readonly durationMs: number | undefined;
  /** What was said in the turn before it, as far as a recogniser can know; undefined when nobody wrote it down. */
  readonly text: string | undefined;
};

const pauseMinMs = 200;
const samplesPerMs = inputRateHz / 1000;

/** All turns of a scenario's script, whatever comes of them in a conversation. */
export async function scriptedPauses(scenario: Scenario, maker: ClipMaker, voices: VoiceSet): Promise<Pause[]> {
  const { steps } = await prepareClips(scenario, maker, voices);
  const pauses: Pause[] = [];
  let said: string[] = [];
  const add = (durationMs: number | undefined, text: string): void => {
    if (durationMs !== undefined && durationMs < pauseMinMs) return;
    pauses.push({ durationMs, text });
  };
  for (const [index, step] of scenario.steps.entries()) {
    if (step.role !== 'turn' && step.role !== 'interrupt') continue;
    if (!isSameTurn(scenario.steps[index - 1], step)) said = [];
    const clip = steps[index]!;
    for (const { from, to } of clip.silences) {
      const heard = clip.words.filter((word) => word.to <= from + samplesPerMs).map(({ text }) => text);
      add((to - from) / samplesPerMs, [...said, ...heard].join(' '));
    }
    said = [...said, step.say];
    const next = scenario.steps[index + 1];
    if (!isSameTurn(step, next)) add(undefined, said.join(' '));
    else if ('after' in next!.at && next!.at.after === 'prev.end') add(next!.at.ms, said.join(' '));
  }
  return pauses;
}

function isSameTurn(left: Step | undefined, right: Step | undefined): boolean {
  return left?.turn !== undefined && left.turn === right?.turn && left.role === right?.role;
}

/** Labelled pauses and ends of one recording. Words are known where the labels have their times, and at the end of what was written down whole. */
export function recordedPauses(recording: LoadedRecording): Pause[] {
  const { holds, ends, words, transcript } = recording;
  const events = [
    ...holds.map(([from, to]) => ({ at: from, durationMs: ((to - from) * 1000) as number | undefined })),
    ...ends.map((at) => ({ at, durationMs: undefined as number | undefined })),
  ].sort((left, right) => left.at - right.at);
  const pauses: Pause[] = [];
  let since = 0;
  for (const { at, durationMs } of events) {
    const timed = words?.filter(([from, to]) => from >= since && to <= at + 0.05).map(([, , word]) => word);
    const text = timed?.join(' ') ?? (durationMs === undefined && ends.length === 1 ? transcript : undefined);
    pauses.push({ durationMs, text });
    if (durationMs === undefined) since = at;
  }
  return pauses.filter((pause) => pause.durationMs === undefined || pause.durationMs >= pauseMinMs);
}
