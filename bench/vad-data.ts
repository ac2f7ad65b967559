/**
 * Recordings with labels for the detector benches: what is speech, where it begins to be voiced, and what is noise.
 * Read from a folder of FLAC files with a `manifest.json` (../shared/audio beside the checkout, or `--audio DIR`).
 *
 * Onsets. The mixtures and the two spontaneous recordings come with labels; an onset is a labelled start after at least 300 ms of none.
 * `clean` is made here: the read sentences, short replies and single words that are clean enough, joined by 0.8 to 1.6 s of
 * white noise at -66 dB. Its labels are energy within 40 dB of the clip's peak, which breaths and clicks reach as well, so the onset is
 * the first voiced sample after that: the first of three 10 ms frames in a row with a normalised autocorrelation of 0.6 or more over
 * 30 ms (so up to 20 ms early, never late).
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFlac } from '../src/audio/flac.js';
import { monoOf } from '../src/audio/recording.js';
import { resample } from '../src/audio/resample.js';
import { inputRateHz, ms, samplesIn } from '../src/shared/units.js';
import { rmsLevelDb } from '../src/vad/level.js';

export type Group =
  | 'clean'
  | 'clean -18 dB'
  | 'mix 10 dB+'
  | 'mix 5-8 dB'
  | 'babble'
  | 'spontaneous'
  | 'meeting'
  | 'noise'
  | 'noise, other levels';
/** Samples from and to (exclusive). */
export type Span = { readonly from: number; readonly to: number };
/** The span of the utterance, and the sample from which delays count. */
export type Onset = Span & { readonly atSample: number };
export type Stream = {
  readonly name: string;
  readonly group: Group;
  /** 16 kHz. */
  readonly pcm: Int16Array;
  readonly speech: readonly Span[];
  readonly onsets: readonly Onset[];
};

type ManifestEntry = { readonly file: string; readonly labels?: string };
type Labels = { readonly speech?: readonly [number, number][]; readonly words?: readonly [number, number, string][] };

const frame = samplesIn(ms(10), inputRateHz);
const onsetPause = samplesIn(ms(300), inputRateHz);
const onsetSpeechMin = samplesIn(ms(150), inputRateHz);
const closedGap = samplesIn(ms(100), inputRateHz);

/** The folder to read from, or undefined when it is not there. */
export function audioFolder(asked: string | undefined): string | undefined {
  const folder = asked ?? fileURLToPath(new URL('../../../shared/audio', import.meta.url));
  return existsSync(join(folder, 'manifest.json')) ? folder : undefined;
}

/** Everything the benches need, about 20 minutes of audio. */
export async function readStreams(folder: string): Promise<Stream[]> {
  const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as ManifestEntry[];
  const streams: Stream[] = [];
  for (const { file, labels } of manifest) {
    const group = groupOf(file);
    if (group === undefined) continue;
    const speech = labels === undefined ? [] : spansOf(JSON.parse(await readFile(join(folder, labels), 'utf8')) as Labels);
    streams.push({ name: file, group, pcm: await readMono(join(folder, file)), speech, onsets: onsetsOf(speech) });
  }
  const clean = await joinClips(folder, manifest);
  streams.push(clean, scaled(clean, 1 / 8, 'clean -18 dB'));
  for (const noise of streams.filter(({ group }) => group === 'noise')) {
    streams.push(...[1 / 8, 1 / 4, 1 / 2, 2].map((gain) => scaled(noise, gain, 'noise, other levels')));
  }
  return streams;
}

function scaled(stream: Stream, gain: number, group: Group): Stream {
  const pcm = stream.pcm.map((sample) => Math.max(-32768, Math.min(32767, Math.round(sample * gain))));
  return { ...stream, name: `${stream.name} x ${gain}`, group, pcm };
}

function groupOf(file: string): Group | undefined {
  if (file.startsWith('noise/')) return 'noise';
  if (file.startsWith('vad/ami_')) return 'meeting';
  if (/^disfluency\/\w+_corpus\d?\.flac$/.test(file)) return 'spontaneous';
  if (file.startsWith('vad/mix_babble')) return 'babble';
  const snrDb = /^vad\/mix_\w+?_(\d+)db/.exec(file)?.[1];
  if (snrDb === undefined) return undefined;
  return Number(snrDb) >= 10 ? 'mix 10 dB+' : 'mix 5-8 dB';
}

