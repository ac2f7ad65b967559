/**
 * What the detector and the gate make of labelled streams: the measuring half of the detector benches.
 * Every stream is heard four times, 8 ms apart, because where an onset falls inside a hop decides about 32 ms of its delay.
 */

import { hopSamples, inputRateHz, ms, samplesIn } from '../src/shared/units.js';
import { SpeechDetector } from '../src/vad/detector.js';
import { type GateEvent, type GateSettings, gateDefaults, needsModel, newGate, step } from '../src/vad/gate.js';
import { rmsLevelDb } from '../src/vad/level.js';
import type { SileroModel } from '../src/vad/model.js';
import { closeGaps, type Group, type Stream } from './vad-data.js';

const shifts = [0, 128, 256, 384];
const earliest = samplesIn(ms(150), inputRateHz);
const latest = samplesIn(ms(200), inputRateHz);

/** One stream heard from sample `shift` on. Window k covers `windowSamples` samples from `shift + k * windowSamples`. */
export type Heard = {
  readonly stream: Stream;
  readonly shift: number;
  readonly windowSamples: number;
  readonly probabilities: readonly number[];
  /** Of each hop of 512 samples; empty for a model with other windows. */
  readonly levelsDb: readonly number[];
  /** Hops that were not shown to the model. */
  readonly skipped: number;
};

/**
 * Hears all streams at all shifts, in batches over all of them, forgetting after each `staleHops` of silence as the gate asks for. With `resting`
 * hops that a gate with these settings does not need are not shown to the model.
 */
export async function listen(
  model: SileroModel,
  streams: readonly Stream[],
  staleHops = gateDefaults.staleHops,
  resting?: GateSettings,
): Promise<Heard[]> {
  const ears = streams.flatMap((stream) =>
    shifts.map((shift) => ({
      stream,
      shift,
      windowSamples: hopSamples,
      probabilities: [] as number[],
      levelsDb: [] as number[],
      silent: 0,
      skipped: 0,
      gate: resting === undefined ? undefined : newGate(resting),
    })),
  );
  const detector = new SpeechDetector(model, ears.length);
  const longest = Math.max(...streams.map(({ pcm }) => pcm.length));
  for (let hop = 0; hop * hopSamples < longest; hop += 1) {
    for (const [slot, ear] of ears.entries()) {
      const at = ear.shift + hop * hopSamples;
      if (at + hopSamples > ear.stream.pcm.length) continue;
      const pcm = ear.stream.pcm.subarray(at, at + hopSamples);
      if (ear.gate === undefined || needsModel(ear.gate, rmsLevelDb(pcm))) detector.stage(slot, pcm);
      else {
        detector.skip(slot, pcm);
        ear.skipped += 1;
      }
    }
    await detector.run();
    for (const [slot, ear] of ears.entries()) {
      const at = ear.shift + hop * hopSamples;
      if (at + hopSamples > ear.stream.pcm.length) continue;
      const probability = detector.probability(slot);
      ear.probabilities.push(probability);
      const levelDb = rmsLevelDb(ear.stream.pcm, at, at + hopSamples);
      ear.levelsDb.push(levelDb);
      if (ear.gate !== undefined) {
        const hop = {
          probability,
          levelDb,
          endSample: at + hopSamples,
          agentAudible: true,
          startHopsWhileAgentSpeaks: 2,
        } as const;
        if (step(ear.gate, hop)?.type === 'model_stale') detector.reset(slot);
        continue;
      }
      ear.silent = probability < gateDefaults.offProbability ? ear.silent + 1 : 0;
      if (ear.silent > 0 && ear.silent % staleHops === 0) detector.reset(slot);
    }
  }
  return ears;
}

/** The gate's settings, and whether the agent is heard meanwhile. */
export type Listening = { readonly settings: GateSettings; readonly agentAudible: boolean; readonly startHops: 2 | 3 | 4 };

export type Segment = {
  readonly startSample: number;
  readonly startAtSample: number;
  readonly lastSpeechSample: number;
  readonly endAtSample: number;
};

