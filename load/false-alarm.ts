/**
 * `npm run bench:false-alarm`: a cough must not make the agent give up its turn. Callers ask, are given a long answer and cough into it; the
 * engine and SIMULATED providers run as processes of their own. A cough that raises a HOLD makes the answer stand still; then it must go on
 * where it was. What was heard is compared with the synthesiser's own samples: nothing may be missing, and what is said twice (the word
 * before a longer hole) stays within the stated rewind.
 *
 * Most coughs are no voice to the engine's detector and are ignored. So that standing still and going on is tried as well, the same is done with
 * sounds of a voice that are no words, short and longer ones, reported apart.
 *
 * After two false alarms in half a minute the engine asks for more evidence before it stands still, so later coughs are often ignored, which is
 * better still. Each call has one answer with three coughs, so most are first or second ones.
 */
import { Beat } from './beat.js';
import { Caller, type Said } from './caller.js';
import type { Clip } from './clip.js';
import { cough } from './cough.js';
import type { HeardReply } from './ear.js';
import type { Entry, LlmRequest } from './providers/journal.js';
import { randomOf } from './providers/seeded.js';
import { type CoughOutcome, coughOutcome } from './rig/coughs.js';
import { readFlags } from './rig/flags.js';
import { spokenAs } from './rig/interruptions.js';
import { CallerVoice, type Phrase } from './rig/phrases.js';
import { Report } from './rig/report.js';
import { gapsAndRepeats, heardUntil, Reference } from './rig/source.js';
import { messagesOf, plainAgent, Stack } from './rig/stack.js';
import { answersFor, longAnswerAbout, questionAbout, topicOf } from './rig/texts.js';

const usage = `Measures how the engine survives coughs over its answers, with SIMULATED providers.`;
const flags = {
  coughs: { fallback: 50, min: 1, max: 200, means: 'coughs' },
  grunts: { fallback: 24, min: 0, max: 60, means: 'sounds of a voice that are no words, of each length' },
  callers: { fallback: 4, min: 1, max: 16, means: 'calls at once' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of texts, instants and delays of the providers' },
};

const coughsPerAnswer = 3;
const firstCoughMs = 1500;
const coughEveryMs = 7000;
/** Each cough lies anywhere within this. */
const spreadMs = 900;
const settleMs = 1000;
const staggerMs = 600;
/** One that is over too soon to be a word, and one that might be one. */
const gruntsMs = [200, 420];
const answerWaitMs = 10_000;
const quietMs = 1500;
const replyMaxMs = 60_000;
/** What the engine says of itself: no more than this is said twice, and nothing after a hole up to the second. */
const rewindMaxMs = 600;
const holeWithoutRewindMs = 250;
const resumeMaxMs = 600;

type Call = {
  readonly plan: Plan;
  readonly caller: Caller;
  readonly reply: HeardReply | undefined;
  readonly coughs: readonly Said[];
};
type Judged = {
  readonly call: Call;
  readonly missing: number;
  readonly unknown: number;
  readonly heardToEnd: boolean;
  readonly coughs: readonly CoughOutcome[];
};
type Plan = {
  readonly kind: string;
  readonly clip: Clip;
  readonly topic: string;
  readonly question: Phrase;
  readonly offsetsMs: readonly number[];
};

async function run(settings: {
  coughs: number;
  grunts: number;
  callers: number;
  seed: number;
  json: string | undefined;
}): Promise<number> {
  const { seed, callers } = settings;
  const report = new Report('False alarms (SIMULATED providers, profile reference)', {
    coughs: settings.coughs,
    grunts: settings.grunts,
    callers,
    seed,
  });
  const voice = await CallerVoice.load();
  const kinds = [
    { clip: cough(), count: settings.coughs },
    ...gruntsMs.map((durationMs) => ({ clip: voice.grunt(durationMs), count: settings.grunts })),
  ].filter(({ count }) => count > 0);
  const plans = plansOf(voice, kinds, seed);
  const stack = await Stack.start({
    profile: 'reference',
    seed,
    sessionsMax: callers + 2,
    agents: [plainAgent()],
    providers: 'simulated',
  });
  try {
    await stack.simulator!.registerClips(plans.map(({ question }) => question.registration));
    await stack.simulator!.addAnswers(
      answersFor(
        plans.map(({ topic }) => topic),
        seed,
      ),
    );
    const beat = new Beat();
    const waiting = [...plans];
    const calls: Call[] = [];
    const worker = async (index: number): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, staggerMs * index));
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) calls.push(await hold(stack, beat, next));
    };
    await Promise.all(Array.from({ length: callers }, (_, index) => worker(index)));
    const journal = await stack.simulator!.journal();
    const requests = await stack.simulator!.llmRequests();
    const judged = calls.map((call) => judge(call, journal, stack, voice, seed));
    for (const { clip, count } of kinds) {
      const those = judged.filter(({ call }) => call.plan.clip === clip);
      const extra = requests.filter((request) => those.some(({ call }) => isAboutNothing(request, call.plan)));
      tell(report, clip.name, those, count, extra.length);
    }
    for (const complaint of stack.complaints.slice(0, 3)) report.note(`the engine wrote: ${complaint}`);
    if (stack.problems.length > 0)
      report.note(`the engine logged ${stack.problems.length} problems: ${JSON.stringify(stack.problems[0])}`);
    report.lateness(beat.latenessUs.getValueAtPercentile(99) / 1000, beat.latenessUs.maxValue / 1000);
    report.details(judged.map(({ call, ...rest }) => ({ sound: call.plan.kind, topic: call.plan.topic, ...rest })));
    return report.finish(settings.json);
  } finally {
    await stack.stop();
  }
}

