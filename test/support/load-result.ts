/** Results of load runs made up for tests: every promise holds, but for what is asked to be slow. */
import { newTally } from '../../load/rig/behaviour.js';
import { type LoadResult, type Measured, promises } from '../../load/rig/load-result.js';
import { machineFacts } from '../../load/rig/report.js';
import { encode, figuresOf, newHistogram } from '../../load/rig/stages.js';

const usual: Readonly<Record<string, number>> = {
  first_audio: 900,
  onset_to_last_frame: 70,
  generator_lateness: 1,
  refusal: 5,
  decision_to_last_frame: 0.5,
  vad_lag: 20,
  pacing_jitter: 1,
  engine_overhead: 2,
};
const atTheCallers = ['first_audio', 'onset_to_last_frame', 'generator_lateness', 'refusal'];

/** `slow`: stage → ms. */
export function loadResult(slow: Readonly<Record<string, number>> = {}): LoadResult {
  const stage = (name: string) => {
    const histogram = newHistogram();
    const ms = slow[name] ?? usual[name]!;
    for (let index = 0; index < 200; index += 1) histogram.recordValue(Math.round(ms * 1000 * (0.9 + index / 1000)));
    return { ...figuresOf(histogram), encoded: encode(histogram) };
  };
  const named = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, stage(name)]));
  const measured: Measured = {
    callers: named(atTheCallers),
    engine: { window: 'measured', stages: named(Object.keys(usual).filter((name) => !atTheCallers.includes(name))) },
    tally: { ...newTally(), callsStarted: 10, turns: 40, interruptions: 12 },
    cost: {
      calls: 10,
      cpu: { engine: 3, engineByThread: { vad: 2, main: 1 }, simulator: 1, callers: 1, machineBusy: 20 },
      cpuPerCall: 0.3,
      coldMb: 240,
      idleMb: 250,
      loadedMb: 254,
      memoryPerCallMb: 0.4,
    },
    settings: {
      sessions: 10,
      seconds: 60,
      profile: 'reference',
      seed: 1,
      rampSeconds: 2,
      measuredFromSeconds: 12,
      churnRatio: 0.2,
      processes: 1,
      heardCalls: 3,
      url: '',
    },
  };
  const bars = promises(measured);
  return {
    kind: 'parley-load',
    version: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    machine: machineFacts(),
    isValid: true,
    exitCode: bars.every(({ holds }) => holds) ? 0 : 1,
    bars,
    notes: ['made up <for> a test & nothing else'],
    failures: {},
    engineCounters: {},
    series: [1, 2, 3].map((second) => ({
      atMs: second * 1000,
      calls: 10,
      stages: { first_audio: figuresOf(undefined), generator_lateness: stage('generator_lateness') },
      engineCpu: second === 1 ? Number.NaN : 3,
      simulatorCpu: 1,
      callersCpu: 1,
      residentMb: 250 + second,
    })),
    ...measured,
  };
}