export async function readMono(path: string): Promise<Int16Array> {
  const recording = await readFlac(await readFile(path));
  return resample(monoOf(recording), recording.rateHz, inputRateHz);
}

function spansOf(labels: Labels): Span[] {
  const pairs = labels.speech ?? labels.words ?? [];
  return pairs.map(([from, to]) => ({ from: Math.round(from * inputRateHz), to: Math.round(to * inputRateHz) }));
}

/** Spans with the gaps shorter than `gap` samples closed. */
export function closeGaps(spans: readonly Span[], gap: number): Span[] {
  const closed: Span[] = [];
  for (const span of spans) {
    const last = closed.at(-1);
    if (last !== undefined && span.from - last.to < gap)
      closed[closed.length - 1] = { from: last.from, to: Math.max(last.to, span.to) };
    else closed.push(span);
  }
  return closed;
}

/** Starts after a long enough pause; `quietBefore` samples without speech precede the first sample. */
function onsetsOf(speech: readonly Span[], quietBefore = 0): Onset[] {
  const spans = closeGaps(speech, closedGap);
  return spans
    .filter(({ from, to }, index) => from - (spans[index - 1]?.to ?? -quietBefore) >= onsetPause && to - from >= onsetSpeechMin)
    .map((span) => ({ ...span, atSample: span.from }));
}

/** A generator of numbers in [0, 1) that is the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** White noise with the given root mean square in dB of full scale. */
export function whiteNoise(count: number, levelDb: number, random: () => number): Int16Array {
  const amplitude = 32768 * 10 ** (levelDb / 20) * Math.sqrt(3);
  return Int16Array.from({ length: count }, () => Math.round(amplitude * (2 * random() - 1)));
}

async function joinClips(folder: string, manifest: readonly ManifestEntry[]): Promise<Stream> {
  const random = seeded(12345);
  const parts: { readonly at: number; readonly clip: Int16Array }[] = [];
  const speech: Span[] = [];
  const onsets: Onset[] = [];
  let at = 2 * inputRateHz;
  for (const { file } of manifest) {
    if (!/^(speech|turns|alphanumeric)\/.*\.flac$/.test(file)) continue;
    const clip = await readMono(join(folder, file));
    const spans = loudSpans(clip);
    if (spans === undefined) continue;
    speech.push(...spans.map(({ from, to }) => ({ from: at + from, to: at + to })));
    for (const { from, to } of onsetsOf(spans, onsetPause)) {
      const voiced = voicedOnset(clip, { from, to });
      if (voiced !== undefined) onsets.push({ from: at + from, to: at + to, atSample: at + voiced });
    }
    parts.push({ at, clip });
    at += clip.length + Math.round(inputRateHz * (0.8 + 0.8 * random()));
  }
  const pcm = whiteNoise(at, -66, random);
  for (const part of parts) {
    part.clip.forEach((sample, index) => {
      const place = part.at + index;
      pcm[place] = Math.max(-32768, Math.min(32767, pcm[place]! + sample));
    });
  }
  return { name: 'clips', group: 'clean', pcm, speech, onsets };
}

/**
 * Where a clip is within 40 dB of its peak and 6 dB over its noise, leaving out what never gets within 20 dB of the peak: breaths and hum.
 * Undefined when peak and noise are less than 35 dB apart: not clean.
 */
export function loudSpans(clip: Int16Array): Span[] | undefined {
  const levels = Float64Array.from({ length: Math.floor(clip.length / frame) }, (_, i) =>
    rmsLevelDb(clip, i * frame, (i + 1) * frame),
  );
  const sorted = levels.toSorted();
  const peak = sorted.at(-1);
  if (peak === undefined) return undefined;
  const noise = sorted[Math.floor(sorted.length / 10)]!;
  if (peak - noise < 35) return undefined;
  const threshold = Math.max(peak - 40, noise + 6);
  const loud: Span[] = [];
  levels.forEach((level, i) => {
    if (level >= threshold) loud.push({ from: i * frame, to: (i + 1) * frame });
  });
  const isSpeech = ({ from, to }: Span): boolean =>
    to - from >= 5 * frame && levels.subarray(from / frame, to / frame).some((level) => level >= peak - 20);
  return closeGaps(loud, closedGap).filter(isSpeech);
}

