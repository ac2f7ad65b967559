/** Results and runs of the evaluator made up for tests of its report: figures with known values, lanes with bursts at known places. */
import {
  type DimFigures,
  dimIds,
  type EvaluationResult,
  type EventFigures,
  type GateFigures,
  gateIds,
  type InterruptionFigures,
  type MetricId,
  metricIds,
  type ScenarioFigures,
  type Scores,
  type Statistic,
  type TurnFigures,
  type VariationFigures,
} from '../../bench/eval/result.js';
import type { RunRecord } from '../../bench/eval/run-record.js';
import { scenarioSchema } from '../../bench/eval/scenario.js';
import { randomOf } from '../../load/providers/seeded.js';

export const perMs = 16;

const dimNames = ['promptness', 'not cutting in', 'yielding', 'selectivity', 'recovery', 'flow'];
const dimWeights = [0.2, 0.25, 0.2, 0.15, 0.1, 0.1];

function statistic(values: readonly number[]): Statistic {
  if (values.length === 0) return { n: 0, mean: undefined, p50: undefined, p90: undefined, p95: undefined, interval: undefined };
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { n: values.length, mean, p50: at(0.5), p90: at(0.9), p95: at(0.95), interval: { low: mean * 0.94, high: mean * 1.06 } };
}

/** Scores with `dims` of D1 to D6; statistics of `values`, nothing for the other metrics. */
export function scoresOf(
  dims: readonly (number | undefined)[],
  values: Readonly<Partial<Record<MetricId, readonly number[]>>>,
  scenarioCount: number,
): Scores {
  const figures = dimIds.map(
    (id, index): DimFigures => ({
      id,
      name: dimNames[index]!,
      weight: dimWeights[index]!,
      score: dims[index],
      interval: dims[index] === undefined ? undefined : { low: dims[index] - 0.4, high: Math.min(10, dims[index] + 0.3) },
      parts: [{ name: 'all of it', weight: 1, score: dims[index] ?? 0 }],
    }),
  );
  const known = figures.filter(({ score }) => score !== undefined);
  const weights = known.reduce((sum, { weight }) => sum + weight, 0);
  const raw = Math.exp(known.reduce((sum, { weight, score }) => sum + (weight / weights) * Math.log(Math.max(1, score!)), 0));
  return {
    scenarioCount,
    statistics: Object.fromEntries(metricIds.map((id) => [id, statistic(values[id] ?? [])])) as Record<MetricId, Statistic>,
    dims: figures,
    total: {
      raw,
      total: Math.min(raw, 7.9),
      rawInterval: { low: raw - 0.3, high: raw + 0.2 },
      totalInterval: { low: raw - 0.3, high: 7.9 },
    },
    gates: gateIds.map(
      (id, index): GateFigures => ({
        id,
        name: ['first audio', 'cut', 'tail', 'cut-ins', 'resume', 'reach', 'truth', 'selectivity'][index]!,
        conditions: [
          {
            name: 'gap p50',
            value: id === 'G4' ? 0.14 : 12.3456,
            limit: id === 'G4' ? 0.1 : 100,
            isMost: true,
            isMet: id !== 'G4',
          },
        ],
        isMet: id !== 'G4',
        isJudged: id !== 'G1',
        note: id === 'G1' ? 'needs the wall clock' : undefined,
      }),
    ),
    sensitivity: dimIds.flatMap((dim, index) => [
      { dim, factor: 0.75 as const, raw: raw - 0.03 * index },
      { dim, factor: 1.25 as const, raw: raw + 0.02 * index },
    ]),
    selectivity: [],
  };
}

export function turnFigures(change: Partial<TurnFigures> = {}): TurnFigures {
  return {
    turn: 't1',
    role: 'turn',
    isDictation: false,
    startMs: 500,
    endMs: 2000,
    isAnswerDue: true,
    gapMs: 900,
    isMissed: false,
    isTakeover: true,
    endpointDelayMs: 310,
    overheadMs: 12,
    waterfall: { endpointMs: 310, sttMs: 40, llmMs: 350, ttsMs: 130, engineMs: 12, bufferMs: 58 },
    answerCount: 1,
    lostWords: 0,
    messageCount: 1,
    wordCount: 6,
    deadMs: 0,
    ...change,
  };
}

