/**
 * `npm run load:hundred`: a hundred calls at once on this machine, callers and SIMULATED providers included. Calls begin on a fixed schedule
 * whatever the engine does; each goes on asking, hearing answers out, interrupting them and coughing into them until the time is over.
 *
 * Figures of interruptions are taken as in `barge-in.ts`, from the caller's own clock and ear. Memory and CPU are read from the system.
 */

import { Beat } from './beat.js';
import { Caller, type Said } from './caller.js';
import { cough } from './cough.js';
import type { HeardReply } from './ear.js';
import { randomOf } from './providers/seeded.js';
import { readFlags } from './rig/flags.js';
import { type Held, holdTrial, type Outcome, outcomeOf, truthOf } from './rig/interruptions.js';
import { CallerVoice } from './rig/phrases.js';
import { Report, slopeOf } from './rig/report.js';
import { type Cost, costOf, plainAgent, Stack, stageMs } from './rig/stack.js';
import { planTrials, type TrialPlan } from './rig/trials.js';

const usage = `Holds many calls at once, with SIMULATED providers of the profile reference, and checks that every promise of one call still holds.`;
const flags = {
  calls: { fallback: 100, min: 1, max: 1000, means: 'calls at once' },
  seconds: { fallback: 120, min: 20, max: 3600, means: 'from the first call to the last question' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of delays and behaviour' },
};

/** Calls begin over this time; the figures of memory count from when the last has begun and been through a turn. */
const rampMs = 15_000;
const warmUpMs = 15_000;
const sampleMs = 1000;
const [delayMinMs, delayMaxMs] = [600, 4000];
const coughAtMs = 2000;
const answerWaitMs = 10_000;
const quietMs = 1000;
const heardOutMs = 6000;
const settleMs = 800;

/** From the end of speech; undefined when no answer came. */
type Turn = { readonly said: Said; readonly receivedMs: number | undefined; readonly audibleMs: number | undefined };
type Gathered = { readonly held: Held[]; readonly turns: Turn[]; coughs: number; coughsSurvived: number };
type Sample = { readonly atMs: number; readonly engine: Cost; readonly simulator: Cost; readonly callers: Cost };

async function run(settings: { calls: number; seconds: number; seed: number; json: string | undefined }): Promise<number> {
  const { calls, seconds, seed } = settings;
  const report = new Report(`${calls} calls at once (SIMULATED providers, profile reference)`, { calls, seconds, seed });
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
    const gathered: Gathered = { held: [], turns: [], coughs: 0, coughsSurvived: 0 };
    const callers: Caller[] = [];
    const clip = cough();
    const failures: string[] = [];
    await Promise.all(
      Array.from({ length: calls }, async (_, index) => {
        const dueMs = startMs + (index * rampMs) / calls;
        await new Promise((resolve) => {
          setTimeout(resolve, Math.max(0, dueMs - beat.nowMs));
        });
        try {
          const caller = await Caller.connect({ url: stack.url, beat });
          callers.push(caller);
          await converse(caller, trials, randomOf(seed, 'caller', index), startMs + seconds * 1000 - beat.nowMs, clip, gathered);
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
    );
    const truths = judged.flatMap(({ truth }) => truth ?? []);
    const near = truths.filter(({ correctedWords, heardWords }) => Math.abs(correctedWords - heardWords) <= 1).length;
    report.fact(`words stored after a cut within one of the words heard: ${near} of ${truths.length}`);
    tellTurns(report, gathered);
    tellEngine(report, metrics);
    tellCost(report, samples, calls);
    const problems = callers.flatMap(({ problems: each }) => each);
    const stale = callers.reduce((sum, { ear }) => sum + ear.stale.length, 0);
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

/** One caller until `untilMs` from now: half of the answers are interrupted, a quarter coughed into, a quarter heard for a while. */
async function converse(
  caller: Caller,
  trials: readonly TrialPlan[],
  random: () => number,
  untilMs: number,
  coughClip: ReturnType<typeof cough>,
  gathered: Gathered,
): Promise<void> {
  const endMs = caller.nowMs + untilMs;
  await caller.until(caller.nowMs + settleMs);
  while (caller.nowMs < endMs && caller.closed === undefined) {
    const trial = {
      ...trials[Math.floor(random() * trials.length)]!,
      delayMs: delayMinMs + random() * (delayMaxMs - delayMinMs),
    };
    const mood = random();
    if (mood < 0.5) {
      const held = await holdTrial(caller, trial);
      gathered.held.push(held);
      note(gathered, held.asked, held.reply);
      continue;
    }
    const asked = caller.say(trial.question.clip, caller.nowMs + 300);
    const reply = await caller.onset(asked.speechEndMs - quietMs, asked.speechEndMs - caller.nowMs + answerWaitMs);
    note(gathered, asked, reply);
    if (reply === undefined) continue;
    if (mood < 0.75) {
      const coughed = caller.say(coughClip, reply.onsetMs! + coughAtMs);
      await caller.until(coughed.speechEndMs + 2500);
      gathered.coughs += 1;
      const isCut = caller.events.some(({ type, atMs }) => type === 'interruption' && atMs > coughed.speechStartMs);
      if (!isCut && (reply.lastAudibleMs ?? 0) > coughed.speechEndMs + 1000) gathered.coughsSurvived += 1;
    } else {
      await caller.until(reply.onsetMs! + heardOutMs);
    }
    // Long answers are ended by typing, so that the next question meets an agent that listens.
    caller.send({ type: 'user_message', text: 'Thank you, that is enough.' });
    const closing = await caller.onset(caller.nowMs + 20, answerWaitMs);
    if (closing !== undefined) await caller.endOf(closing, quietMs, answerWaitMs);
  }
}

function note(gathered: Gathered, said: Said, reply: HeardReply | undefined): void {
  const after = (atMs: number | undefined): number | undefined => (atMs === undefined ? undefined : atMs - said.speechEndMs);
  gathered.turns.push({ said, receivedMs: after(reply?.firstChunkAtMs), audibleMs: after(reply?.onsetMs) });
}

function tellInterruptions(report: Report, outcomes: readonly Outcome[]): void {
  report.section('interruptions');
  const over = (pick: (outcome: Outcome) => number | undefined): number[] => outcomes.flatMap((outcome) => pick(outcome) ?? []);
  const since = (from: number | undefined, to: number | undefined): number | undefined =>
    from === undefined || to === undefined ? undefined : to - from;
  const notNegative = (value: number | undefined): number | undefined => (value === undefined ? undefined : Math.max(0, value));
  const hold = report.spread(
    'onset → HOLD',
    over(({ onsetAtMs, holdAtMs }) => since(onsetAtMs, holdAtMs)),
  );
  const tail = report.spread(
    'HOLD → silence at the ear',
    over(({ holdAtMs, heldSilentAtMs }) => notNegative(since(holdAtMs, heldSilentAtMs))),
  );
  const cut = report.spread(
    'CUT → last frame',
    over(({ verdictAtMs, lastFrameAtMs }) => notNegative(since(verdictAtMs, lastFrameAtMs))),
  );
  const cutTail = report.spread(
    'CUT → silence at the ear',
    over(({ verdictAtMs, silentAtMs }) => notNegative(since(verdictAtMs, silentAtMs))),
  );
  report.spread(
    'onset → silence at the ear',
    over(({ onsetAtMs, silentAtMs }) => since(onsetAtMs, silentAtMs)),
  );
  const yielded = outcomes.filter(({ verdictAtMs }) => verdictAtMs !== undefined).length;
  report.fact(`${outcomes.length} answers were interrupted, ${yielded} yielded`);
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
  const missed = turns.filter(({ audibleMs }) => audibleMs === undefined).length;
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
