/** Text to the speech of one of the scenarios' people: the embedded synthesiser, made another speaker. Pure but for loading it. */
import { fadeIn, fadeOut } from '../../../src/audio/fade.js';
import { resample } from '../../../src/audio/resample.js';
import { hz, inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import type { Flite } from '../../../src/tts/embedded/flite.js';
import type { Word } from '../run-record.js';
import type { CallerVoice } from './caller-voices.js';
import { intoned } from './intonation.js';

export type CallerSpeech = { readonly samples: Int16Array; readonly words: readonly Word[] };

/** What the synthesiser would spell, as it must be written for it. One word stays one word. */
const pronunciations: Readonly<Record<string, string>> = { 'mm-hmm': 'umhum', mhm: 'umhum', hmm: 'hum', hm: 'hum' };

/** A sound of thinking that stands by itself is drawn out. */
const hesitation = /^(?:uh|um|er|erm|ah)[,….]*$/i;
const hesitationPace = 0.6;

/** `text` as `voice` says it, at the synthesiser's own level and with its silence around it. */
export function callerSpeech(flite: Flite, text: string, voice: CallerVoice): CallerSpeech {
  const written = [...text.matchAll(/\S+/g)].map(([word]) => word);
  const sayable = written.map(asPronounced).join(' ');
  const stretch = 100 / voice.tractPercent;
  const pace = voice.pace * (hesitation.test(text) ? hesitationPace : 1);
  const made = flite.synthesise(sayable, { voice: voice.flite, speed: pace * stretch });
  const samples = resample(made.audio, hz((inputRateHz * voice.tractPercent) / 100), inputRateHz);
  const sampleAt = (atMs: number): number => Math.round((atMs * stretch * inputRateHz) / 1000);
  const words: Word[] = [];
  for (const [index, word] of made.words.entries()) {
    // A mark by itself has no sound of its own.
    if (word.endMs > word.startMs) words.push({ text: written[index]!, from: sampleAt(word.startMs), to: sampleAt(word.endMs) });
  }
  const spoken = intoned(samples, text, voice.pitchRatio);
  quietPauses(spoken, words);
  return { samples: spoken, words };
}

/** Between words further apart than this lies a pause. */
const pauseMin = samplesIn(ms(60), inputRateHz);
const fadeOutSamples = samplesIn(ms(30), inputRateHz);
const fadeInSamples = samplesIn(ms(15), inputRateHz);

/** The voices hiss softly when they pause, about 45 dB below their peaks, where a clip is said to end. Here pauses are silent. */
function quietPauses(samples: Int16Array, words: readonly Word[]): void {
  const edges = [0, ...words.flatMap(({ from, to }) => [from, to]), samples.length];
  for (let index = 0; index + 1 < edges.length; index += 2) {
    const [from, to] = [edges[index]!, edges[index + 1]!];
    const isInner = index > 0 && index + 2 < edges.length;
    if (isInner && to - from < pauseMin) continue;
    const tail = index === 0 ? from : Math.min(to, from + fadeOutSamples);
    const head = index + 2 === edges.length ? to : Math.max(tail, to - fadeInSamples);
    fadeOut(samples.subarray(from, tail), tail - from);
    samples.fill(0, tail, head);
    fadeIn(samples.subarray(head, to), to - head);
  }
}

function asPronounced(word: string): string {
  const [, lead = '', core = '', tail = ''] = /^([^\p{L}\p{N}]*)(.*?)([^\p{L}\p{N}]*)$/u.exec(word) ?? [];
  return lead + (pronunciations[core.toLowerCase()] ?? core) + tail;
}
