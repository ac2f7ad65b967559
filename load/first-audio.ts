/**
 * `npm run bench:first-audio`: from the end of the caller's speech to the first audio of the answer, and how much of that is the engine's own.
 * One caller, the engine and SIMULATED providers as processes of their own, all on one monotonic clock.
 *
 * End of speech: the clip's last sample above its peak minus 45 dB. First audio: arrival of the first audio event at the caller; audible:
 * the first sample that its ear plays above -50 dBFS. What lies between is divided, by the instants of whoever knows them best:
 *
 *   endpointing   from the end of speech until the client could have sent the last sample of the silence that the engine waits for by rule:
 *                 the pause that makes it ask for a transcript, what is left then of the pause that makes it ask the model (both by the input
 *                 clock of the hop that completed them), or, when that comes later, the endpoint delay (rounded up to the detector's next hop
 *                 of 32 ms). The caller's own 20 ms frame is in it; that the detector judged the hop late is not.
 *   providers     by the simulator's journal, each from the whole request received to the byte that mattered: the transcript's bytes, the
 *                 token that completed the first piece of speech, the first byte of its audio. The simulated network is in it.
 *   overhead      the rest, until the engine handed the first frame to the socket: waking up, detector, SDKs, HTTP, parsing, segmenter, pacer,
 *                 and whatever the machine did meanwhile.
 */
import { inputRateHz } from '../src/shared/units.js';
import { Beat } from './beat.js';
import { Caller, type Said } from './caller.js';
import type { HeardReply } from './ear.js';
import type { Entry } from './providers/journal.js';
import { readFlags } from './rig/flags.js';
import { CallerVoice } from './rig/phrases.js';
import { percentile, Report } from './rig/report.js';
import { type LogLine, plainAgent, Stack } from './rig/stack.js';

