/**
 * Noises of bodies and rooms, made from seeded noise, resonances and envelopes. They have the lengths, spectra and attacks of the real ones, and no
 * more: enough to ask whether an agent stops for a sound that is no speech. Levels are set by whoever uses them. Pure.
 */
import { type Random, randomOf } from '../../../load/providers/seeded.js';
import { inputRateHz } from '../../../src/shared/units.js';
import type { EventClass } from '../scenario.js';
import { makeMusic } from './music.js';

export type SoundKind = Exclude<EventClass, 'bystander' | 'babble' | 'silence' | 'hang_up'>;

const samplesPerMs = inputRateHz / 1000;

type Resonance = { readonly centreHz: number; readonly widthHz: number; readonly gain?: number };

/** What is not given a duration has the one that such a sound has. Sounds that cannot last (a cough, a door) do not get longer. */
export function makeSound(kind: SoundKind, durMs: number | undefined, seed: number): Float64Array {
  const random = randomOf(seed, 'sound', kind);
  switch (kind) {
    case 'cough':
      return cough(random);
    case 'sneeze':
      return sneeze(random);
    case 'door':
      return door(random);
    case 'keys':
      return keys(random, durMs ?? 1500);
    case 'click':
      return click(random);
    case 'tone':
      return tone(random, durMs ?? 400);
    case 'ring':
      return ring(durMs ?? 2000);
    case 'music':
      return makeMusic(random, durMs ?? 5000);
    case 'breath':
      return breath(random, durMs ?? 380);
  }
}

/** The glottis bursts open, air rushes, and in most coughs the voice closes it: 300 to 450 ms, once or twice. */
function cough(random: Random): Float64Array {
  const times = random() < 0.5 ? 1 : 2;
  const sound = silence(times * 480);
  for (let time = 0; time < times; time += 1) {
    const scale = (0.9 + 0.2 * random()) * (time === 0 ? 1 : 0.7);
    const throat = [
      { centreHz: 480 * between(random, 0.9, 1.1), widthHz: 260 },
      { centreHz: 1550 * between(random, 0.9, 1.1), widthHz: 500, gain: 0.8 },
      { centreHz: 3300, widthHz: 1600, gain: 0.5 },
    ];
    const tailMs = between(random, 90, 150);
    const wave = shaped(resonant(noise(random, 420), throat), (atMs) => {
      const burst = rise(atMs, 2) * Math.exp(-atMs / 32);
      const rush = 0.28 * rise(atMs - 25, 40) * Math.exp(-Math.max(0, atMs - 60) / tailMs);
      return burst + rush;
    });
    const pitchHz = between(random, 150, 260);
    const voiced = resonant(pulses(random, pitchHz, pitchHz * 0.7, 110), throat);
    add(sound, wave, time * 430, scale / peakOf(wave));
    add(sound, shaped(voiced, bell(110)), time * 430 + 210, (0.25 * scale) / peakOf(voiced));
  }
  return sound;
}

/** An audible breath in, and then air through narrow teeth, with a voiced end: half a second of hiss. */
function sneeze(random: Random): Float64Array {
  const sound = silence(1050);
  const inMs = between(random, 260, 360);
  const inhaled = shaped(
    resonant(noise(random, inMs), [{ centreHz: 1100, widthHz: 900 }]),
    (atMs) => (atMs / inMs) ** 1.5 * rise(inMs - atMs, 15),
  );
  add(sound, inhaled, 0, 0.12 / peakOf(inhaled));
  const hiss = resonant(noise(random, 420), [
    { centreHz: 2600 * between(random, 0.9, 1.1), widthHz: 1200 },
    { centreHz: 5200, widthHz: 2500, gain: 0.8 },
  ]);
  const blow = shaped(hiss, (atMs) => rise(atMs, 4) * (0.8 * Math.exp(-atMs / 60) + 0.4 * Math.exp(-atMs / 170)));
  const atMs = inMs + between(random, 60, 110);
  add(sound, blow, atMs, 1 / peakOf(blow));
  const voice = resonant(pulses(random, 240, 150, 200), [
    { centreHz: 420, widthHz: 120 },
    { centreHz: 1000, widthHz: 200, gain: 0.4 },
  ]);
  add(sound, shaped(voice, bell(200)), atMs + 120, 0.22 / peakOf(voice));
  return sound;
}

/** The leaf meets its frame, the frame rings low, the latch snaps. */
function door(random: Random): Float64Array {
  const sound = silence(650);
  const slam = shaped(
    resonant(noise(random, 120), [{ centreHz: 900, widthHz: 1400 }]),
    (atMs) => rise(atMs, 1) * Math.exp(-atMs / 14),
  );
  add(sound, slam, 0, 0.7 / peakOf(slam));
  for (const modeHz of [62, 97, 148, 231, 340]) {
    const bent = modeHz * between(random, 0.92, 1.08);
    const decayMs = 9000 / bent;
    const ringing = waveOf(
      600,
      (atMs) => Math.sin((2 * Math.PI * bent * atMs) / 1000) * rise(atMs, 3) * Math.exp(-atMs / decayMs),
    );
    add(sound, ringing, 0, between(random, 0.35, 0.6));
  }
  const latch = shaped(
    resonant(noise(random, 30), [{ centreHz: 2900, widthHz: 900 }]),
    (atMs) => rise(atMs, 0.5) * Math.exp(-atMs / 5),
  );
  add(sound, latch, between(random, 70, 120), 0.45 / peakOf(latch));
  return sound;
}

