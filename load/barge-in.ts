/**
 * `npm run bench:barge-in`: how fast and how truly the engine yields. Callers ask, are given a long answer, and interrupt it at an instant drawn
 * beforehand; the engine and SIMULATED providers run as processes of their own. First on a clean line, then in noise, reported apart.
 *
 * What is measured, on one monotonic clock:
 *   onset → HOLD      from the first sample of the interrupting clip above its peak minus 45 dB (and from its first voiced 10 ms) to the
 *                     instant at which the engine decided to stand still. The caller's own 20 ms frame is in it. Of several HOLDs the one
 *                     that made the agent silent (`verdictsIn`).
 *   HOLD → CUT        how long it takes to be sure that it is an interruption.
 *   decision → last frame   arrival at the caller of the last audio of the interrupted reply; 0 when that came before the decision.
 *   decision → silence      last audible sample at the ear, which plays what it has (`load/ear.ts`). From a HOLD that was released
 *                     again before the CUT: the end of what was playing when it was raised.
 *   truth             words of `agent_response_correction` against words whose sound ended before the last sample heard; the same text
 *                     must be the assistant's last message in the next request to the model.
 */
import { fileURLToPath } from 'node:url';
import { Beat } from './beat.js';
import { Caller } from './caller.js';
import { readClip } from './clip.js';
import type { ClipRegistration } from './providers/clips.js';
import { randomOf } from './providers/seeded.js';
import { readFlags } from './rig/flags.js';
import { type Held, holdTrial, type Outcome, outcomeOf, type Trial, type Truth, truthOf } from './rig/interruptions.js';
import { NoisyLine } from './rig/noisy-line.js';
import { CallerVoice, noiseAt, officeNoise, type Phrase } from './rig/phrases.js';
import { recordedNoises } from './rig/recordings.js';
import { Report } from './rig/report.js';
import { plainAgent, Stack, stageMs } from './rig/stack.js';
import { answersFor, interruptions, longAnswerAbout, questionAbout, topicOf } from './rig/texts.js';

