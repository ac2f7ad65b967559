/**
 * `npm run load:hundred`: a hundred calls at once on this machine, callers and SIMULATED providers included. Calls begin on a fixed schedule
 * whatever the engine does; each goes on asking, hearing answers out, interrupting them and coughing into them until the time is over.
 *
 * Figures of interruptions are taken as in `barge-in.ts`, from the caller's own clock. What is heard is known of the calls with an ear: a hundred
 * ears would make the callers late. Memory and CPU are read from the system.
 */

import { ms } from '../src/shared/units.js';
import type { AudioFormat } from '../src/wire/events.js';
import { Beat } from './beat.js';
import { Caller } from './caller.js';
import { cough } from './cough.js';
import { randomOf } from './providers/seeded.js';
import { readFlags } from './rig/flags.js';
import { converseCounted, converseHeard, type Gathered, type Yielding, yieldingOf } from './rig/hundred-callers.js';
import { type Outcome, outcomeOf, truthOf } from './rig/interruptions.js';
import { LeanCaller } from './rig/lean-caller.js';
import { CallerVoice } from './rig/phrases.js';
import { PreparedAudio } from './rig/prepared-audio.js';
import { Report, slopeOf } from './rig/report.js';
import { type Cost, costOf, plainAgent, Stack, stageMs } from './rig/stack.js';
import { Stages } from './rig/stages.js';
import { planTrials } from './rig/trials.js';