/** Typing: each key clicks when it goes down, thuds on its plate, and clicks more softly on its way up. */
function keys(random: Random, durMs: number): Float64Array {
  const sound = silence(durMs);
  for (let atMs = 0; atMs < durMs - 160; atMs += between(random, 85, 230)) {
    const loudness = between(random, 0.5, 1);
    add(sound, knock(random, between(random, 2200, 3800), 1500, 5), atMs, loudness);
    add(sound, knock(random, between(random, 260, 420), 180, 14), atMs + 3, 0.8 * loudness);
    add(sound, knock(random, between(random, 2800, 4500), 1800, 4), atMs + between(random, 60, 95), 0.35 * loudness);
  }
  return sound;
}

/** A switch or a mouse button: down and up. */
function click(random: Random): Float64Array {
  const sound = silence(150);
  add(sound, knock(random, between(random, 2300, 2900), 700, 4), 0, 1);
  add(sound, knock(random, between(random, 3300, 4200), 900, 3), between(random, 65, 95), 0.6);
  return sound;
}

/** A beep of a device: one pitch and a little of its third harmonic. */
function tone(random: Random, durMs: number): Float64Array {
  const pitchHz = between(random, 850, 1150);
  return waveOf(durMs, (atMs) => {
    const phase = (2 * Math.PI * pitchHz * atMs) / 1000;
    return (Math.sin(phase) + 0.15 * Math.sin(3 * phase)) * rise(atMs, 8) * rise(durMs - atMs, 8);
  });
}

/** Another telephone: two pitches in quick turn, one second of every one and a half. */
function ring(durMs: number): Float64Array {
  let phase = 0;
  return waveOf(durMs, (atMs) => {
    const inCycleMs = atMs % 1500;
    const pitchHz = Math.floor(atMs / 40) % 2 === 0 ? 1320 : 1056;
    phase += (2 * Math.PI * pitchHz) / inputRateHz;
    if (inCycleMs >= 1000) return 0;
    return (
      (Math.sin(phase) + 0.3 * Math.sin(2 * phase) + 0.2 * Math.sin(3 * phase)) * rise(inCycleMs, 10) * rise(1000 - inCycleMs, 60)
    );
  });
}

/** Air drawn in before one speaks. */
function breath(random: Random, durMs: number): Float64Array {
  const air = resonant(noise(random, durMs), [
    { centreHz: 900, widthHz: 700, gain: 0.7 },
    { centreHz: 1900, widthHz: 1000 },
    { centreHz: 4200, widthHz: 2500, gain: 0.5 },
  ]);
  return shaped(air, (atMs) => Math.sin(Math.PI * Math.min(1, atMs / durMs)) ** 0.8);
}

/** A short hard contact: noise through one resonance, peak 1. */
function knock(random: Random, centreHz: number, widthHz: number, decayMs: number): Float64Array {
  const wave = shaped(
    resonant(noise(random, 6 * decayMs), [{ centreHz, widthHz }]),
    (atMs) => rise(atMs, 0.4) * Math.exp(-atMs / decayMs),
  );
  const peak = peakOf(wave);
  return wave.map((value) => value / peak);
}

/** A voice's pulses whose pitch glides, uneven as in an effort. */
function pulses(random: Random, fromHz: number, toHz: number, durMs: number): Float64Array {
  const wave = silence(durMs);
  for (let at = 0; at < wave.length; ) {
    wave[at] = between(random, 0.7, 1);
    const pitchHz = fromHz + ((toHz - fromHz) * at) / wave.length;
    at += Math.round((inputRateHz / pitchHz) * between(random, 0.94, 1.06));
  }
  return wave;
}

function silence(durMs: number): Float64Array {
  return new Float64Array(Math.round(durMs * samplesPerMs));
}

function noise(random: Random, durMs: number): Float64Array {
  return silence(durMs).map(() => 2 * random() - 1);
}

function waveOf(durMs: number, valueAt: (atMs: number) => number): Float64Array {
  return silence(durMs).map((_, at) => valueAt(at / samplesPerMs));
}

/** `input` through two-pole resonances side by side, each scaled to pass noise of the same power. */
function resonant(input: Float64Array, resonances: readonly Resonance[]): Float64Array {
  const sum = new Float64Array(input.length);
  for (const { centreHz, widthHz, gain = 1 } of resonances) {
    const radius = Math.exp((-Math.PI * widthHz) / inputRateHz);
    const first = 2 * radius * Math.cos((2 * Math.PI * centreHz) / inputRateHz);
    const second = -radius * radius;
    const scale = gain * Math.sqrt(1 - radius * radius);
    let [last, beforeLast] = [0, 0];
    for (let at = 0; at < input.length; at += 1) {
      const value = scale * input[at]! + first * last + second * beforeLast;
      sum[at]! += value;
      beforeLast = last;
      last = value;
    }
  }
  return sum;
}

function shaped(wave: Float64Array, gainAt: (atMs: number) => number): Float64Array {
  return wave.map((value, at) => value * gainAt(at / samplesPerMs));
}

function add(sum: Float64Array, wave: Float64Array, atMs: number, gain: number): void {
  const from = Math.round(atMs * samplesPerMs);
  const count = Math.min(wave.length, sum.length - from);
  for (let at = 0; at < count; at += 1) sum[from + at]! += gain * wave[at]!;
}

/** 0 before 0, 1 from `riseMs` on. */
function rise(atMs: number, riseMs: number): number {
  return Math.min(1, Math.max(0, atMs / riseMs));
}

function bell(durMs: number): (atMs: number) => number {
  return (atMs) => Math.sin(Math.PI * Math.min(1, atMs / durMs)) ** 2;
}

function between(random: Random, min: number, max: number): number {
  return min + (max - min) * random();
}

function peakOf(wave: Float64Array): number {
  return wave.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
}