function plansOf(voice: CallerVoice, kinds: readonly { clip: Clip; count: number }[], seed: number): Plan[] {
  const random = randomOf(seed, 'coughs');
  const plans: Plan[] = [];
  for (const { clip, count } of kinds) {
    for (let made = 0; made < count; made += coughsPerAnswer) {
      const topic = topicOf(plans.length);
      const question = voice.phrase(`question ${topic}`, questionAbout(topic, plans.length));
      const offsetsMs = Array.from({ length: Math.min(coughsPerAnswer, count - made) }, (_, at) => {
        return firstCoughMs + at * coughEveryMs + Math.round(random() * spreadMs);
      });
      plans.push({ kind: clip.name, clip, topic, question, offsetsMs });
    }
  }
  return plans;
}

function judge(call: Call, journal: readonly Entry[], stack: Stack, voice: CallerVoice, seed: number): Judged {
  const { caller, reply, plan } = call;
  if (reply === undefined) return { call, missing: 0, unknown: 0, heardToEnd: false, coughs: [] };
  const spoken = spokenAs(longAnswerAbout(plan.topic, seed), journal, voice.voice);
  const reference = new Reference(spoken.audio);
  // An interruption that is taken back goes on as another reply, from the same audio.
  const played = caller.ear.runs.filter(({ eventId }) => caller.ear.replies.get(eventId)?.onsetMs !== undefined);
  const heard = reference.find(caller.heardLane(), played);
  const log = stack.logOf(caller.conversationId);
  return {
    call,
    missing: gapsAndRepeats(heard, spoken.audio.length).missing,
    unknown: heard.unknownSamples,
    heardToEnd: spoken.audio.length > 0 && heardUntil(heard) === spoken.audio.length,
    coughs: call.coughs.map((said, at) => coughOutcome(caller, said, at + 1, heard, log)),
  };
}

/** One call: a question, its answer heard out, coughs on the way. */
async function hold(stack: Stack, beat: Beat, plan: Plan): Promise<Call> {
  const caller = await Caller.connect({ url: stack.url, beat });
  try {
    const asked = caller.say(plan.question.clip, caller.nowMs + settleMs);
    const reply = await caller.onset(asked.speechStartMs, asked.speechEndMs - caller.nowMs + answerWaitMs);
    if (reply === undefined) return { plan, caller, reply, coughs: [] };
    const coughs = plan.offsetsMs.map((offsetMs) => caller.say(plan.clip, reply.onsetMs! + offsetMs));
    await caller.until(coughs.at(-1)?.speechEndMs ?? 0);
    await caller.waitFor(() => (isQuiet(caller) ? true : undefined), replyMaxMs);
    return { plan, caller, reply, coughs };
  } finally {
    await caller.hangUp();
  }
}

