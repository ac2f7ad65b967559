/**
 * What callers of a rig say: clips made with a voice of the simulator that no agent has, with the time of every word, so that the simulated
 * recogniser understands them; and noise to say them in. Pure but for loading the voice.
 */
import { fadeOut } from '../../src/audio/fade.js';
import { resample } from '../../src/audio/resample.js';
import { inputRateHz, ms, samplesIn } from '../../src/shared/units.js';
import { type Clip, clipOf } from '../clip.js';
import type { ClipRegistration } from '../providers/clips.js';
import { randomOf } from '../providers/seeded.js';
import { loadVoice, type Voice, type VoiceStyle, voiceRateHz } from '../providers/voice.js';

/** Callers speak with this voice; agents have another. */
const callerStyle: VoiceStyle = { voice: 'rms', speed: 1 };
const samplesPerMs = inputRateHz / 1000;
/** Level of speech over its active parts. */
const speechLevelDb = -26;
/** Babble is made of so many talkers. */
const talkers = 8;
const noiseSeconds = 20;
const gruntFadeMs = 20;

export type Phrase = { readonly text: string; readonly clip: Clip; readonly registration: ClipRegistration };

export class CallerVoice {
  readonly voice: Voice;

  private constructor(voice: Voice) {
    this.voice = voice;
  }

  static async load(): Promise<CallerVoice> {
    return new CallerVoice(await loadVoice());
  }

  /** `text` as a clip at the callers' level, and what the simulator must be told of it. `id` names it there. */
  phrase(id: string, text: string): Phrase {
    const speech = this.voice.speak(text, callerStyle);
    const samples = atLevel(resample(speech.audio, voiceRateHz, inputRateHz), speechLevelDb);
    const words = speech.words.map(({ word, startMs, endMs }): [number, number, string] => [startMs, endMs, word]);
    const pcmBase64 = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength).toString('base64');
    return { text, clip: clipOf(text, samples), registration: { id, rateHz: inputRateHz, pcmBase64, words } };
  }

  /** A sound of the voice that is no word: the beginning of a long vowel, up to 500 ms, which the recogniser is not told of. */
  grunt(durationMs: number): Clip {
    const sound = resample(this.voice.speak('our', { ...callerStyle, speed: 0.7 }).audio, voiceRateHz, inputRateHz);
    const samples = atLevel(sound.slice(0, samplesIn(ms(durationMs), inputRateHz)), speechLevelDb);
    fadeOut(samples, samplesIn(ms(gruntFadeMs), inputRateHz));
    return clipOf(`grunt of ${durationMs} ms`, samples);
  }

  /** Many people at once, nobody to be understood: 20 s that can be repeated. */
  babble(seed: number): Int16Array {
    const random = randomOf(seed, 'babble');
    const length = noiseSeconds * inputRateHz;
    const sum = new Float64Array(length);
    const voices = ['awb', 'kal16', 'slt', 'rms'] as const;
    for (let talker = 0; talker < talkers; talker += 1) {
      const style: VoiceStyle = { voice: voices[talker % voices.length]!, speed: 0.9 + 0.2 * random() };
      const text = Array.from({ length: 60 }, () => babbleWords[Math.floor(random() * babbleWords.length)]!).join(' ');
      const audio = resample(this.voice.speak(text, style).audio, voiceRateHz, inputRateHz);
      const gain = 0.5 + random();
      const offset = Math.floor(random() * audio.length);
      for (let at = 0; at < length; at += 1) sum[at]! += gain * audio[(at + offset) % audio.length]!;
    }
    return normalised(sum);
  }
}

const babbleWords =
  'market window seven people garden coffee number table evening river paper yellow answer moment travel winter kitchen letter summer doctor'.split(
    ' ',
  );