/** First sample of the first three voiced 10 ms frames in a row inside `span`, not counting what is 30 dB below its peak. */
export function voicedOnset(clip: Int16Array, span: Span): number | undefined {
  const starts: number[] = [];
  for (let at = span.from; at + frame <= span.to; at += frame) starts.push(at);
  const levels = starts.map((at) => rmsLevelDb(clip, at, at + frame));
  const threshold = Math.max(...levels) - 30;
  let inRow = 0;
  for (const [index, at] of starts.entries()) {
    inRow = levels[index]! >= threshold && periodicity(clip, at) >= 0.6 ? inRow + 1 : 0;
    if (inRow === 3) return at - 2 * frame;
  }
  return undefined;
}

/** Largest normalised autocorrelation of the 30 ms from `at` at lags of 2.5 to 16 ms (62 to 400 Hz). */
function periodicity(clip: Int16Array, at: number): number {
  const width = 3 * frame;
  let best = 0;
  for (let lag = 40; lag <= 256 && at + lag + width <= clip.length; lag += 2) {
    let [cross, here, there] = [0, 0, 0];
    for (let index = at; index < at + width; index += 1) {
      const [a, b] = [clip[index]!, clip[index + lag]!];
      cross += a * b;
      here += a * a;
      there += b * b;
    }
    if (here > 0 && there > 0) best = Math.max(best, cross / Math.sqrt(here * there));
  }
  return best;
}

/** The value below which a share `q` of the values lies; NaN without values. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

/** Area under the curve of hits over false alarms: the chance that a speech frame scores above another one. Ties count half. */
export function areaUnderCurve(scores: readonly number[], isSpeech: readonly boolean[]): number {
  const order = scores.map((_, index) => index).sort((a, b) => scores[a]! - scores[b]!);
  let [rankSum, positives] = [0, 0];
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to < order.length && scores[order[to]!] === scores[order[from]!]) to += 1;
    for (let place = from; place < to; place += 1) {
      if (!isSpeech[order[place]!]) continue;
      rankSum += (from + to + 1) / 2;
      positives += 1;
    }
    from = to;
  }
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * (scores.length - positives));
}

/** F1 of calling everything at or above `threshold` speech. */
export function f1Score(scores: readonly number[], isSpeech: readonly boolean[], threshold: number): number {
  let [hits, called, real] = [0, 0, 0];
  scores.forEach((score, index) => {
    if (score >= threshold) called += 1;
    if (isSpeech[index]) real += 1;
    if (score >= threshold && isSpeech[index]) hits += 1;
  });
  return (2 * hits) / (called + real);
}

/** Every clean onset after 6 to 10 s of a background instead of after the clip before. */
export function onsetsAfterSilence(streams: readonly Stream[]): Stream[] {
  const random = seeded(5);
  const clean = streams.find(({ group }) => group === 'clean')!;
  const loops = ['noise/office.flac', 'noise/keyboard.flac'].map((name) => streams.find((stream) => stream.name === name)!.pcm);
  const backgrounds: readonly ((count: number) => Int16Array)[] = [
    (count) => whiteNoise(count, -66, random),
    ...loops.map((loop) => (count: number) => Int16Array.from({ length: count }, (_, index) => loop[index % loop.length]!)),
  ];
  return backgrounds.flatMap((background) =>
    clean.onsets.map(({ from, to, atSample }) => {
      const silence = Math.round((6 + 4 * random()) * inputRateHz);
      const until = Math.min(clean.pcm.length, to + inputRateHz / 2);
      const pcm = background(silence + until - from);
      for (let index = from; index < until; index += 1) {
        const place = silence + index - from;
        pcm[place] = Math.max(-32768, Math.min(32767, pcm[place]! + clean.pcm[index]!));
      }
      const span = { from: silence, to: silence + to - from };
      return {
        name: 'after silence',
        group: 'clean',
        pcm,
        speech: [span],
        onsets: [{ ...span, atSample: silence + atSample - from }],
      };
    }),
  );
}