export function interruptionFigures(change: Partial<InterruptionFigures> = {}): InterruptionFigures {
  return {
    turn: 't2',
    startMs: 4000,
    endMs: 4800,
    eventId: 1,
    stopMs: 180,
    isYielded: true,
    detectMs: 96,
    cutMs: 4,
    tailMs: 84,
    talkOverMs: 180,
    staleCount: 0,
    gapMs: 950,
    isAnswerDue: true,
    context: { requestWords: 5, heardWords: 5, isTrue: true },
    ...change,
  };
}

export function eventFigures(change: Partial<EventFigures> = {}): EventFigures {
  return {
    id: 'cough',
    kind: 'cough',
    class: 'body',
    expect: 'ignore',
    fromMs: 5000,
    toMs: 5300,
    effect: 'ignored',
    isUnderSpeech: true,
    stallMs: 0,
    isSpurious: false,
    resumeDelayMs: undefined,
    skipMs: undefined,
    repeatMs: undefined,
    credit: 1,
    ...change,
  };
}

export function scenarioFigures(id: string, change: Partial<ScenarioFigures> = {}): ScenarioFigures {
  return {
    id,
    family: 'A',
    title: 'A question <and> its answer',
    part: 'open',
    channel: 'wide',
    playout: 'paced',
    durationMs: 12_000,
    turns: [turnFigures()],
    holds: [],
    partCutIns: [],
    interruptions: [],
    events: [],
    stutters: [],
    edges: [],
    idle: [],
    utterances: [],
    agentSpeechMs: 3000,
    bothAudibleMs: 0,
    deadMs: 0,
    matchedRatio: 0.995,
    isFallback: false,
    expectations: [{ name: 'answers', isMet: true, detail: '1 of 1' }],
    isPassed: true,
    timing: { realTimeRatio: 1, frameLatenessP99Ms: 0 },
    cost: { cpuRatio: undefined, loopDelayP99Ms: undefined, memoryBytes: undefined },
    ...change,
  };
}

const mutants = ['fixed 1200 ms end', 'fixed 150 ms end, no text', 'deaf', 'stops at any energy, never resumes', 'hard cut'];

function variation(name: string, kind: VariationFigures['kind'], index: number): VariationFigures {
  return {
    name,
    kind,
    target: kind === 'mutant' ? [dimIds[index % dimIds.length]!] : [],
    isCaught: kind === 'mutant' ? index !== 4 : undefined,
    total: 6,
    totalDelta: -1.5,
    dims: dimIds.map((id, at) => ({ id, score: 8 - (at === index ? 4 : 0.2), delta: at === index ? -4 : -0.2 })),
    targetDelta: -4,
    failedGates: index === 1 ? ['G4', 'G6', 'G7', 'G8'] : [],
    unexpected: [],
  };
}

