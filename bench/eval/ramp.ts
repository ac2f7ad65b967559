/** From measurements to credit. Pure. */

/** 1 at `good` and better, 0 at `bad` and worse, linear between; `good` may be the smaller or the larger one. */
export function ramp(x: number, good: number, bad: number): number {
  return Math.min(1, Math.max(0, (bad - x) / (bad - good)));
}

/** Gap in s → credit, linear between these. */
const gapCredits: readonly (readonly [seconds: number, credit: number])[] = [
  [0.8, 1],
  [1.0, 0.9],
  [1.5, 0.6],
  [2.0, 0.35],
  [3.5, 0],
];
/** Someone who dictates is given so much more. */
const dictationMs = 700;

/** Credit for a gap in ms; a missed answer has none. */
export function gapCredit(gapMs: number | undefined, isDictation: boolean): number {
  if (gapMs === undefined) return 0;
  const seconds = (gapMs - (isDictation ? dictationMs : 0)) / 1000;
  if (seconds <= gapCredits[0]![0]) return 1;
  for (const [index, [to, credit]] of gapCredits.entries()) {
    const [from, above] = gapCredits[Math.max(0, index - 1)]!;
    if (seconds <= to) return above + ((credit - above) * (seconds - from)) / (to - from);
  }
  return 0;
}

/** The gap without what a dictation is allowed. */
export function judgedGapMs(gapMs: number, isDictation: boolean): number {
  return gapMs - (isDictation ? dictationMs : 0);
}
