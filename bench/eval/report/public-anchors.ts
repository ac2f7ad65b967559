/**
 * Published end-of-turn results, drawn beside ours for orientation only: they were taken on other data (recorded task conversations in English) and
 * must never stand beside our numbers without the words "different data". Source: the results table of livekit/eot-bench, English: cut-offs at mean
 * delays of 300 and 600 ms, delays at 5 % and 10 % of cut-offs.
 */
import type { AnchorPoint } from '../result.js';

export const publicSource = 'livekit/eot-bench, English';

function anchors(name: string, points: readonly (readonly [meanDelayMs: number, cutOffRatio: number])[]): AnchorPoint[] {
  return points.map(([meanDelayMs, cutOffRatio]) => ({ name, cutOffRatio, meanDelayMs }));
}

export const publicAnchors: readonly AnchorPoint[] = [
  ...anchors('silence only', [
    [300, 0.556],
    [600, 0.217],
    [1000, 0.1],
    [1600, 0.05],
  ]),
  ...anchors('audio model of 8.7 MB', [
    [300, 0.352],
    [600, 0.148],
    [739, 0.1],
    [1051, 0.05],
  ]),
  ...anchors('best cloud model', [
    [295, 0.1],
    [300, 0.099],
    [543, 0.05],
    [600, 0.045],
  ]),
];