const usage = `Measures interruptions of the engine's answers, with SIMULATED providers.`;
const flags = {
  trials: { fallback: 50, min: 1, max: 70, means: 'interruptions on a clean line' },
  noisy: { fallback: 25, min: 0, max: 37, means: 'interruptions in noise, of each kind of noise (made, recorded)' },
  callers: { fallback: 4, min: 1, max: 16, means: 'calls at once' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of texts, instants and delays of the providers' },
};

const snrDb = 15;
const delayMinMs = 600;
const delayMaxMs = 4000;
/** A call longer than this for each trial has gone wrong. */
const trialMaxMs = 40_000;
/** The line is heard for this long before the first question, as in any call. */
const settleMs = 1500;

type Line = { readonly name: string; readonly noises: readonly Int16Array[] };
type Result = { readonly held: Held; readonly outcome: Outcome | undefined; readonly truth: Truth | undefined };

async function run(settings: {
  trials: number;
  noisy: number;
  callers: number;
  seed: number;
  json: string | undefined;
}): Promise<number> {
  const { seed } = settings;
  const report = new Report('Barge-in (SIMULATED providers, profile reference)', {
    trials: settings.trials,
    noisy: settings.noisy,
    callers: settings.callers,
    seed,
    snrDb,
  });
  const voice = await CallerVoice.load();
  const lines = await linesOf(voice, seed, report);
  const counts = lines.map((_, index) => (index === 0 ? settings.trials : settings.noisy));
  const stack = await Stack.start({
    profile: 'reference',
    seed,
    sessionsMax: settings.callers,
    agents: [plainAgent()],
    providers: 'simulated',
  });
  try {
    const beat = new Beat();
    const results: Result[][] = [];
    let first = 0;
    await stack.simulator?.registerClips(
      lines.flatMap(({ name, noises }) => noises.map((noise, at) => wordless(`${name} ${at}`, noise))),
    );
    for (const [index, line] of lines.entries()) {
      const trials = await prepare(stack, voice, first, counts[index]!, seed);
      first += trials.length;
      const helds = await holdAll(stack, beat, trials, line, settings.callers);
      results.push(await judge(stack, voice, helds));
    }
    const metrics = await stack.metrics();
    for (const [index, line] of lines.entries()) tell(report, line.name, results[index]!, index === 0, counts[index]!);
    report.section('the engine itself');
    const stage = (name: string, quantile: string): number => stageMs(metrics, name, quantile);
    report.fact(
      `decision_to_last_frame p50 ${stage('decision_to_last_frame', '0.5').toFixed(2)}, p99 ${stage('decision_to_last_frame', '0.99').toFixed(2)} ms; vad_lag p50 ${stage('vad_lag', '0.5').toFixed(1)}, p99 ${stage('vad_lag', '0.99').toFixed(1)} ms; stale frames dropped ${metrics.get('parley_frames_stale_total') ?? 0}`,
    );
    report.bar('decision to last frame, the engine’s own figure, p99', stage('decision_to_last_frame', '0.99'), 'at most', 5);
    if (stack.problems.length > 0)
      report.note(`the engine logged ${stack.problems.length} problems: ${JSON.stringify(stack.problems[0])}`);
    for (const complaint of stack.complaints.slice(0, 3)) report.note(`the engine wrote: ${complaint}`);
    report.lateness(beat.latenessUs.getValueAtPercentile(99) / 1000, beat.latenessUs.maxValue / 1000);
    report.details(
      results.map((each, index) => ({
        line: lines[index]!.name,
        trials: each.map(({ outcome, truth }) => ({ ...outcome, ...truth })),
      })),
    );
    return report.finish(settings.json);
  } finally {
    await stack.stop();
  }
}

async function linesOf(voice: CallerVoice, seed: number, report: Report): Promise<Line[]> {
  const made = [voice.babble(seed), officeNoise(seed)].map((noise) => noiseAt(noise, snrDb));
  const lines: Line[] = [
    { name: 'clean', noises: [] },
    { name: `noise made here (babble, office) at ${snrDb} dB`, noises: made },
  ];
  const files = recordedNoises();
  if (files.length === 0) {
    report.note('no recordings of noise beside the checkout (../shared/audio/noise): left out');
    return lines;
  }
  const clips = await Promise.all(files.map((file) => readClip(file)));
  lines.push({ name: `recorded noise at ${snrDb} dB`, noises: clips.map(({ samples }) => noiseAt(samples, snrDb)) });
  return lines;
}

/** Noise that the simulated recogniser knows to hold no words, so that it need not look for any. */
function wordless(id: string, noise: Int16Array): ClipRegistration {
  const pcmBase64 = Buffer.from(noise.buffer, noise.byteOffset, noise.byteLength).toString('base64');
  return { id, rateHz: 16000, pcmBase64, words: [] };
}

/** Registers what will be said and answered. */
async function prepare(stack: Stack, voice: CallerVoice, first: number, count: number, seed: number): Promise<Trial[]> {
  const random = randomOf(seed, 'instants', first);
  const phrases = new Map<string, Phrase>();
  const trials = Array.from({ length: count }, (_, index): Trial => {
    const topic = topicOf(first + index);
    const question = voice.phrase(`question ${topic}`, questionAbout(topic, index));
    const { text } = interruptions[index % interruptions.length]!;
    const phrase = phrases.get(text) ?? voice.phrase(`phrase ${text}`, text);
    phrases.set(text, phrase);
    const delayMs = Math.round(delayMinMs + random() * (delayMaxMs - delayMinMs));
    return { question, phrase, topic, answer: longAnswerAbout(topic, seed), delayMs };
  });
  const { simulator } = stack;
  await simulator?.registerClips([
    ...trials.map(({ question }) => question.registration),
    ...[...phrases.values()].map(({ registration }) => registration),
  ]);
  await simulator?.addAnswers(
    answersFor(
      trials.map(({ topic }) => topic),
      seed,
    ),
  );
  return trials;
}

/** Callers work the trials off, each its own share, in calls of their own. */
async function holdAll(stack: Stack, beat: Beat, trials: readonly Trial[], line: Line, callers: number): Promise<Held[]> {
  const held: Held[] = [];
  const shares = Array.from({ length: callers }, (_, index) => trials.filter((_trial, at) => at % callers === index));
  await Promise.all(
    shares.map(async (share, index) => {
      if (share.length === 0) return;
      const caller = await Caller.connect({ url: stack.url, beat });
      const hangUpTimer = setTimeout(() => void caller.hangUp(), share.length * trialMaxMs);
      const noise = line.noises[index % Math.max(1, line.noises.length)];
      const noisy = noise === undefined ? undefined : new NoisyLine(caller, stack.simulator, noise);
      try {
        // Callers begin at different instants of the 20 ms and of each other's turns.
        await caller.until(caller.nowMs + settleMs + 700 * index);
        for (const trial of share)
          if (caller.closed === undefined) held.push(await holdTrial(caller, trial, (said, phrase) => noisy?.said(said, phrase)));
      } finally {
        clearTimeout(hangUpTimer);
        await noisy?.stop();
        await caller.hangUp();
      }
    }),
  );
  return held;
}

async function judge(stack: Stack, voice: CallerVoice, helds: readonly Held[]): Promise<Result[]> {
  const journal = (await stack.simulator?.journal()) ?? [];
  const requests = (await stack.simulator?.llmRequests()) ?? [];
  return helds.map((held) => ({
    held,
    outcome: outcomeOf(held, stack.logOf(held.caller.conversationId)),
    truth: truthOf(held, journal, requests, voice.voice),
  }));
}

function tell(report: Report, name: string, results: readonly Result[], isClean: boolean, wanted: number): void {
  report.section(name);
  const outcomes = results.flatMap(({ outcome }) => outcome ?? []);
  const over = (pick: (outcome: Outcome) => number | undefined): number[] => outcomes.flatMap((outcome) => pick(outcome) ?? []);
  const since = (from: number | undefined, to: number | undefined): number | undefined =>
    from === undefined || to === undefined ? undefined : to - from;
  const atLeastZero = (value: number | undefined): number | undefined => (value === undefined ? undefined : Math.max(0, value));

  const hold = report.spread(
    'onset → HOLD',
    over(({ onsetAtMs, holdAtMs }) => since(onsetAtMs, holdAtMs)),
  );
  report.spread(
    'first voiced sample → HOLD',
    over(({ voicedAtMs, holdAtMs }) => since(voicedAtMs, holdAtMs)),
  );
  report.spread(
    'onset → CUT',
    over(({ onsetAtMs, verdictAtMs }) => since(onsetAtMs, verdictAtMs)),
  );
  report.spread(
    'HOLD → CUT',
    over(({ holdAtMs, verdictAtMs }) => since(holdAtMs, verdictAtMs)),
  );
  report.spread(
    'HOLD → last frame',
    over(({ holdAtMs, heldFrameAtMs }) => atLeastZero(since(holdAtMs, heldFrameAtMs))),
  );
  const cut = report.spread(
    'CUT → last frame',
    over(({ verdictAtMs, lastFrameAtMs }) => atLeastZero(since(verdictAtMs, lastFrameAtMs))),
  );
  const tail = report.spread(
    'HOLD → silence at the ear',
    over(({ holdAtMs, heldSilentAtMs }) => atLeastZero(since(holdAtMs, heldSilentAtMs))),
  );
  const cutTail = report.spread(
    'CUT → silence at the ear',
    over(({ verdictAtMs, silentAtMs }) => atLeastZero(since(verdictAtMs, silentAtMs))),
  );
  report.spread(
    'onset → silence at the ear',
    over(({ onsetAtMs, silentAtMs }) => since(onsetAtMs, silentAtMs)),
  );
  report.spread(
    'end of the interruption → answer audible',
    over(({ answeredAfterMs }) => answeredAfterMs),
  );

  const truths = results.flatMap(({ truth }) => truth ?? []);
  const near = truths.filter(({ correctedWords, heardWords }) => Math.abs(correctedWords - heardWords) <= 1).length;
  const exact = truths.filter(({ correctedWords, heardWords }) => correctedWords === heardWords).length;
  const yielded = outcomes.filter(({ verdictAtMs }) => verdictAtMs !== undefined).length;
  const held = outcomes.filter(({ holdAtMs }) => holdAtMs !== undefined).length;
  const understood = truths.filter(({ isUnderstood }) => isUnderstood).length;
  const answered = outcomes.filter(({ answeredAfterMs }) => answeredAfterMs !== undefined).length;
  const stale = outcomes.reduce((sum, { staleChunks }) => sum + staleChunks, 0);
  const callers = new Set(results.map(({ held: { caller } }) => caller));
  const problems = [...callers].flatMap(({ problems: each }) => each);
  const reasons = new Map<string, number>();
  for (const { reason } of outcomes) if (reason !== undefined) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);

  report.fact(
    `${outcomes.length} of ${wanted} answers were interrupted, ${yielded} yielded (${[...reasons].map(([reason, count]) => `${reason} ${count}`).join(', ')}), ${held} with a HOLD first`,
  );
  report.fact(
    `truth: within one word in ${near} of ${truths.length}, exact in ${exact}; played but not found in the source: ${truths.reduce((sum, { unknownSamples }) => sum + unknownSamples, 0)} samples`,
  );
  report.fact(
    `in the next request: ${truths.filter(({ isInRequest }) => isInRequest).length}; interrupting words understood ${understood}, answered ${answered}`,
  );
  for (const problem of problems.slice(0, 5)) report.note(`${name}: protocol: ${problem}`);

  if (isClean) {
    report.bar('clean: onset to HOLD p50', hold.p50, 'at most', 90);
    report.bar('clean: onset to HOLD p95', hold.p95, 'at most', 200);
    report.bar('clean: words as heard within ±1', near, 'at least', wanted, 'trials');
    report.bar(
      'clean: next request holds the corrected text',
      truths.filter(({ isInRequest }) => isInRequest).length,
      'at least',
      wanted,
      'trials',
    );
    report.bar('clean: yielded and answered', Math.min(yielded, answered), 'at least', wanted, 'trials');
    report.bar('clean: interrupting words understood', understood, 'at least', wanted, 'trials');
  }
  report.bar(`${name}: CUT to last frame p99`, cut.p99, 'at most', 5);
  report.bar(`${name}: HOLD to silence p95`, tail.p95, 'below', 100);
  report.bar(`${name}: CUT to silence p95`, cutTail.p95, 'below', 100);
  report.bar(`${name}: stale frames`, stale + problems.length, 'at most', 0, 'frames');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const settings = readFlags(usage, flags);
  if (settings !== undefined) process.exitCode = await run(settings);
}
