/** What a player needs of a WAV file: how long it is, and how loud each moment of each channel. Pure. */

export type Waveform = {
  readonly durationSeconds: number;
  /** For each channel the peaks, 0..1, of equal stretches of the file. */
  readonly peaks: readonly Float32Array[];
};

/** Undefined when it is no WAV file of 16-bit samples. `count`: stretches. */
export function readWaveform(bytes: ArrayBuffer, count: number): Waveform | undefined {
  const view = new DataView(bytes);
  if (bytes.byteLength < 12 || nameAt(view, 0) !== 'RIFF' || nameAt(view, 8) !== 'WAVE') return undefined;
  let channelCount = 0;
  let rateHz = 0;
  for (let at = 12; at + 8 <= bytes.byteLength; ) {
    const name = nameAt(view, at);
    // A file written as a stream may promise more than there is.
    const length = Math.min(view.getUint32(at + 4, true), bytes.byteLength - at - 8);
    if (name === 'fmt ' && length >= 16) {
      channelCount = view.getUint16(at + 10, true);
      rateHz = view.getUint32(at + 12, true);
      if (view.getUint16(at + 22, true) !== 16) return undefined;
    }
    if (name === 'data') {
      if (channelCount === 0 || rateHz === 0) return undefined;
      const frames = Math.floor(length / (2 * channelCount));
      return { durationSeconds: frames / rateHz, peaks: peaksOf(view, at + 8, frames, channelCount, count) };
    }
    at += 8 + length + (length % 2);
  }
  return undefined;
}

function nameAt(view: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((offset) => view.getUint8(at + offset)));
}

/** More samples of a stretch than this are looked at in steps: an hour is read in a few milliseconds. */
const samplesPerPeakMax = 400;

function peaksOf(view: DataView, dataAt: number, frames: number, channelCount: number, count: number): Float32Array[] {
  const perPeak = frames / count;
  const step = Math.max(1, Math.floor(perPeak / samplesPerPeakMax));
  return Array.from({ length: channelCount }, (_, channel) => {
    const peaks = new Float32Array(count);
    for (let index = 0; index < count; index++) {
      const end = Math.min(frames, Math.floor((index + 1) * perPeak));
      let peak = 0;
      for (let frame = Math.floor(index * perPeak); frame < end; frame += step) {
        peak = Math.max(peak, Math.abs(view.getInt16(dataAt + 2 * (frame * channelCount + channel), true)));
      }
      peaks[index] = peak / 32768;
    }
    return peaks;
  });
}
