/** What each statistic is called in the report, in what unit it is shown, and what it means. */
import type { MetricId } from '../result.js';

export type MetricUnit = 'ms' | '%' | '' | 'words' | 'ms/min' | '/min' | 'MB';
export type MetricName = { readonly name: string; readonly unit: MetricUnit; readonly means: string };

export type MetricGroup = { readonly title: string; readonly metrics: readonly (readonly [MetricId, MetricName])[] };

function metric(id: MetricId, name: string, unit: MetricUnit, means: string): readonly [MetricId, MetricName] {
  return [id, { name, unit, means }];
}

export const metricGroups: readonly MetricGroup[] = [
  {
    title: 'Answering',
    metrics: [
      metric('gapMs', 'response gap', 'ms', 'last sample of the turn → first audible sample of the answer'),
      metric('missRatio', 'missed turns', '%', 'no answer within 4 s'),
      metric('takeoverRatio', 'clean takeovers', '%', 'answered within 3 s and nowhere cut in'),
      metric('endpointDelayMs', 'endpoint delay', 'ms', 'end of the turn → its commit (engine’s own events)'),
      metric('overheadMs', 'engine overhead', 'ms', 'gap less endpoint delay and waits for providers'),
      metric('interruptionGapMs', 'gap after an interruption', 'ms', 'the same for turns that interrupted the agent'),
    ],
  },
  {
    title: 'Not cutting in',
    metrics: [
      metric('falseCutInRatio', 'false cut-ins', '%', 'of pauses of at least 200 ms inside a turn, the agent began to speak'),
      metric('falseCutInRatio200', 'cut-ins, pauses of 200–499 ms', '%', 'the same for these pauses'),
      metric('falseCutInRatio500', 'cut-ins, pauses of 500–799 ms', '%', 'the same for these pauses'),
      metric('falseCutInRatio800', 'cut-ins, pauses of 800–1199 ms', '%', 'the same for these pauses'),
      metric('falseCutInRatio1200', 'cut-ins, pauses from 1200 ms', '%', 'the same for these pauses'),
      metric('falseCutInRatioPhone', 'cut-ins on the telephone', '%', 'the same on the telephone channel'),
      metric('falseCutInOverlapMs', 'overlap after a cut-in', 'ms', 'both audible until the turn was over'),
      metric(
        'prematureCommitRatio',
        'premature commits',
        '%',
        'pauses in which the engine took the turn for over, audible or not (own events)',
      ),
    ],
  },
  {
    title: 'Yielding',
    metrics: [
      metric('stopMs', 'stop', 'ms', 'first sample of the interruption → last sample heard of the agent'),
      metric('yieldedRatio', 'yielded', '%', 'silent within 2 s and for good'),
      metric('detectMs', 'detection', 'ms', 'first sample of the interruption → decision (own events)'),
      metric('cutMs', 'cut', 'ms', 'decision → last old frame leaves the engine (own events)'),
      metric('tailMs', 'tail', 'ms', 'decision → last sample heard'),
      metric('tailPacedMs', 'tail, paced playout', 'ms', 'a telephone: the engine paces, 40 ms of jitter buffer'),
      metric('tailBufferedMs', 'tail, buffered playout', 'ms', 'a browser: plays what it has, obeys the interruption'),
      metric('talkOverMs', 'talk-over', 'ms', 'both audible, for each interruption'),
      metric('talkOverMsPerMinute', 'talk-over rate', 'ms/min', 'both audible, for each minute of call'),
      metric('staleCount', 'stale audio', '', 'stretches of a reply that came back after it had yielded'),
    ],
  },
  {
    title: 'Taking no notice',
    metrics: [
      metric('ignoredRatio', 'ignored', '%', 'events that the agent did not even pause for'),
      metric('ignoredOrResumedRatio', 'ignored or resumed', '%', 'false alarms after which the agent went on'),
      metric('spuriousRatio', 'spurious answers', '%', 'events that were answered'),
      metric('resumeDelayMs', 'resume delay', 'ms', 'end of the event → speech goes on'),
      metric('resumeSkipMs', 'skipped at a resume', 'ms', 'of the reply, never heard'),
      metric('resumeRepeatMs', 'repeated at a resume', 'ms', 'of the reply, heard twice'),
    ],
  },
  {
    title: 'Truth and flow',
    metrics: [
      metric('contextTrueRatio', 'history is true', '%', 'words on record within one of the words heard'),
      metric('contextErrorWords', 'history error', 'words', 'words on record less words heard'),
      metric('doubleAnswerRatio', 'double answers', '%', 'turns with two answers'),
      metric('lostWords', 'lost words', 'words', 'of a turn, missing in the request whose answer was heard'),
      metric('deadRatio', 'dead air', '%', 'share of the call, beyond a second per answer'),
      metric('stuttersPerMinute', 'stutters', '/min', 'stalls of at least 60 ms without a cause, per minute of agent speech'),
      metric('edgeMs', 'edges', 'ms', 'time in which the sound falls or rises at a stop or resume'),
      metric('edgeGoodRatio', 'edges of 3–30 ms', '%', 'neither a click nor a slow fade'),
      metric('idleRatio', 'idle conduct', '%', 'prompts on time, otherwise silent'),
    ],
  },
  {
    title: 'Cost (not scored)',
    metrics: [
      metric('cpuRatio', 'CPU', '%', 'of one core, per call'),
      metric('loopDelayP99Ms', 'event-loop delay, p99', 'ms', 'of the engine'),
      metric('memoryBytes', 'memory', 'MB', 'of the engine'),
    ],
  },
];

/** A value in its unit, as short as it can be without hiding anything. */
export function inUnit(value: number | undefined, unit: MetricUnit): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  switch (unit) {
    case '%':
      return `${(value * 100).toFixed(1)} %`;
    case 'MB':
      return (value / 2 ** 20).toFixed(0);
    case 'ms':
    case 'ms/min':
      return value.toFixed(Math.abs(value) < 10 ? 1 : 0);
    case '':
    case 'words':
    case '/min':
      return value.toFixed(2);
  }
}