const usage = `Measures how soon the engine answers, with SIMULATED providers of the profile reference.`;
const flags = {
  turns: { fallback: 20, min: 1, max: 200, means: 'questions asked' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of the delays of the providers' },
};

const texts = [
  'Hello there.',
  'Can you help me?',
  'I need a taxi.',
  'What time is it?',
  'Is the library open today?',
  'Book a table for two.',
  'How far is the airport from here?',
  'My train leaves in twenty minutes.',
  'I would like to change my appointment.',
  'Where can I buy fresh bread?',
  'Tell me the weather for tomorrow morning.',
  'Thanks, that was all.',
  'Which bus goes to the market?',
  'Please send the letter to my office.',
  'Did anybody call me this afternoon?',
  'The kitchen light is broken again.',
  'How long does the journey usually take?',
  'I lost my blue umbrella yesterday.',
  'Could you repeat the last number?',
  'Remind me to water the plants.',
];
const answers = [
  'Sure, I can help you with that. One moment please.',
  'Of course, let me have a look at it. It takes a second.',
  'Yes, that should not be a problem at all. Anything else?',
  'I made a note of it for you. You will get a message soon.',
  'Good question, and the answer is fairly simple. It is the second one.',
];

const pauseMs = 400;
const quietMs = 700;
const answerWaitMs = 8000;
const replyMaxMs = 30_000;
const hopMs = 32;
const samplesPerMs = inputRateHz / 1000;

type Turn = { readonly text: string; readonly said: Said; readonly reply: HeardReply | undefined };

/** One turn divided; instants on the monotonic clock, durations in ms. */
type Parts = {
  readonly text: string;
  readonly steps: readonly { readonly name: string; readonly ms: number }[];
  readonly totalMs: number;
  readonly endpointingMs: number;
  readonly providersMs: number;
  readonly overheadMs: number;
};

async function run(settings: { turns: number; seed: number; json: string | undefined }): Promise<number> {
  const { seed, turns: turnCount } = settings;
  const report = new Report('First audio (SIMULATED providers, profile reference)', { turns: turnCount, seed });
  const voice = await CallerVoice.load();
  const stack = await Stack.start({ profile: 'reference', seed, sessionsMax: 2, agents: [plainAgent()], providers: 'simulated' });
  try {
    const phrases = Array.from({ length: turnCount }, (_, index) => voice.phrase(`turn ${index}`, texts[index % texts.length]!));
    await stack.simulator!.registerClips(phrases.map(({ registration }) => registration));
    const scripted = texts.map((match, index) => ({ match: match.replace(/[.?]$/, ''), text: answers[index % answers.length]! }));
    await stack.simulator!.addAnswers([...scripted, { match: '*', text: answers[0]! }]);
    const beat = new Beat();
    const caller = await Caller.connect({ url: stack.url, beat });
    const turns: Turn[] = [];
    await caller.until(caller.nowMs + 1000);
    for (const [index, { clip, text }] of phrases.entries()) {
      // An odd step, so that turns begin at all places of frames and hops.
      const said = caller.say(clip, caller.nowMs + pauseMs + ((index * 7.3) % 32));
      const reply = await caller.onset(said.speechStartMs, said.speechEndMs - caller.nowMs + answerWaitMs);
      if (reply !== undefined) await caller.endOf(reply, quietMs, replyMaxMs);
      turns.push({ text, said, reply });
      if (caller.closed !== undefined) break;
    }
    await caller.hangUp();
    const journal = await stack.simulator!.journal();
    const tokenMs = 1000 / (await stack.simulator!.tokensPerSecond());
    const log = stack.logOf(caller.conversationId);
    const parts = turns.flatMap((turn) => partsOf(turn, caller, log, journal, tokenMs) ?? []);
    tell(report, turns, turnCount, parts);
    for (const problem of [...caller.problems, ...stack.complaints].slice(0, 5)) report.note(problem);
    if (stack.problems.length > 0)
      report.note(`the engine logged ${stack.problems.length} problems: ${JSON.stringify(stack.problems[0])}`);
    report.lateness(beat.latenessUs.getValueAtPercentile(99) / 1000, beat.latenessUs.maxValue / 1000);
    report.details(parts);
    return report.finish(settings.json);
  } finally {
    await stack.stop();
  }
}

function tell(report: Report, turns: readonly Turn[], wanted: number, parts: readonly Parts[]): void {
  const heard = turns.flatMap(({ said, reply }) => (reply === undefined ? [] : [{ said, reply }]));
  report.section('end of speech → answer');
  const received = report.spread(
    'first audio received',
    heard.map(({ said, reply }) => reply.firstChunkAtMs - said.speechEndMs),
  );
  const audible = report.spread(
    'first audible at the ear',
    heard.map(({ said, reply }) => reply.onsetMs! - said.speechEndMs),
  );
  report.section('of which, until the first frame was handed to the socket');
  report.spread(
    'endpointing',
    parts.map(({ endpointingMs }) => endpointingMs),
  );
  report.spread(
    'providers',
    parts.map(({ providersMs }) => providersMs),
  );
  const overhead = report.spread(
    'engine’s own overhead',
    parts.map(({ overheadMs }) => overheadMs),
  );
  const names = [...new Set(parts.flatMap(({ steps }) => steps.map(({ name }) => name)))];
  report.section('step by step');
  for (const name of names) {
    const steps = parts.flatMap(({ steps: each }) => each.filter((step) => step.name === name));
    report.spread(
      name,
      steps.map(({ ms }) => ms),
    );
  }
  const sorted = [...parts].sort((a, b) => a.totalMs - b.totalMs);
  waterfall(report, 'the median turn', sorted[(sorted.length - 1) >> 1]);
  waterfall(report, 'the worst turn', sorted.at(-1));
  waterfall(report, 'the turn with the most overhead', [...parts].sort((a, b) => a.overheadMs - b.overheadMs).at(-1));
  report.bar('turns answered', heard.length, 'at least', wanted, 'turns');
  report.bar('turns of which every instant is known', parts.length, 'at least', wanted, 'turns');
  report.bar('first audio received p50', received.p50, 'at most', 1000);
  report.bar('first audio received p95', received.p95, 'at most', 1500);
  report.bar('first audible p50', audible.p50, 'at most', 1000);
  report.bar('first audible p95', audible.p95, 'at most', 1500);
  report.bar('engine’s own overhead p99', overhead.p99, 'at most', 20);
  report.bar(
    'no answer before the end of speech',
    percentile(
      heard.map(({ said, reply }) => reply.onsetMs! - said.speechEndMs),
      0,
    ),
    'at least',
    0,
  );
}

function waterfall(report: Report, title: string, parts: Parts | undefined): void {
  if (parts === undefined) return;
  report.section(`${title}: “${parts.text}”, ${parts.totalMs.toFixed(0)} ms`);
  const scale = 60 / Math.max(1, parts.totalMs);
  let atMs = 0;
  for (const { name, ms } of parts.steps) {
    const bar = `${' '.repeat(Math.round(Math.max(0, atMs) * scale))}${'█'.repeat(Math.max(1, Math.round(ms * scale)))}`;
    report.fact(`${name.padEnd(50)}${ms.toFixed(1).padStart(8)} ms  ${bar}`);
    atMs += ms;
  }
}

function partsOf(
  turn: Turn,
  caller: Caller,
  log: readonly LogLine[],
  journal: readonly Entry[],
  tokenMs: number,
): Parts | undefined {
  const { said, reply, text } = turn;
  if (reply === undefined) return undefined;
  const zero = caller.openedAtMonotonicMs;
  const endAtMs = zero + said.speechEndMs;
  const answered = log.find(
    ({ event, firstFrame_at_ms: atMs }) =>
      event === 'turn.answered' && Number(atMs) > endAtMs && Number(atMs) < zero + reply.onsetMs! + 1,
  );
  const committed = log.find(({ event, turn: number }) => event === 'turn.committed' && number === answered?.['turn']);
  if (answered === undefined || committed === undefined) return undefined;
  const instant = (name: string): number => Number(answered[`${name}_at_ms`] ?? Number.NaN);
  const firstFrameAtMs = instant('firstFrame');
  /** When a client that is never late has sent everything up to that instant of the engine's input clock. */
  const sentAtMs = (inputMs: number): number => {
    const frameMs = 20;
    return zero + caller.microphone.firstSample / samplesPerMs + Math.ceil(inputMs / frameMs) * frameMs;
  };
  /** When the engine could know of so much silence. */
  const dueAfterMs = (silenceMs: number): number =>
    sentAtMs(Math.ceil((Number(committed['last_speech_ms']) + silenceMs) / hopMs) * hopMs);
  const totalMs = firstFrameAtMs - endAtMs;
  const finish = (steps: { name: string; ms: number }[], endpointingMs: number, providersMs: number): Parts => {
    return { text, steps, totalMs, endpointingMs, providersMs, overheadMs: totalMs - endpointingMs - providersMs };
  };

  if (instant('firstChunk') < instant('committed')) {
    const dueAtMs = dueAfterMs(Number(committed['delay_ms']));
    const steps = [
      { name: 'endpoint delay', ms: dueAtMs - endAtMs },
      { name: 'engine: commits and sends', ms: firstFrameAtMs - dueAtMs },
    ];
    return finish(steps, dueAtMs - endAtMs, 0);
  }

  // A transcript leaves in one piece; `lastByte` is written down only after that, perhaps after the engine has read it.
  const done = ({ atMonotonicMs }: Entry): number => atMonotonicMs.firstByte ?? Number.NaN;
  const stt = journal
    .filter((entry) => entry.endpoint === 'stt' && done(entry) <= instant('finalAnswered'))
    .sort((a, b) => done(a) - done(b))
    .at(-1);
  const llm = journal.find(
    ({ endpoint, atMonotonicMs }) => endpoint === 'llm' && atMonotonicMs.received >= instant('llmAsked') - 1,
  );
  const tts = journal.find(
    ({ endpoint, atMonotonicMs }) => endpoint === 'tts' && atMonotonicMs.received >= instant('firstSegment') - 1,
  );
  if (stt === undefined || llm === undefined || tts === undefined) return undefined;
  const pauseAtMs = sentAtMs(Number(answered['final_through_ms']));
  const tokenAtMs = segmentTokenAtMs(llm, tts.text ?? '', tokenMs);
  const [sttFrom, sttTo] = [stt.atMonotonicMs.complete ?? Number.NaN, done(stt)];
  const llmFrom = llm.atMonotonicMs.complete ?? Number.NaN;
  const isAskedAtCommit = instant('llmAsked') >= instant('committed');
  const delayedAtMs = isAskedAtCommit ? dueAfterMs(Number(committed['delay_ms'])) : 0;
  const mayAskAtMs = Math.max(sttTo, sentAtMs(Number(answered['pause_through_ms'])), delayedAtMs);
  // Another sound came after the question to the model, and the pause that is known is the one behind that.
  if (mayAskAtMs > llmFrom) return undefined;
  const [ttsFrom, ttsTo] = [tts.atMonotonicMs.received, tts.atMonotonicMs.firstByte ?? Number.NaN];
  const steps = [
    { name: 'pause waited for', ms: pauseAtMs - endAtMs },
    { name: 'engine: notices it, asks for the transcript', ms: sttFrom - pauseAtMs },
    { name: 'recognition', ms: sttTo - sttFrom },
    { name: 'rest of the pause before the model is asked', ms: mayAskAtMs - sttTo },
    { name: 'engine: transcript to model', ms: llmFrom - mayAskAtMs },
    { name: 'model, until the first piece is complete', ms: tokenAtMs - llmFrom },
    { name: 'engine: tokens to synthesiser', ms: ttsFrom - tokenAtMs },
    { name: 'synthesis, until its first byte', ms: ttsTo - ttsFrom },
    { name: 'engine: audio to socket', ms: firstFrameAtMs - ttsTo },
  ];
  if (steps.some(({ ms }) => Number.isNaN(ms))) return undefined;
  return finish(steps, pauseAtMs - endAtMs + mayAskAtMs - sttTo, sttTo - sttFrom + tokenAtMs - llmFrom + ttsTo - ttsFrom);
}

/** When the token left that shows where `piece`, the beginning of the reply, ends: the one that holds the character after it, or the last. */
function segmentTokenAtMs(llm: Entry, piece: string, tokenMs: number): number {
  const tokens = (llm.text ?? '').match(/\s*\S{1,8}|\s+$/g) ?? [];
  const pieceLength = piece.trim().length;
  let length = 0;
  let index = tokens.findIndex((token) => {
    length += token.length;
    return length > pieceLength;
  });
  if (index < 0) index = tokens.length - 1;
  const { planned, firstByte } = llm.atMonotonicMs;
  return Math.max(firstByte ?? Number.NaN, (planned ?? Number.NaN) + index * tokenMs);
}

const settings = readFlags(usage, flags);
if (settings !== undefined) process.exitCode = await run(settings);