/** A result with forty conversations; the same `seed` gives the same values. */
export function evaluationResult(seed = 1, change: Partial<EvaluationResult> = {}): EvaluationResult {
  const random = randomOf(seed, 'evaluation');
  const around = (middle: number, spread: number): number => middle + (random() + random() + random() - 1.5) * spread;
  const scenarios = Array.from({ length: 40 }, (_, index): ScenarioFigures => {
    const family = (['A', 'B', 'E', 'F', 'G', 'J', 'N', 'D'] as const)[index % 8]!;
    const id = `${family.toLowerCase()}-${String(100 + index)}`;
    const gapMs = around(family === 'D' ? 1500 : 950, 500);
    const parts = { endpointMs: 330, sttMs: 30, llmMs: gapMs - 600, ttsMs: 140, engineMs: 20, bufferMs: 80 };
    const isWrong = index % 13 === 5;
    return scenarioFigures(id, {
      family,
      part: index % 3 === 2 ? 'held' : 'open',
      channel: index % 5 === 4 ? 'phone' : 'wide',
      turns: [turnFigures({ gapMs, isDictation: family === 'D', waterfall: parts })],
      holds:
        family === 'B'
          ? [
              {
                turn: 't1',
                fromMs: 1000,
                durationMs: 800,
                stratum: '800-1199',
                isCutIn: isWrong,
                overlapMs: isWrong ? 420 : 0,
                isPrematureCommit: isWrong,
                isMeasured: true,
                isPhone: false,
              },
            ]
          : [],
      interruptions:
        family === 'E'
          ? [
              interruptionFigures({
                stopMs: around(260, 200),
                detectMs: around(110, 60),
                cutMs: around(9, 8),
                tailMs: around(70, 40),
              }),
            ]
          : [],
      events:
        family === 'F'
          ? [
              eventFigures({
                class: 'backchannel',
                kind: 'backchannel',
                effect: isWrong ? 'stopped' : 'ignored',
                credit: isWrong ? 0 : 1,
              }),
            ]
          : family === 'G'
            ? [eventFigures({ effect: 'paused', credit: around(0.5, 0.4), resumeDelayMs: 420, skipMs: 0, repeatMs: 120 })]
            : [],
      expectations: [{ name: 'cut_in', isMet: !isWrong, detail: isWrong ? 'cut in after 310 ms' : 'never' }],
      isPassed: !isWrong,
    });
  });
  const turns = scenarios.flatMap(({ turns: of }) => of);
  const interruptions = scenarios.flatMap(({ interruptions: of }) => of);
  const gaps = turns.flatMap(({ gapMs }) => gapMs ?? []);
  const scores = scoresOf(
    [8.6, 7.2, 8.9, 7.7, 9.1, undefined],
    {
      gapMs: gaps,
      missRatio: turns.map(({ isMissed }) => (isMissed ? 1 : 0)),
      falseCutInRatio: [0, 0, 0, 0, 1, 0, 0, 0],
      endpointDelayMs: turns.flatMap(({ endpointDelayMs }) => endpointDelayMs ?? []),
      stopMs: interruptions.flatMap(({ stopMs }) => stopMs ?? []),
      tailMs: interruptions.flatMap(({ tailMs }) => tailMs ?? []),
      memoryBytes: [500e6],
    },
    scenarios.length,
  );
  return {
    schemaVersion: 1,
    engineVersion: '0.1.0 (abc1234)',
    suite: { name: 'open', hash: 'c0ffee00c0ffee00', leftOut: [{ reason: 'no recordings', scenarios: ['real-1', 'real-2'] }] },
    profile: 'reference',
    seed,
    clock: 'virtual',
    playouts: ['paced'],
    voices: 'flite',
    mutant: undefined,
    timing: { isValid: true, problem: undefined, realTimeRatioMin: 1, frameLatenessP99MsMax: 0 },
    cost: { cpuRatio: 0.01, loopDelayP99Ms: 1, memoryBytes: 5e8 },
    scores,
    parts: [
      { part: 'open', scores },
      { part: 'held', scores },
    ],
    scenarios,
    variations: [
      ...mutants.map((name, index) => variation(name, 'mutant', index)),
      variation('text rule off', 'ablation', 1),
      variation('learned pauses off', 'ablation', 0),
    ],
    sweeps: [
      {
        dataset: 'suite, open part',
        channel: 'wide',
        rows: [
          {
            name: 'text rules',
            holds: 90,
            ends: 80,
            cutOffAt300Ms: 0.2,
            cutOffAt600Ms: 0.07,
            delayMsAt5Percent: 700,
            delayMsAt10Percent: 480,
            frontier: [
              { threshold: 0.5, actionDelayMs: 200, timeoutMs: 1500, cutOffRatio: 0.31, meanDelayMs: 240 },
              { threshold: 0.5, actionDelayMs: 300, timeoutMs: 1500, cutOffRatio: 0.2, meanDelayMs: 300 },
              { threshold: 0.6, actionDelayMs: 500, timeoutMs: 2000, cutOffRatio: 0.07, meanDelayMs: 600 },
              { threshold: 0.7, actionDelayMs: 800, timeoutMs: 2500, cutOffRatio: 0.02, meanDelayMs: 1100 },
            ],
          },
          {
            name: 'silence only',
            holds: 90,
            ends: 80,
            cutOffAt300Ms: 0.5,
            cutOffAt600Ms: 0.25,
            delayMsAt5Percent: 1200,
            delayMsAt10Percent: 1000,
            frontier: [
              { threshold: 0, actionDelayMs: 300, timeoutMs: 300, cutOffRatio: 0.5, meanDelayMs: 300 },
              { threshold: 0, actionDelayMs: 600, timeoutMs: 600, cutOffRatio: 0.25, meanDelayMs: 600 },
              { threshold: 0, actionDelayMs: 1200, timeoutMs: 1200, cutOffRatio: 0.05, meanDelayMs: 1200 },
            ],
          },
        ],
        anchors: [],
        note: 'Different data from the public benchmarks',
      },
    ],
    ...change,
  };
}

