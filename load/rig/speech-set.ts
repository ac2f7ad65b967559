/**
 * What the callers of a load run say: made once, in the embedded voice, with the recordings beside the checkout as long turns when there are any;
 * registered with the simulated providers, which otherwise would not understand them. Runs in the process that leads the run.
 */
import { type Clip, clipOf, readClip } from '../clip.js';
import { cough } from '../cough.js';
import type { ClipRegistration } from '../providers/clips.js';
import { CallerVoice } from './phrases.js';
import { type Recorded, recordedSpeech } from './recordings.js';
import type { Simulator } from './stack.js';
import { answersFor, interruptions, longAnswerAbout, longTurnAbout, questionAbout, shortAnswerAbout, topicOf } from './texts.js';

export type SpeechSet = {
  /** Answered in some six seconds. */
  readonly questions: readonly Clip[];
  /** Answered at length, so that there is something to interrupt. */
  readonly largeQuestions: readonly Clip[];
  readonly interruptions: readonly Clip[];
  readonly longTurns: readonly Clip[];
  /** Sounds that are no words. */
  readonly noises: readonly Clip[];
};

const topicsOfAKind = 24;
const longTurnsMade = 9;
const [recordedMinMs, recordedMaxMs] = [4000, 11_000];
const recordedMax = 8;
/** A recording with a longer pause than this invites an answer in the middle, and rightly so. */
const pauseMaxMs = 450;
const samplesPerMs = 16;
const blockSamples = 10 * samplesPerMs;

/** `simulator` undefined: the providers are real ones. */
export async function prepareSpeech(
  seed: number,
  simulator: Simulator | undefined,
): Promise<{ speech: SpeechSet; notes: string[] }> {
  const voice = await CallerVoice.load();
  const registrations: ClipRegistration[] = [];
  const say = (text: string): Clip => {
    const { clip, registration } = voice.phrase(`load ${registrations.length} ${text}`.slice(0, 200), text);
    registrations.push(registration);
    return clip;
  };
  const topics = Array.from({ length: 3 * topicsOfAKind }, (_, index) => topicOf(index));
  const [brief, large, told] = [0, 1, 2].map((part) => topics.slice(part * topicsOfAKind, (part + 1) * topicsOfAKind)) as [
    string[],
    string[],
    string[],
  ];
  const speech = {
    questions: brief.map((topic, index) => say(questionAbout(topic, index))),
    largeQuestions: large.map((topic, index) => say(questionAbout(topic, index))),
    interruptions: interruptions.map(({ text }) => say(text)),
    longTurns: told.slice(0, longTurnsMade).map((topic, index) => say(longTurnAbout(topic, index))),
    noises: [cough(), voice.grunt(200)],
  };
  const recorded = await recordedTurns(powerOf(speech.questions[0]!));
  speech.longTurns.push(...recorded.map(({ clip }) => clip));
  registrations.push(...recorded.map(({ registration }) => registration));
  if (simulator !== undefined) {
    await simulator.registerClips(registrations);
    const short = [...brief, ...told].map((topic) => ({ match: topic, text: shortAnswerAbout(topic, seed) }));
    const long = large.map((topic) => ({ match: topic, text: longAnswerAbout(topic, seed) }));
    const others = answersFor([], seed);
    await simulator.addAnswers([...short, ...long, ...others]);
  }
  const notes = [
    recorded.length > 0
      ? `${recorded.length} recordings of people are among the long turns`
      : 'no recordings of speech beside the checkout (../shared/audio): every caller speaks with the embedded voice',
  ];
  return { speech, notes };
}

/** Each recording as loud as `power`: a caller who says several things is one person at one distance. */
async function recordedTurns(power: number): Promise<{ clip: Clip; registration: ClipRegistration }[]> {
  const turns: { clip: Clip; registration: ClipRegistration }[] = [];
  for (const { file, transcript } of readSpeech()) {
    if (turns.length >= recordedMax) break;
    const clip = withPower(await readClip(file), power);
    const durationMs = clip.samples.length / samplesPerMs;
    const loud = loudBlocks(clip);
    if (durationMs < recordedMinMs || durationMs > recordedMaxMs || longestPauseMs(loud) > pauseMaxMs) continue;
    turns.push({ clip, registration: registrationOf(file, clip, transcript, loud) });
  }
  return turns;
}

function readSpeech(): Recorded[] {
  return recordedSpeech().filter(({ kind, language }) => kind === 'read speech' && language === 'en');
}

/** Of each block of 10 ms. */
function blockPowers({ samples }: Clip): number[] {
  return Array.from({ length: Math.floor(samples.length / blockSamples) }, (_, block) => {
    let power = 0;
    for (let at = block * blockSamples; at < (block + 1) * blockSamples; at += 1) power += samples[at]! ** 2;
    return power;
  });
}

/** Blocks within 35 dB of the loudest. */
function loudBlocks(clip: Clip): number[] {
  const powers = blockPowers(clip);
  const floor = powers.reduce((most, power) => Math.max(most, power), 0) * 10 ** -3.5;
  return powers.flatMap((power, block) => (power >= floor ? [block] : []));
}

/** Mean of the loud blocks. */
function powerOf(clip: Clip): number {
  const powers = blockPowers(clip);
  const loud = loudBlocks(clip);
  return loud.reduce((sum, block) => sum + powers[block]!, 0) / Math.max(1, loud.length);
}

function withPower(clip: Clip, power: number): Clip {
  const gain = Math.sqrt(power / Math.max(1, powerOf(clip)));
  const scaled = Int16Array.from(clip.samples, (sample) => Math.max(-32_768, Math.min(32_767, Math.round(sample * gain))));
  return clipOf(clip.name, scaled);
}

function longestPauseMs(loud: readonly number[]): number {
  return loud.reduce((longest, block, index) => Math.max(longest, (block - (loud[index - 1] ?? block) - 1) * 10), 0);
}

/** The words spread evenly over what is loud: which word is where nobody has said, and it does not matter here. */
function registrationOf(file: string, { samples }: Clip, transcript: string, loud: readonly number[]): ClipRegistration {
  const texts = transcript.split(/\s+/).filter((word) => word !== '');
  const words = texts.map((word, index): [number, number, string] => {
    const first = loud[Math.floor((index * loud.length) / texts.length)]!;
    const last = loud[Math.max(0, Math.floor(((index + 1) * loud.length) / texts.length) - 1)]!;
    return [first * 10, Math.max(first, last) * 10 + 10, word];
  });
  const pcmBase64 = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength).toString('base64');
  return { id: `recording ${file}`.slice(-200), rateHz: 16000, pcmBase64, words };
}
