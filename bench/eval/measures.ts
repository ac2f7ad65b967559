/** What one scenario says about each metric: the values that statistics are made of. Pure. */
import type { HoldStratum, MetricId, ScenarioFigures } from './result.js';
import { type Share, shareOf } from './statistics.js';

/** Time between 0.9 and 0.1 of the level at a good stop or resume. */
const edgeMinMs = 3;
const edgeMaxMs = 30;

export function isGoodEdge({ edgeMs }: { readonly edgeMs: number }): boolean {
  return edgeMs >= edgeMinMs && edgeMs <= edgeMaxMs;
}

/** What each scenario says about each metric. */
export const measures: Readonly<Record<MetricId, (figures: ScenarioFigures) => Share>> = {
  gapMs: ({ turns }) => shareOf(turns.flatMap(({ isAnswerDue, gapMs }) => (isAnswerDue ? (gapMs ?? []) : []))),
  missRatio: ({ turns }) => shares(turns.filter(isDue).map(({ isMissed }) => isMissed)),
  takeoverRatio: ({ turns }) => shares(turns.filter(isDue).map(({ isTakeover }) => isTakeover)),
  falseCutInRatio: (figures) => cutIns(figures),
  falseCutInRatio200: (figures) => cutIns(figures, '200-499'),
  falseCutInRatio500: (figures) => cutIns(figures, '500-799'),
  falseCutInRatio800: (figures) => cutIns(figures, '800-1199'),
  falseCutInRatio1200: (figures) => cutIns(figures, '1200+'),
  falseCutInRatioPhone: (figures) => (figures.channel.startsWith('phone') ? cutIns(figures) : shareOf([])),
  falseCutInOverlapMs: ({ holds, partCutIns }) =>
    shareOf([...holds.filter(({ isCutIn }) => isCutIn), ...partCutIns].map(({ overlapMs }) => overlapMs)),
  prematureCommitRatio: ({ holds }) => shares(holds.map(({ isPrematureCommit }) => isPrematureCommit)),
  endpointDelayMs: ({ turns }) => shareOf(turns.flatMap(({ endpointDelayMs }) => endpointDelayMs ?? [])),
  overheadMs: ({ turns }) => shareOf(turns.flatMap(({ overheadMs }) => overheadMs ?? [])),
  stopMs: ({ interruptions }) => shareOf(interruptions.flatMap(({ stopMs }) => stopMs ?? [])),
  yieldedRatio: ({ interruptions }) => shares(interruptions.map(({ isYielded }) => isYielded)),
  detectMs: ({ interruptions }) => shareOf(interruptions.flatMap(({ detectMs }) => detectMs ?? [])),
  cutMs: ({ interruptions }) => shareOf(interruptions.flatMap(({ cutMs }) => cutMs ?? [])),
  tailMs: ({ interruptions }) => shareOf(interruptions.flatMap(({ tailMs }) => tailMs ?? [])),
  tailPacedMs: ({ interruptions, playout }) =>
    shareOf(playout === 'paced' ? interruptions.flatMap(({ tailMs }) => tailMs ?? []) : []),
  tailBufferedMs: ({ interruptions, playout }) =>
    shareOf(playout === 'buffered' ? interruptions.flatMap(({ tailMs }) => tailMs ?? []) : []),
  talkOverMs: ({ interruptions }) => shareOf(interruptions.map(({ talkOverMs }) => talkOverMs)),
  talkOverMsPerMinute: ({ bothAudibleMs, durationMs }) => rate(bothAudibleMs, durationMs / 60_000),
  interruptionGapMs: ({ interruptions }) =>
    shareOf(interruptions.flatMap(({ isAnswerDue, gapMs }) => (isAnswerDue ? (gapMs ?? []) : []))),
  staleCount: ({ interruptions }) => shareOf(interruptions.map(({ staleCount }) => staleCount)),
  contextErrorWords: ({ interruptions }) =>
    shareOf(
      interruptions.flatMap(({ context }) => (context === undefined ? [] : Math.abs(context.requestWords - context.heardWords))),
    ),
  contextTrueRatio: ({ interruptions }) => shares(interruptions.map(({ context }) => context?.isTrue === true)),
  ignoredRatio: ({ events }) => shares(events.map(({ effect, isSpurious }) => effect === 'ignored' && !isSpurious)),
  ignoredOrResumedRatio: ({ events }) =>
    shares(events.map(({ effect, isSpurious }) => (effect === 'ignored' || effect === 'paused') && !isSpurious)),
  spuriousRatio: ({ events }) => shares(events.map(({ isSpurious }) => isSpurious)),
  resumeDelayMs: ({ events }) => shareOf(events.flatMap(({ resumeDelayMs }) => resumeDelayMs ?? [])),
  resumeSkipMs: ({ events }) => shareOf(events.flatMap(({ skipMs }) => skipMs ?? [])),
  resumeRepeatMs: ({ events }) => shareOf(events.flatMap(({ repeatMs }) => repeatMs ?? [])),
  doubleAnswerRatio: ({ turns }) => shares(turns.filter(isDue).map(({ answerCount }) => answerCount > 1)),
  lostWords: ({ turns }) => shareOf(turns.flatMap(({ lostWords }) => lostWords ?? [])),
  deadRatio: ({ deadMs, durationMs }) => rate(deadMs, durationMs),
  stuttersPerMinute: ({ stutters, agentSpeechMs }) => rate(stutters.length, agentSpeechMs / 60_000),
  edgeMs: ({ edges }) => shareOf(edges.map(({ edgeMs }) => edgeMs)),
  edgeGoodRatio: ({ edges }) => shares(edges.map(isGoodEdge)),
  idleRatio: ({ idle }) => shares(idle.map(({ isMet }) => isMet)),
  cpuRatio: ({ cost }) => shareOf(cost.cpuRatio === undefined ? [] : [cost.cpuRatio]),
  loopDelayP99Ms: ({ cost }) => shareOf(cost.loopDelayP99Ms === undefined ? [] : [cost.loopDelayP99Ms]),
  memoryBytes: ({ cost }) => shareOf(cost.memoryBytes === undefined ? [] : [cost.memoryBytes]),
};

function isDue({ isAnswerDue }: { readonly isAnswerDue: boolean }): boolean {
  return isAnswerDue;
}

function shares(values: readonly boolean[]): Share {
  return shareOf(values.map(Number));
}

function rate(amount: number, weight: number): Share {
  return weight === 0 ? shareOf([]) : { values: [amount / weight], sum: amount, weight };
}

/** Cut-ins into parts count among all of them, in no stratum. */
function cutIns({ holds, partCutIns }: ScenarioFigures, stratum?: HoldStratum): Share {
  const chosen = holds.filter((hold) => hold.isMeasured && (stratum === undefined || hold.stratum === stratum));
  const values = chosen.map(({ isCutIn }) => Number(isCutIn));
  const { sum, weight } = shareOf(values);
  return { values, sum: sum + (stratum === undefined ? partCutIns.length : 0), weight };
}
