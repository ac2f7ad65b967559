/** Where speech begins and ends in a piece of synthesised audio. Pure. */

/** Windows this loud belong to speech: 120 of 32768, about −49 dBFS. The voices' own silence lies below 60. */
const spokenRmsMin = 120;
const windowMs = 5;

/** First sample of the first spoken window and one past the last of the last one; `undefined` when there is only silence. */
export function spokenEdges(audio: Int16Array, rateHz: number): { start: number; end: number } | undefined {
  const windowSamples = Math.max(1, Math.round((windowMs * rateHz) / 1000));
  const isSpoken = (from: number): boolean => {
    const to = Math.min(audio.length, from + windowSamples);
    let energy = 0;
    for (let index = from; index < to; index += 1) energy += (audio[index] ?? 0) ** 2;
    return energy >= spokenRmsMin ** 2 * (to - from);
  };
  let start = 0;
  while (start < audio.length && !isSpoken(start)) start += windowSamples;
  if (start >= audio.length) return undefined;
  let last = Math.floor((audio.length - 1) / windowSamples) * windowSamples;
  while (!isSpoken(last)) last -= windowSamples;
  return { start, end: Math.min(audio.length, last + windowSamples) };
}