/** A request in the call of `plan` whose last words are not its question. */
function isAboutNothing(request: LlmRequest, plan: Plan): boolean {
  const users = messagesOf(request).filter(({ role }) => role === 'user');
  return users.some(({ content }) => content.includes(plan.topic)) && users.at(-1)?.content.includes(plan.topic) === false;
}

/** Nothing has been audible for a while. */
function isQuiet(caller: Caller): boolean {
  const lasts = [...caller.ear.replies.values()].map(({ lastAudibleMs }) => lastAudibleMs ?? 0);
  return caller.nowMs - Math.max(...lasts) >= quietMs && caller.ear.queuedMs === 0;
}

function tell(report: Report, name: string, judged: readonly Judged[], wanted: number, requests: number): void {
  const sounds = judged.flatMap(({ coughs }) => coughs);
  const held = sounds.filter(({ isHeld }) => isHeld);
  const paused = sounds.filter(({ holeMs }) => holeMs > 0);
  report.section(`${sounds.length} times: ${name}`);
  report.spread(
    'its first sample → HOLD',
    sounds.flatMap(({ onsetToHoldMs }) => onsetToHoldMs ?? []),
  );
  report.spread(
    'hole: nothing was played',
    held.map(({ holeMs }) => holeMs),
  );
  const resumed = report.spread(
    'its last sample → the answer goes on',
    paused.flatMap(({ resumedAfterMs }) => resumedAfterMs ?? []),
  );
  const repeats = report.spread(
    'heard twice',
    held.map(({ repeatedMs }) => repeatedMs),
  );
  const skips = report.spread(
    'never heard',
    sounds.map(({ skippedMs }) => skippedMs),
  );
  for (const ordinal of [1, 2, 3]) {
    const those = sounds.filter((each) => each.ordinal === ordinal);
    const held = those.filter(({ isHeld }) => isHeld).length;
    const holes = those.filter(({ holeMs }) => holeMs > 0).length;
    report.fact(
      `${ordinal}. of an answer: ${those.length}; ${held} raised a HOLD, ${holes} made a hole, ${those.length - held} ignored`,
    );
  }
  const verdicts = new Map<string, number>();
  for (const { verdict } of held) verdicts.set(verdict ?? 'none', (verdicts.get(verdict ?? 'none') ?? 0) + 1);
  const unknown = judged.reduce((sum, each) => sum + each.unknown, 0);
  report.fact(`verdicts: ${[...verdicts].map(([verdict, count]) => `${verdict} ${count}`).join(', ') || 'none'}`);
  report.fact(`${judged.length} answers; played but not found in the source: ${unknown} samples`);

  const goneOn = judged.filter(({ heardToEnd }) => heardToEnd).flatMap(({ coughs }) => coughs);
  const wrongRewinds = held.filter(({ holeMs, repeatedMs }) => holeMs <= holeWithoutRewindMs && repeatedMs > 0);
  const missing = judged.reduce((sum, each) => sum + each.missing, 0);
  const takenBack = sounds.filter(({ isInterrupted }) => isInterrupted).length;
  const problems = judged.flatMap(({ call }) => call.caller.problems);
  report.bar(`${name}: the answer went on to its end`, goneOn.length, 'at least', wanted, 'times');
  if (name === 'cough') report.bar(`${name}: told as an interruption`, takenBack, 'at most', 0, 'times');
  else report.fact(`told as an interruption, which was taken back: ${takenBack}`);
  report.bar(`${name}: never heard, of all answers`, missing, 'at most', 0, 'samples');
  report.bar(`${name}: never heard, most at once`, skips.max, 'at most', 0);
  report.bar(`${name}: heard twice, most at once`, held.length === 0 ? 0 : repeats.max, 'at most', rewindMaxMs);
  report.bar(
    `${name}: heard twice although the hole was at most ${holeWithoutRewindMs} ms`,
    wrongRewinds.length,
    'at most',
    0,
    'times',
  );
  if (paused.length > 0) report.bar(`${name}: its end to the answer going on, p50`, resumed.p50, 'at most', resumeMaxMs);
  report.bar(
    `${name}: requests to the model because of it, protocol problems`,
    requests + problems.length,
    'at most',
    0,
    'times',
  );
  for (const problem of problems.slice(0, 3)) report.note(problem);
}

const settings = readFlags(usage, flags);
if (settings !== undefined) process.exitCode = await run(settings);