/** A room with machines: noise that falls with frequency, a hum and its harmonics, now and then a knock. 20 s that can be repeated. */
export function officeNoise(seed: number): Int16Array {
  const random = randomOf(seed, 'office');
  const length = noiseSeconds * inputRateHz;
  const noise = new Float64Array(length);
  let slow = 0;
  let fast = 0;
  let knock = 0;
  for (let at = 0; at < length; at += 1) {
    const white = random() * 2 - 1;
    slow = 0.98 * slow + 0.2 * white;
    fast = 0.6 * fast + 0.4 * white;
    const phase = (2 * Math.PI * 50 * at) / inputRateHz;
    const hum = 0.25 * Math.sin(phase) + 0.12 * Math.sin(3 * phase) + 0.06 * Math.sin(5 * phase);
    if (random() < 1.2 / inputRateHz) knock = 2;
    knock *= 0.995;
    noise[at] = slow + 0.5 * fast + hum + knock * white;
  }
  return normalised(noise);
}

/** Largest magnitude 16,384: quiet enough to be scaled either way. */
function normalised(sound: Float64Array): Int16Array {
  const peak = sound.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  return Int16Array.from(sound, (value) => Math.round((value / peak) * 16384));
}

/** `noise` so loud that speech at the callers' level is `snrDb` above it. */
export function noiseAt(noise: Int16Array, snrDb: number): Int16Array {
  const level = levelDb(noise, 0);
  return scaled(noise, speechLevelDb - snrDb - level);
}

function atLevel(samples: Int16Array, wantedDb: number): Int16Array {
  return scaled(samples, wantedDb - levelDb(samples, 0.01));
}

/** Root mean square in dB of full scale, of the 10 ms blocks whose power is at least `activeRatio` of the loudest one's. */
function levelDb(samples: Int16Array, activeRatio: number): number {
  const block = samplesIn(ms(10), inputRateHz);
  const powers: number[] = [];
  for (let from = 0; from + block <= samples.length; from += block) {
    let power = 0;
    for (let at = from; at < from + block; at += 1) power += samples[at]! ** 2;
    powers.push(power / block);
  }
  const loudest = powers.reduce((most, power) => Math.max(most, power), 0);
  const active = powers.filter((power) => power >= activeRatio * loudest);
  const mean = active.reduce((sum, power) => sum + power, 0) / Math.max(1, active.length);
  return 10 * Math.log10(Math.max(1, mean) / 32768 ** 2);
}

function scaled(samples: Int16Array, gainDb: number): Int16Array {
  const gain = 10 ** (gainDb / 20);
  return samples.map((value) => Math.max(-32768, Math.min(32767, Math.round(value * gain))));
}

/**
 * Where the voice itself begins: the first 10 ms, within 30 dB of the loudest, whose waveform repeats at a pitch of 70 to 400 Hz. Much after the
 * first sample when a clip begins with a hiss ("stop"), which no detector of voices can take for one.
 */
export function firstVoicedSample(samples: Int16Array): number {
  const block = 10 * samplesPerMs;
  const [lagMin, lagMax] = [Math.round(inputRateHz / 400), Math.round(inputRateHz / 70)];
  const powerOf = (from: number): number => {
    let power = 0;
    for (let at = from; at < from + block; at += 1) power += samples[at]! ** 2;
    return power;
  };
  let loudest = 0;
  for (let from = 0; from + block <= samples.length; from += block) loudest = Math.max(loudest, powerOf(from));
  for (let from = 0; from + 2 * block + lagMax <= samples.length; from += block) {
    if (powerOf(from) < loudest * 1e-3) continue;
    for (let lag = lagMin; lag <= lagMax; lag += 1) {
      let [product, own, other] = [0, 0, 0];
      for (let at = from; at < from + 2 * block; at += 1) {
        product += samples[at]! * samples[at + lag]!;
        own += samples[at]! ** 2;
        other += samples[at + lag]! ** 2;
      }
      if (product > 0.7 * Math.sqrt(own * other) && own > 0) return from;
    }
  }
  return 0;
}
