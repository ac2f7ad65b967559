/**
 * Which voice-activity model: the three that `@ricky0123/vad-web` carries, on the same recordings, at the same thresholds.
 * `node dist/bench/vad-choice.js [--audio DIR] [--json FILE]`; about a minute. Not measured: languages other than English (but for single
 * clips), noise-suppressed or echo-cancelled input, and memory.
 */

import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { hopSamples } from '../src/shared/units.js';
import { gateDefaults } from '../src/vad/gate.js';
import { defaultModelPath, ModelBatch, SileroModel } from '../src/vad/model.js';
import { areaUnderCurve, audioFolder, f1Score, type Group, quantile, readStreams, type Stream } from './vad-data.js';
import {
  ends,
  falseStarts,
  type Heard,
  judge,
  listen,
  rawSegmentsOf,
  type Segment,
  segmentsOf,
  startDelaysMs,
} from './vad-listen.js';

const modelFolder = dirname(defaultModelPath());
const gridSamples = 160;
const batches = [1, 16, 64] as const;

type Delays = { readonly count: number; readonly missed: number; readonly p50Ms: number; readonly p95Ms: number };
type Ear = {
  readonly onset: Readonly<Record<string, Delays>>;
  readonly offset: Readonly<Record<string, Delays>>;
  readonly falseStartsPerMinute: number;
};
export type ModelReport = {
  readonly model: string;
  readonly windowMs: number;
  /** Whole call, by batch size, median; and the same per second of audio of one session. */
  readonly callUs: Readonly<Record<number, number>>;
  readonly usPerAudioSecond: Readonly<Record<number, number>>;
  readonly frames: Readonly<Record<string, { readonly auc: number; readonly f1: number }>>;
  readonly raw: Ear;
  readonly gateAgentSilent?: Ear;
  readonly gateAgentSpeaking?: Ear;
};

const frameSets: Readonly<Record<string, readonly Group[]>> = {
  'mix (13)': ['mix 10 dB+', 'mix 5-8 dB', 'babble'],
  'meeting (6)': ['meeting'],
  'spontaneous (2)': ['spontaneous'],
};
const onsetSets: readonly Group[] = ['clean', 'clean -18 dB', 'mix 10 dB+', 'mix 5-8 dB', 'spontaneous'];
const offsetSets: readonly Group[] = ['mix 10 dB+', 'mix 5-8 dB', 'spontaneous'];

/** Hears everything with every model. */
export async function runChoice(folder: string): Promise<ModelReport[]> {
  const streams = await readStreams(folder);
  const reports: ModelReport[] = [];
  for (const version of ['v5', 'v6']) {
    const model = await SileroModel.load(join(modelFolder, `silero_vad_${version}.onnx`));
    const heard = await listen(model, streams);
    const costs = await costsOf((rows) => {
      const batch = new ModelBatch(rows);
      return () => model.run(batch, rows);
    });
    const listening = { settings: gateDefaults, startHops: 2 } as const;
    reports.push({
      ...reportOf(`Silero ${version}`, hopSamples, heard, costs),
      gateAgentSilent: earOf(heard, (one) => segmentsOf(one, { ...listening, agentAudible: false })),
      gateAgentSpeaking: earOf(heard, (one) => segmentsOf(one, { ...listening, agentAudible: true })),
    });
    await model.close();
  }
  const legacy = await LegacyModel.load();
  const costs = await costsOf((rows) => {
    const windows = Array.from({ length: rows }, () => new Int16Array(legacyWindow));
    const state = legacy.fresh(rows);
    return () => legacy.run(windows, state);
  });
  reports.push(reportOf('Silero legacy (v3/v4)', legacyWindow, await legacy.listen(streams), costs));
  await legacy.close();
  return reports;
}

function reportOf(model: string, windowSamples: number, heard: readonly Heard[], callUs: Record<number, number>): ModelReport {
  const usPerAudioSecond: Record<number, number> = {};
  for (const rows of batches) usPerAudioSecond[rows] = (callUs[rows]! / rows) * (16000 / windowSamples);
  const frames = Object.fromEntries(Object.entries(frameSets).map(([name, groups]) => [name, framesOf(heard, groups)]));
  return { model, windowMs: windowSamples / 16, callUs, usPerAudioSecond, frames, raw: earOf(heard, rawSegmentsOf) };
}

/** All 10 ms frames of the groups' files together; a frame has the probability of the window in which its middle lies. */
function framesOf(heard: readonly Heard[], groups: readonly Group[]): { auc: number; f1: number } {
  const scores: number[] = [];
  const isSpeech: boolean[] = [];
  for (const { stream, shift, windowSamples, probabilities } of heard) {
    if (shift !== 0 || !groups.includes(stream.group)) continue;
    const end = probabilities.length * windowSamples;
    for (let middle = gridSamples / 2; middle < end; middle += gridSamples) {
      scores.push(probabilities[Math.floor(middle / windowSamples)]!);
      isSpeech.push(stream.speech.some(({ from, to }) => middle >= from && middle < to));
    }
  }
  return { auc: areaUnderCurve(scores, isSpeech), f1: f1Score(scores, isSpeech, 0.5) };
}

function earOf(heard: readonly Heard[], find: (heard: Heard) => Segment[]): Ear {
  const onset = Object.fromEntries(onsetSets.map((group) => [group, delaysOf(startDelaysMs(judge(heard, [group], find)))]));
  const offset = Object.fromEntries(offsetSets.map((group) => [group, delaysOf(ends(judge(heard, [group], find)).delaysMs)]));
  const { count, minutes } = falseStarts(judge(heard, ['noise'], find));
  return { onset, offset, falseStartsPerMinute: count / minutes };
}