/** The gate's segments in samples of the stream; one still open at the end of the stream ends there. */
export function segmentsOf(heard: Heard, { settings, agentAudible, startHops }: Listening): Segment[] {
  const gate = newGate(settings);
  const segments: Segment[] = [];
  let start: Extract<GateEvent, { type: 'speech_start' }> | undefined;
  let endSample = heard.shift;
  for (const [index, probability] of heard.probabilities.entries()) {
    endSample += hopSamples;
    const levelDb = heard.levelsDb[index]!;
    const event = step(gate, { probability, levelDb, endSample, agentAudible, startHopsWhileAgentSpeaks: startHops });
    if (event?.type === 'speech_start') start = event;
    if (event?.type !== 'speech_end' || start === undefined) continue;
    const { startSample, atSample } = start;
    segments.push({
      startSample,
      startAtSample: atSample,
      lastSpeechSample: event.lastSpeechSample,
      endAtSample: event.atSample,
    });
    start = undefined;
  }
  if (start !== undefined) {
    segments.push({
      startSample: start.startSample,
      startAtSample: start.atSample,
      lastSpeechSample: endSample,
      endAtSample: endSample,
    });
  }
  return segments;
}

/** The bare detector as segments: from the first window at 0.5 or more to the first below 0.35. */
export function rawSegmentsOf(heard: Heard): Segment[] {
  const segments: Segment[] = [];
  let start: number | undefined;
  for (const [index, probability] of heard.probabilities.entries()) {
    const endAtSample = heard.shift + (index + 1) * heard.windowSamples;
    if (start === undefined && probability >= 0.5) start = endAtSample;
    if (start === undefined || probability >= 0.35) continue;
    const startSample = start - heard.windowSamples;
    segments.push({ startSample, startAtSample: start, lastSpeechSample: endAtSample - heard.windowSamples, endAtSample });
    start = undefined;
  }
  if (start !== undefined) {
    const endAtSample = heard.shift + heard.probabilities.length * heard.windowSamples;
    segments.push({ startSample: start - heard.windowSamples, startAtSample: start, lastSpeechSample: endAtSample, endAtSample });
  }
  return segments;
}

/** One heard stream with the segments found in it. */
export type Judged = { readonly heard: Heard; readonly segments: readonly Segment[] };

const inMs = (sampleCount: number): number => (sampleCount * 1000) / inputRateHz;

/** Onset to start, in ms; Infinity for an onset that was missed. Onsets inside a segment that is already open say nothing and are left out. */
export function startDelaysMs(judged: readonly Judged[]): number[] {
  return judged.flatMap(({ heard, segments }) =>
    heard.stream.onsets
      .filter(({ from }) => !segments.some((segment) => segment.startAtSample <= from - earliest && segment.endAtSample > from))
      .map(({ from, to, atSample }) => {
        const found = segments.find((segment) => segment.startAtSample > from - earliest && segment.startAtSample <= to + latest);
        return found === undefined ? Number.POSITIVE_INFINITY : inMs(found.startAtSample - atSample);
      }),
  );
}

/** Of each utterance (gaps under 350 ms closed) that was found: end to speech_end, error of t0, and how many segments it was cut into. */
export function ends(judged: readonly Judged[]): { delaysMs: number[]; t0ErrorsMs: number[]; splitRatio: number } {
  const delaysMs: number[] = [];
  const t0ErrorsMs: number[] = [];
  let [utterances, splits] = [0, 0];
  for (const { heard, segments } of judged) {
    for (const { from, to } of closeGaps(heard.stream.speech, samplesIn(ms(350), inputRateHz))) {
      const parts = segments.filter((segment) => segment.startSample < to && segment.endAtSample > from);
      const last = parts.at(-1);
      if (last === undefined) continue;
      utterances += 1;
      splits += parts.length - 1;
      delaysMs.push(inMs(last.endAtSample - to));
      t0ErrorsMs.push(inMs(last.lastSpeechSample - to));
    }
  }
  return { delaysMs, t0ErrorsMs, splitRatio: splits / utterances };
}

/** Starts per minute where nobody speaks: in all of a noise, and further than 100 ms before or 300 ms after speech otherwise. */
export function falseStarts(judged: readonly Judged[]): { count: number; minutes: number } {
  let [count, minutes] = [0, 0];
  for (const { heard, segments } of judged) {
    const { speech, pcm } = heard.stream;
    const spoken = closeGaps(speech, samplesIn(ms(300), inputRateHz));
    const silence = pcm.length - spoken.reduce((sum, { from, to }) => sum + to - from, 0);
    minutes += inMs(silence) / 60000;
    const before = samplesIn(ms(100), inputRateHz);
    const after = samplesIn(ms(300), inputRateHz);
    count += segments.filter(
      ({ startAtSample: at }) => !spoken.some(({ from, to }) => at > from - before && at < to + after),
    ).length;
  }
  return { count, minutes };
}

/** Those of the given groups, with what `find` finds in them. */
export function judge(heard: readonly Heard[], groups: readonly Group[], find: (heard: Heard) => Segment[]): Judged[] {
  return heard.filter(({ stream }) => groups.includes(stream.group)).map((one) => ({ heard: one, segments: find(one) }));
}
