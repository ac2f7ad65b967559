/** Something to say: a sound file or samples, at 16 kHz, with the labels that latencies count from. */
import { readFile } from 'node:fs/promises';
import { boundsOf, voiceEndOf } from '../src/audio/bounds.js';
import { readFlac } from '../src/audio/flac.js';
import { monoOf } from '../src/audio/recording.js';
import { resample } from '../src/audio/resample.js';
import { readWav } from '../src/audio/wav.js';
import { EngineError } from '../src/shared/errors.js';
import { inputRateHz } from '../src/shared/units.js';

export type Clip = {
  readonly name: string;
  readonly samples: Int16Array;
  /** First and last sample of the sound itself (above its peak minus 45 dB), as indices into `samples`. */
  readonly firstSample: number;
  readonly lastSample: number;
  /** Last sample of strong voice: much before `lastSample` when the file ends with a breath, noise or a click. */
  readonly voiceEndSample: number;
};

/** A silent clip fails with `garbage`: nothing could be measured from it. The clip keeps `samples` (16 kHz mono). */
export function clipOf(name: string, samples: Int16Array): Clip {
  const bounds = boundsOf(samples);
  if (bounds === undefined) throw new EngineError('garbage', `${name} holds nothing but silence`);
  const voiceEnd = voiceEndOf(samples, inputRateHz);
  const voiceEndSample = voiceEnd < 0 ? bounds.last : Math.min(voiceEnd, bounds.last);
  return { name, samples, firstSample: bounds.first, lastSample: bounds.last, voiceEndSample };
}

/** A WAV or FLAC file, told apart by its content; channels are mixed and other rates resampled. Fails with `missing` or `garbage`. */
export async function readClip(path: string): Promise<Clip> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new EngineError('missing', `cannot read ${path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  try {
    const isFlac = bytes[0] === 0x66 && bytes[1] === 0x4c;
    const recording = isFlac ? await readFlac(bytes) : readWav(bytes);
    return clipOf(path, resample(monoOf(recording), recording.rateHz, inputRateHz));
  } catch (cause) {
    if (!(cause instanceof EngineError)) throw cause;
    throw new EngineError(cause.kind, `${path}: ${cause.message}`, { cause });
  }
}
