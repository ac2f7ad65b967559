/** What the names of audio formats mean. Pure; main thread and load callers. */
import { type Hz, hz, type Ms, samplesIn } from '../shared/units.js';
import { type AudioFormat, audioFormats } from './events.js';

export type FormatDescription = {
  readonly encoding: 'pcm' | 'ulaw';
  readonly rateHz: Hz;
  readonly bytesPerSample: 1 | 2;
  /** Every byte of digital silence. */
  readonly silenceByte: 0x00 | 0xff;
};

const descriptions = Object.fromEntries(
  audioFormats.map((format): [AudioFormat, FormatDescription] => {
    const rateHz = hz(Number(format.slice(format.indexOf('_') + 1)));
    return format.startsWith('ulaw')
      ? [format, { encoding: 'ulaw', rateHz, bytesPerSample: 1, silenceByte: 0xff }]
      : [format, { encoding: 'pcm', rateHz, bytesPerSample: 2, silenceByte: 0x00 }];
  }),
) as Readonly<Record<AudioFormat, FormatDescription>>;

/** The format called `name`, or `undefined` when the protocol has none of that name. */
export function parseAudioFormat(name: string): AudioFormat | undefined {
  return audioFormats.find((format) => format === name);
}

export function describeFormat(format: AudioFormat): FormatDescription {
  return descriptions[format];
}

/** Whole samples of digital silence. The receiver owns the bytes. */
export function silenceBytes(format: AudioFormat, duration: Ms): Uint8Array {
  const { rateHz, bytesPerSample, silenceByte } = descriptions[format];
  return new Uint8Array(samplesIn(duration, rateHz) * bytesPerSample).fill(silenceByte);
}