/** A tone of `level` with a syllable-like swing, at `fromMs` to `toMs`. */
function sound(lane: Int16Array, fromMs: number, toMs: number, hz: number, level: number): void {
  for (let at = fromMs * perMs; at < toMs * perMs; at++) {
    const swing = 0.55 + 0.45 * Math.sin((at / 16_000) * Math.PI * 7);
    lane[at] = Math.round(level * swing * Math.sin((2 * Math.PI * hz * at) / 16_000));
  }
}

/**
 * A call of 14 s with everything in it: a request with a pause in which the agent cuts in, a reply that holds for a cough and goes on 200 ms of
 * speech further, an interruption, and an answer that comes late.
 */
export function runWithEverything(): { record: RunRecord; figures: ScenarioFigures } {
  const length = 14_000 * perMs;
  const [caller, heard] = [new Int16Array(length), new Int16Array(length)];
  sound(caller, 500, 1500, 180, 9000);
  sound(caller, 2300, 3200, 180, 9000);
  sound(caller, 5000, 5250, 700, 4000);
  sound(caller, 7000, 7900, 180, 9000);
  sound(heard, 2100, 2420, 300, 7000);
  sound(heard, 4100, 5300, 300, 7000);
  sound(heard, 5700, 7180, 300, 7000);
  sound(heard, 10_400, 13_000, 300, 7000);
  const scenario = scenarioSchema.parse({
    id: 'z-everything',
    family: 'K',
    title: 'Pause & cough & interruption',
    seed: 7,
    part: 'open',
    voice: { name: 'caller-m1' },
    agent: { greeting: null, answers: { '*': 'Yes.' } },
    steps: [],
    end: { after: 'prev.end', ms: 800, max: 20000 },
    expect: { answers: 2 },
  });
  const part = (text: string, fromMs: number, toMs: number, role: 'turn' | 'interrupt', turn: string) => ({
    kind: 'part' as const,
    step: 0,
    role,
    turn,
    isFinal: true,
    expect: undefined,
    text,
    from: fromMs * perMs,
    to: toMs * perMs,
    words: [{ text, from: fromMs * perMs, to: toMs * perMs }],
    silences: [],
    clipId: text,
  });
  const piece = (eventId: number, fromMs: number, sourceMs: number, ms: number) => ({
    eventId,
    heardFrom: fromMs * perMs,
    sourceFrom: sourceMs * perMs,
    count: ms * perMs,
  });
  const utterance = (eventId: number, text: string, pieces: readonly ReturnType<typeof piece>[]) => ({
    eventId,
    text,
    onsetMs: pieces[0]!.heardFrom / perMs,
    endMs: (pieces.at(-1)!.heardFrom + pieces.at(-1)!.count) / perMs,
    pieces,
    isComplete: false,
    cause: 'answer' as const,
    turn: 't1',
  });
  const record: RunRecord = {
    scenario,
    seed: 7,
    profile: 'reference',
    clock: 'virtual',
    playout: 'paced',
    lanes: { caller, microphone: caller, heard },
    placed: [
      part('I would like to book a flight to,', 500, 1500, 'turn', 't1'),
      part('Boston on Friday.', 2300, 3200, 'turn', 't1'),
      { kind: 'event', id: 'cough-1', class: 'cough', expect: 'ignore', from: 5000 * perMs, to: 5250 * perMs },
      part('No, on Monday.', 7000, 7900, 'interrupt', 't2'),
    ],
    replies: [
      { eventId: 1, samples: new Int16Array(3000 * perMs), words: [] },
      { eventId: 2, samples: new Int16Array(4000 * perMs), words: [] },
      { eventId: 3, samples: new Int16Array(2600 * perMs), words: [] },
    ],
    played: [],
    audio: [{ atMs: 2080, eventId: 1, sampleCount: 640 }],
    messages: [{ atMs: 3600, type: 'user_transcript', payload: { user_transcript: 'Boston' } }],
    whiteBox: [
      { kind: 'commit', turn: 1, at_ms: 1810, sent_at_ms: 1810, is_typed: false, is_adopted: false },
      { kind: 'cut', turn: 1, at_ms: 2380, sent_at_ms: 2381, reason: 'merge', event_id: 1 },
      { kind: 'commit', turn: 1, at_ms: 3520, sent_at_ms: 3521, is_typed: false, is_adopted: true },
      { kind: 'hold', turn: 2, at_ms: 5080, sent_at_ms: 5081 },
      { kind: 'resume', turn: 2, at_ms: 5640, sent_at_ms: 5641, reason: 'false_alarm' },
      { kind: 'hold', turn: 2, at_ms: 7090, sent_at_ms: 7090 },
      { kind: 'cut', turn: 2, at_ms: 7100, sent_at_ms: 7101, reason: 'words', event_id: 2 },
      { kind: 'commit', turn: 2, at_ms: 8250, sent_at_ms: 8251, is_typed: false, is_adopted: false },
    ],
    requests: [
      { atMs: 1812, messages: [], answer: '' },
      { atMs: 3430, messages: [], answer: 'Sure.' },
      { atMs: 8252, messages: [{ role: 'user', content: 'No, on Monday.' }], answer: 'Monday it is.' },
    ],
    waits: [{ stage: 'llm', fromMs: 8252, toMs: 9900 }],
    closed: { atMs: 14_000, code: 1000, isByCaller: true },
    timing: { realTimeRatio: 1, frameLatenessP99Ms: 0 },
    cost: { cpuRatio: undefined, loopDelayP99Ms: undefined, memoryBytes: undefined },
  };
  const figures = scenarioFigures('z-everything', {
    family: 'K',
    title: scenario.title,
    durationMs: 14_000,
    turns: [
      turnFigures({ startMs: 500, endMs: 3200, gapMs: 900 }),
      turnFigures({ turn: 't2', role: 'interrupt', startMs: 7000, endMs: 7900, gapMs: 2500, deadMs: 1500 }),
    ],
    holds: [
      {
        turn: 't1',
        fromMs: 1500,
        durationMs: 800,
        stratum: '800-1199',
        isCutIn: true,
        overlapMs: 120,
        isPrematureCommit: true,
        isMeasured: true,
        isPhone: false,
      },
    ],
    interruptions: [interruptionFigures({ startMs: 7000, endMs: 7900, eventId: 2, stopMs: 180, gapMs: 2500 })],
    events: [eventFigures({ id: 'cough-1', fromMs: 5000, toMs: 5250, effect: 'paused', credit: 0.6 })],
    utterances: [
      utterance(1, 'Where to?', [piece(1, 2100, 0, 320)]),
      utterance(2, 'Sure, there is a flight at nine fifteen.', [piece(2, 4100, 0, 1200), piece(2, 5700, 1400, 1480)]),
      utterance(3, 'Monday it is.', [piece(3, 10_400, 0, 2600)]),
    ],
    expectations: [{ name: 'cut_in', isMet: false, detail: 'at 2100 ms' }],
    isPassed: false,
  });
  return { record, figures };
}