function delaysOf(delaysMs: readonly number[]): Delays {
  const missed = delaysMs.filter((delay) => delay === Number.POSITIVE_INFINITY).length;
  return { count: delaysMs.length, missed, p50Ms: quantile(delaysMs, 0.5), p95Ms: quantile(delaysMs, 0.95) };
}

/** Median microseconds of a call at each batch size, after a warm-up. */
async function costsOf(prepare: (rows: number) => () => Promise<void>): Promise<Record<number, number>> {
  const costs: Record<number, number> = {};
  for (const rows of batches) {
    const call = prepare(rows);
    const timesUs: number[] = [];
    for (let round = 0; round < 40 + 2000 / rows; round += 1) {
      const start = process.hrtime.bigint();
      await call();
      if (round >= 20) timesUs.push(Number(process.hrtime.bigint() - start) / 1000);
    }
    costs[rows] = quantile(timesUs, 0.5);
  }
  return costs;
}

const legacyWindow = 1536;
type LegacyState = { h: Tensor; c: Tensor };

/** The model before version 5: windows of 96 ms, two separate state tensors, no context. Only compared with. */
class LegacyModel {
  readonly #session: InferenceSession;
  readonly #rate = new Tensor('int64', BigInt64Array.of(16000n), []);

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  static async load(): Promise<LegacyModel> {
    const path = join(modelFolder, 'silero_vad_legacy.onnx');
    return new LegacyModel(
      await InferenceSession.create(path, { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 }),
    );
  }

  fresh(rows: number): LegacyState {
    const zeros = (): Tensor => new Tensor('float32', new Float32Array(2 * rows * 64), [2, rows, 64]);
    return { h: zeros(), c: zeros() };
  }

  async run(windows: readonly Int16Array[], state: LegacyState): Promise<void> {
    await this.probabilities(windows, state);
  }

  async probabilities(windows: readonly Int16Array[], state: LegacyState): Promise<Float32Array> {
    const rows = windows.length;
    const input = new Float32Array(rows * legacyWindow);
    windows.forEach((window, row) => {
      for (let index = 0; index < legacyWindow; index += 1) input[row * legacyWindow + index] = window[index]! / 32768;
    });
    const feeds = { input: new Tensor('float32', input, [rows, legacyWindow]), sr: this.#rate, ...state };
    const results = await this.#session.run(feeds);
    state.h = results['hn']!;
    state.c = results['cn']!;
    return results['output']!.data as Float32Array;
  }

  /** As `listen`, but with this model's windows, shifted by quarters of one; streams that have ended hear silence. */
  async listen(streams: readonly Stream[]): Promise<Heard[]> {
    const shifts = [0, 384, 768, 1152];
    const ears = streams.flatMap((stream) =>
      shifts.map((shift) => ({
        stream,
        shift,
        windowSamples: legacyWindow,
        probabilities: [] as number[],
        levelsDb: [],
        skipped: 0,
      })),
    );
    const state = this.fresh(ears.length);
    const silence = new Int16Array(legacyWindow);
    const longest = Math.max(...streams.map(({ pcm }) => pcm.length));
    for (let at = 0; at < longest; at += legacyWindow) {
      const has = ({ stream, shift }: Heard): boolean => at + shift + legacyWindow <= stream.pcm.length;
      const windows = ears.map((ear) => {
        const from = at + ear.shift;
        return has(ear) ? ear.stream.pcm.subarray(from, from + legacyWindow) : silence;
      });
      const probabilities = await this.probabilities(windows, state);
      ears.forEach((ear, row) => {
        if (has(ear)) ear.probabilities.push(probabilities[row]!);
      });
    }
    return ears;
  }

  async close(): Promise<void> {
    await this.#session.release();
  }
}

const ms = (value: number): string => (Number.isFinite(value) ? value.toFixed(0) : 'none');

function print(reports: readonly ModelReport[]): void {
  for (const report of reports) {
    console.log(`\n${report.model}, windows of ${report.windowMs} ms`);
    for (const rows of batches) {
      const [call, second] = [report.callUs[rows]!, report.usPerAudioSecond[rows]!];
      console.log(`  batch ${rows}: ${(call / rows).toFixed(1)} us a window, ${second.toFixed(0)} us per second of audio`);
    }
    for (const [name, { auc, f1 }] of Object.entries(report.frames)) {
      console.log(`  ${name.padEnd(16)} AUC ${auc.toFixed(3)}  F1 at 0.5 ${f1.toFixed(3)}  (10 ms frames)`);
    }
    const ears = {
      raw: report.raw,
      'gate, agent silent': report.gateAgentSilent,
      'gate, agent speaking': report.gateAgentSpeaking,
    };
    for (const [name, ear] of Object.entries(ears)) {
      if (ear === undefined) continue;
      console.log(`  ${name}: ${ear.falseStartsPerMinute.toFixed(2)} false starts a minute of noise`);
      for (const kind of ['onset', 'offset'] as const) {
        for (const [group, { count, missed, p50Ms, p95Ms }] of Object.entries(ear[kind])) {
          console.log(
            `    ${kind.padEnd(7)}${group.padEnd(14)} p50 ${ms(p50Ms)} p95 ${ms(p95Ms)} ms, ${missed} of ${count} missed`,
          );
        }
      }
    }
  }
}

const { values } = parseArgs({ options: { audio: { type: 'string' }, json: { type: 'string' } } });
const folder = audioFolder(values.audio);
if (folder === undefined) {
  console.error('no recordings: there is no manifest.json in ../shared/audio or the folder given with --audio');
  process.exitCode = 2;
} else {
  const reports = await runChoice(folder);
  print(reports);
  if (values.json !== undefined) await writeFile(values.json, JSON.stringify(reports, null, 2));
}