const usage = `Holds many calls at once, with SIMULATED providers of the profile reference, and checks that every promise of one call still holds.`;
const flags = {
  calls: { fallback: 100, min: 1, max: 1000, means: 'calls at once' },
  heard: {
    fallback: 20,
    min: 0,
    max: 1000,
    means: 'of these, calls that are heard by a whole ear; the others count what arrives',
  },
  seconds: { fallback: 120, min: 20, max: 3600, means: 'from the first call to the last question' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of delays and behaviour' },
};

const connectTimeoutMs = ms(10_000);
/** Calls begin over this time; the figures of memory count from when the last has begun and been through a turn. */
const rampMs = 15_000;
const warmUpMs = 15_000;
const sampleMs = 1000;
type Sample = { readonly atMs: number; readonly engine: Cost; readonly simulator: Cost; readonly callers: Cost };

async function run(settings: {
  calls: number;
  heard: number;
  seconds: number;
  seed: number;
  json: string | undefined;
}): Promise<number> {
  const { calls, seconds, seed } = settings;
  const heard = Math.min(calls, settings.heard);
  const report = new Report(`${calls} calls at once (SIMULATED providers, profile reference)`, { calls, heard, seconds, seed });
  const voice = await CallerVoice.load();
  const stack = await Stack.start({
    profile: 'reference',
    seed,
    sessionsMax: calls,
    agents: [plainAgent()],
    providers: 'simulated',
  });
  const samples: Sample[] = [];
  try {
    const trials = await planTrials(stack, voice, seed);
    const beat = new Beat();
    const startMs = beat.nowMs;
    const sampler = setInterval(() => {
      samples.push({
        atMs: beat.nowMs - startMs,
        engine: stack.engineCost(),
        simulator: stack.simulatorCost(),
        callers: costOf(process.pid),
      });
    }, sampleMs);
    const gathered: Gathered = { held: [], counted: [], turns: [], coughs: 0, coughsSurvived: 0 };
    const callers: (Caller | LeanCaller)[] = [];
    const clip = cough();
    const failures: string[] = [];
    const stages = new Stages();
    const prepared = new Map<AudioFormat, PreparedAudio>();
    const audioOf = (format: AudioFormat): PreparedAudio => {
      const known = prepared.get(format) ?? new PreparedAudio(format);
      prepared.set(format, known);
      return known;
    };
    // Made now, so that no call waits for it.
    for (const { question, phrase } of trials) for (const each of [question, phrase]) audioOf('pcm_16000').framesOf(each.clip);
    audioOf('pcm_16000').framesOf(clip);
    await Promise.all(
      Array.from({ length: calls }, async (_, index) => {
        const dueMs = startMs + (index * rampMs) / calls;
        await new Promise((resolve) => {
          setTimeout(resolve, Math.max(0, dueMs - beat.nowMs));
        });
        // Spread evenly over those who come early and late.
        const isHeard = Math.floor(((index + 1) * heard) / calls) > Math.floor((index * heard) / calls);
        const leftMs = (): number => startMs + seconds * 1000 - beat.nowMs;
        const random = randomOf(seed, 'caller', index);
        try {
          const caller = isHeard
            ? await Caller.connect({ url: stack.url, beat })
            : await LeanCaller.connect({ url: stack.url, beat, audio: audioOf, stages, timeoutMs: connectTimeoutMs });
          callers.push(caller);
          if (caller instanceof Caller) await converseHeard(caller, trials, random, leftMs(), clip, gathered);
          else await converseCounted(caller, trials, random, leftMs(), clip, gathered);
          if (caller.closed !== undefined) failures.push(`the engine closed: ${caller.closed.code} ${caller.closed.reason}`);
          await caller.hangUp();
        } catch (error) {
          failures.push(error instanceof Error ? error.message : String(error));
        }
      }),
    );
    clearInterval(sampler);
    const metrics = await stack.metrics();
    const journal = (await stack.simulator?.journal()) ?? [];
    const requests = (await stack.simulator?.llmRequests()) ?? [];
    const judged = gathered.held.map((held) => ({
      outcome: outcomeOf(held, stack.logOf(held.caller.conversationId)),
      truth: truthOf(held, journal, requests, voice.voice),
    }));
    tellInterruptions(
      report,
      judged.flatMap(({ outcome }) => outcome ?? []),
      gathered.counted.map((counted) => yieldingOf(counted, stack.logOf(counted.caller.conversationId))),
    );
    const truths = judged.flatMap(({ truth }) => truth ?? []);
    const near = truths.filter(({ correctedWords, heardWords }) => Math.abs(correctedWords - heardWords) <= 1).length;
    report.fact(`words stored after a cut within one of the words heard: ${near} of ${truths.length}`);
    tellTurns(report, gathered);
    tellEngine(report, metrics);
    tellCost(report, samples, calls);
    const problems = callers.flatMap(({ problems: each }) => each);
    const stale = callers.reduce(
      (sum, caller) => sum + (caller instanceof Caller ? caller.ear.stale.length : caller.staleCount),
      0,
    );
    report.bar('stale frames and breaches of the protocol', stale + problems.length, 'at most', 0, '');
    report.bar('calls that failed', failures.length, 'at most', 0, '');
    for (const problem of [...failures, ...problems].slice(0, 5)) report.note(problem);
    if (stack.problems.length > 0)
      report.note(`the engine logged ${stack.problems.length} problems: ${JSON.stringify(stack.problems[0])}`);
    report.lateness(beat.latenessUs.getValueAtPercentile(99) / 1000, beat.latenessUs.maxValue / 1000);
    report.details({ samples, outcomes: judged.map(({ outcome, truth }) => ({ ...outcome, ...truth, log: undefined })) });
    return report.finish(settings.json);
  } finally {
    await stack.stop();
  }
}

function tellInterruptions(report: Report, outcomes: readonly Outcome[], counted: readonly Yielding[]): void {
  report.section('interruptions');
  const all: readonly Yielding[] = [...outcomes, ...counted];
  const overAll = (pick: (one: Yielding) => number | undefined): number[] => all.flatMap((one) => pick(one) ?? []);
  const over = (pick: (outcome: Outcome) => number | undefined): number[] => outcomes.flatMap((outcome) => pick(outcome) ?? []);
  const since = (from: number | undefined, to: number | undefined): number | undefined =>
    from === undefined || to === undefined ? undefined : to - from;
  const notNegative = (value: number | undefined): number | undefined => (value === undefined ? undefined : Math.max(0, value));
  const hold = report.spread(
    'onset → HOLD',
    overAll(({ onsetAtMs, holdAtMs }) => since(onsetAtMs, holdAtMs)),
  );
  const tail = report.spread(
    'HOLD → silence at the ear',
    over(({ holdAtMs, heldSilentAtMs }) => notNegative(since(holdAtMs, heldSilentAtMs))),
  );
  const cut = report.spread(
    'CUT → last frame',
    overAll(({ verdictAtMs, lastFrameAtMs }) => notNegative(since(verdictAtMs, lastFrameAtMs))),
  );
  const cutTail = report.spread(
    'CUT → silence at the ear',
    over(({ verdictAtMs, silentAtMs }) => notNegative(since(verdictAtMs, silentAtMs))),
  );
  report.spread(
    'onset → silence at the ear',
    over(({ onsetAtMs, silentAtMs }) => since(onsetAtMs, silentAtMs)),
  );
  const yielded = all.filter(({ verdictAtMs }) => verdictAtMs !== undefined).length;
  report.fact(`${all.length} answers were interrupted, ${outcomes.length} of them heard by an ear; ${yielded} yielded`);
  report.bar('onset to HOLD p50', hold.p50, 'at most', 90);
  report.bar('onset to HOLD p95', hold.p95, 'at most', 200);
  report.bar('CUT to last frame p99', cut.p99, 'at most', 5);
  report.bar('HOLD to silence p95', tail.p95, 'below', 100);
  report.bar('CUT to silence p95', cutTail.p95, 'below', 100);
}

function tellTurns(report: Report, { turns, coughs, coughsSurvived }: Gathered): void {
  report.section('answers');
  const received = report.spread(
    'end of speech → first audio received',
    turns.flatMap(({ receivedMs }) => receivedMs ?? []),
  );
  report.spread(
    'end of speech → audible',
    turns.flatMap(({ audibleMs }) => audibleMs ?? []),
  );
  const missed = turns.filter(({ receivedMs, audibleMs, isHeard }) => (isHeard ? audibleMs : receivedMs) === undefined).length;
  report.fact(`${turns.length} questions; ${coughsSurvived} of ${coughs} answers went on after a cough`);
  report.bar('questions without an answer', missed, 'at most', 0, '');
  report.bar('first audio received p50', received.p50, 'at most', 1000);
  report.bar('first audio received p95', received.p95, 'at most', 1500);
}

function tellEngine(report: Report, metrics: ReadonlyMap<string, number>): void {
  report.section('the engine itself');
  for (const stage of [
    'vad_lag',
    'vad_pass',
    'pacing_jitter',
    'decision_to_last_frame',
    'engine_overhead',
    'loop_delay',
    'client_round_trip',
  ]) {
    const at = (quantile: string): string => stageMs(metrics, stage, quantile).toFixed(2);
    report.fact(`${stage.padEnd(24)} p50 ${at('0.5')}, p95 ${at('0.95')}, p99 ${at('0.99')} ms (worst thread)`);
  }
  for (const [name, value] of metrics) {
    if (/^parley_(?:errors|refused|timeline_disorder|input_overrun_samples|output_ring_full)_total/.test(name) && value > 0)
      report.fact(`${name} ${value}`);
  }
  report.bar('pacer underruns', metrics.get('parley_pacer_underruns_total') ?? Number.NaN, 'at most', 0, '');
}

function tellCost(report: Report, samples: readonly Sample[], calls: number): void {
  const warm = samples.filter(({ atMs }) => atMs > rampMs + warmUpMs);
  const [first, last] = [warm[0], warm.at(-1)];
  if (first === undefined || last === undefined || warm.length < 5) return;
  report.section('cost after warm-up');
  const share = (pick: (sample: Sample) => Cost): string =>
    (((pick(last).cpuMs - pick(first).cpuMs) / (last.atMs - first.atMs)) * 100).toFixed(1);
  report.fact(
    `CPU, % of a core: engine ${share((sample) => sample.engine)}, simulator ${share((sample) => sample.simulator)}, callers ${share((sample) => sample.callers)}`,
  );
  report.fact(`engine per call: ${(Number(share((sample) => sample.engine)) / calls).toFixed(3)} % of a core`);
  const slope = slopeOf(warm.map(({ atMs, engine }) => ({ x: atMs / 60_000, y: engine.residentMb })));
  report.fact(
    `engine memory: ${first.engine.residentMb.toFixed(0)} → ${last.engine.residentMb.toFixed(0)} MB resident, slope ${slope.toFixed(1)} MB a minute`,
  );
  report.bar('memory slope after warm-up', slope, 'at most', memorySlopeMaxMb, 'MB/min');
}

/** Garbage that has not been collected yet looks like growth over two minutes: a tenth of a megabyte a call and minute. */
const memorySlopeMaxMb = 10;

const settings = readFlags(usage, flags);
if (settings !== undefined) process.exitCode = await run(settings);
