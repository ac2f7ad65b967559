/**
 * What a caller hears and receives when a provider fails or a caller misbehaves: the real engine against the simulated providers, each group
 * of cases with an engine of its own, all groups at once. Samples are compared with those of the voice itself.
 */
import { t as file, type Test, test } from 'tap';
import { Beat } from '../../load/beat.js';
import { Caller } from '../../load/caller.js';
import { type Clip, clipOf } from '../../load/clip.js';
import { registerClips } from '../../load/providers/control.js';
import type { Fault } from '../../load/providers/faults.js';
import type { Entry } from '../../load/providers/journal.js';
import { Dealer, profiles } from '../../load/providers/profile.js';
import { defaultStyle, loadVoice } from '../../load/providers/voice.js';
import { Client, type Received, type Stack, startStack, testAgents } from '../support/engine.js';

const timeoutMs = 60_000;
file.setTimeout(timeoutMs);

const apology = /^Sorry, something went wrong/;
const samplesPerMs = 16;
const sentence = 'Seven boats came home late.';
const steadyText = Array.from({ length: 12 }, (_, index) => `This is line ${index + 1} of a call that nothing disturbs.`).join(
  ' ',
);

const quiet = testAgents.find((agent) => agent.agent_id === 'quiet')!;
const quietWith = (agentId: string, more: Record<string, unknown>): object => ({
  agent_id: agentId,
  conversation_config: { ...quiet.conversation_config, ...more },
});

/** Orders faults of the simulated providers, in place of those that are left. */
function order(stack: Stack, ...faults: Fault[]): void {
  stack.providers.services.faults.clear();
  for (const fault of faults) stack.providers.services.faults.add(fault);
}

/** Resolves when the metrics match. */
async function metricOf(stack: Stack, pattern: RegExp): Promise<void> {
  for (let round = 0; round < 100; round++) {
    if (pattern.test(await (await fetch(`${stack.http}/metrics`)).text())) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the metrics never showed ${pattern}`);
}

const samplesOf = (items: readonly Received[]): Int16Array => {
  const bytes = items
    .filter((item) => item.type === 'audio')
    .map((item) => Buffer.from(String(item.body['audio_event']!['audio_base_64']), 'base64'));
  const all = Buffer.concat(bytes);
  return new Int16Array(all.buffer, all.byteOffset, all.length >> 1).slice();
};

/** The audio of the reply with this event id so far. */
const heard = (client: Client, eventId: unknown): Int16Array =>
  samplesOf(client.received.filter((item) => item.type === 'audio' && item.body['audio_event']!['event_id'] === eventId));

async function voiceOf(stack: Stack, text: string): Promise<Int16Array> {
  return (await stack.providers.services.voice.speak(text, defaultStyle)).audio;
}

function joined(parts: readonly Int16Array[]): Int16Array {
  const all = new Int16Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const isPrefix = (part: Int16Array, whole: Int16Array): boolean =>
  part.length <= whole.length && part.every((sample, index) => sample === whole[index]);

/** The apology could not be spoken either, for the `times`th time. */
const apologyUnheard = (client: Client, times: number): Promise<true> =>
  client.until(() => {
    const corrections = client.received.filter(
      (item) =>
        item.type === 'agent_response_correction' &&
        Object.values(item.body).some((part) => apology.test(String(part['original_agent_response']))),
    );
    return corrections.length >= times ? true : undefined;
  });

type Turn = { readonly text: string; readonly eventId: unknown };

/** One typed turn: its answer's text. Answers before it are not looked at. */
async function ask(client: Client, text: string): Promise<Turn> {
  const before = client.types().filter((type) => type === 'agent_response').length;
  client.send({ type: 'user_message', text });
  const answer = await client.event('agent_response', before);
  return { text: String(answer['agent_response']), eventId: answer['event_id'] };
}

async function heardOut(client: Client, turn: Turn): Promise<Int16Array> {
  await client.until(() =>
    client.received.find(
      (item) =>
        item.type === 'agent_response_complete' && Object.values(item.body).some((part) => part['event_id'] === turn.eventId),
    ),
  );
  return heard(client, turn.eventId);
}

const firstAudio = (client: Client, turn: Turn): Promise<true> =>
  client.until(() => (heard(client, turn.eventId).length > 0 ? true : undefined));

/** A call that talks all the time beside the others, and what it must look like at the end. */
async function startSteady(stack: Stack): Promise<(t: Test) => Promise<void>> {
  const client = await Client.open(stack, 'steady');
  await client.event('audio');
  return async (t) => {
    const frames = client.received.filter((item) => item.type === 'audio');
    let playEndMs = frames[0]!.atMs;
    let worstMs = 0;
    for (const frame of frames) {
      worstMs = Math.max(worstMs, frame.atMs - playEndMs);
      playEndMs = Math.max(playEndMs, frame.atMs) + samplesOf([frame]).length / samplesPerMs;
    }
    t.ok(worstMs < 250, `the call beside had holes of at most ${Math.round(worstMs)} ms in ${frames.length} frames`);
    const pieces = stack.providers.services.journal
      .entries(0)
      .filter((entry) => entry.endpoint === 'tts' && steadyText.includes(entry.text?.trim() ?? '-'))
      .map((entry) => voiceOf(stack, entry.text!));
    t.ok(isPrefix(samplesOf(frames), joined(await Promise.all(pieces))), 'and every sample of the voice once');
    t.notOk(client.types().includes('error'));
    await client.close();
  };
}

const extraAgents = [
  quietWith('steady', { agent: { first_message: steadyText } }),
  quietWith('idle', { turn: { turn_timeout: 1 } }),
  ...Array.from({ length: 8 }, (_, index) => quietWith(`voice${index}`, { tts: { voice_id: `voice-${index}` } })),
];

async function start(t: Test): Promise<Stack> {
  const stack = await startStack({ PARLEY_SESSIONS_MAX: '8', PARLEY_LANES: '1' }, extraAgents);
  t.teardown(() => stack.stop());
  stack.providers.services.answers.add({ match: '*', text: sentence });
  return stack;
}

/** After a failure the same call is answered again, in full. */
async function answersAgain(t: Test, stack: Stack, client: Client): Promise<void> {
  order(stack);
  const turn = await ask(client, 'And now?');
  t.equal(turn.text, sentence, 'the next turn is answered');
  await firstAudio(client, turn);
}

const language = async (t: Test): Promise<void> => {
  const stack = await start(t);
  // One after the other, so that there is a middle.
  stack.providers.services.dealer = new Dealer({ ...profiles.instant, tokensPerSecond: 100 }, 1);
  const checkSteady = await startSteady(stack);
  const cases: readonly { readonly name: string; readonly fault: Omit<Fault, 'endpoint'>; readonly says: RegExp | string }[] = [
    { name: 'refused once', fault: { kind: 'refuse' }, says: sentence },
    // A connection that was kept open and is found dead is no attempt.
    { name: 'refused again', fault: { kind: 'refuse', times: 4 }, says: apology },
    { name: 'status 500 once', fault: { kind: 'status', status: 500 }, says: sentence },
    { name: 'status 500 twice', fault: { kind: 'status', status: 500, times: 2 }, says: apology },
    { name: 'status 401', fault: { kind: 'status', status: 401 }, says: apology },
    { name: 'status 429', fault: { kind: 'status', status: 429 }, says: apology },
    { name: 'late by 1 s', fault: { kind: 'stall', ms: 1000, position: 'first' }, says: sentence },
    { name: 'stalled before the first token', fault: { kind: 'stall', ms: 30_000, position: 'first' }, says: apology },
    {
      name: 'stalled in the middle',
      fault: { kind: 'stall', ms: 30_000, position: 'middle' },
      says: /^Seven.* lost my thread there\.$/,
    },
    { name: 'closed in the middle', fault: { kind: 'close', position: 'middle' }, says: /^Seven.* lost my thread there\.$/ },
    { name: 'closed before the first token, always', fault: { kind: 'close', position: 'first', times: 4 }, says: apology },
    { name: 'garbage', fault: { kind: 'garbage' }, says: apology },
    { name: 'an end without its mark', fault: { kind: 'missing_done' }, says: sentence },
  ];
  for (const { name, fault, says } of cases) {
    const client = await Client.open(stack, 'quiet');
    order(stack, { endpoint: 'llm', ...fault });
    const turn = await ask(client, `Tell me (${name}).`);
    t.match(turn.text, says, `${name}: ${turn.text}`);
    await firstAudio(client, turn);
    await answersAgain(t, stack, client);
    t.notOk(client.types().includes('error'), `${name}: no error event`);
    await client.close();
  }
  const client = await Client.open(stack, 'quiet');
  order(stack, { endpoint: 'llm', kind: 'refuse', times: 1000 });
  for (const round of [1, 2]) t.match((await ask(client, `try ${round}`)).text, apology);
  client.send({ type: 'user_message', text: 'try 3' });
  t.match(await client.event('error'), { error_type: 'llm_error', code: 1002, message: /language model/ });
  t.match(await client.closed, { code: 1002, reason: /language model/ });
  await checkSteady(t);
};

/** Text and audio of one reply against what the voice says of the texts that were asked for. */
async function compare(t: Test, stack: Stack, name: string, audio: Int16Array, since: number): Promise<void> {
  const entries = stack.providers.services.journal.entries(since).filter((entry) => entry.endpoint === 'tts');
  const broken = entries.findIndex((entry) => entry.fault === 'close' || entry.fault === 'stall');
  const first = entries[broken];
  const rest = entries.slice(broken + 1).filter((entry: Entry) => entry.text !== undefined);
  if (first === undefined || rest.length === 0) {
    t.fail(`${name}: the rest was not asked for`);
    return;
  }
  const tail = joined(await Promise.all(rest.map((entry) => voiceOf(stack, entry.text!))));
  const whole = await stack.providers.services.voice.speak(first.text!, defaultStyle);
  const restText = rest.map((entry) => entry.text!.trim()).join(' ');
  t.ok(first.text!.trim().endsWith(restText), `${name}: "${restText}" is said again`);
  const charIndex = first.text!.indexOf(restText);
  const headSamples = Math.round(whole.chars.startMs[charIndex]! * samplesPerMs);
  const head = audio.subarray(0, audio.length - tail.length);
  t.ok(isPrefix(head, whole.audio), `${name}: what was heard before is the voice`);
  // The pause between two words may be lost, half a word not.
  const pauseMs = (headSamples - head.length) / samplesPerMs;
  t.ok(pauseMs >= 0 && pauseMs <= 100, `${name}: up to the word that follows, but for ${pauseMs} ms of silence`);
  const isOnce = audio.length - head.length === tail.length && isPrefix(tail, audio.subarray(head.length));
  t.ok(isOnce, `${name}: and the rest follows once`);
}

type TtsFault = readonly [string, Omit<Fault, 'endpoint'>];

const earlyFaults: readonly TtsFault[] = [
  ['lost before the first audio', { kind: 'refuse' }],
  ['closed before the first audio', { kind: 'close', position: 'first' }],
  ['stalled before the first audio', { kind: 'stall', ms: 30_000, position: 'first' }],
  ['garbage', { kind: 'garbage' }],
  ['an end without audio', { kind: 'final_without_audio' }],
];
const oddAnswers: readonly TtsFault[] = [
  ['late by 1.5 s in the middle', { kind: 'stall', ms: 1500, position: 'middle' }],
  ['samples cut in two', { kind: 'split_samples' }],
  ['no alignment', { kind: 'null_alignment' }],
  ['no word of the end', { kind: 'missing_final' }],
];

/** Faults of which the caller hears nothing. */
const synthesisHealed = async (t: Test, faults: readonly TtsFault[]): Promise<void> => {
  const stack = await start(t);
  const whole = await voiceOf(stack, `${sentence} `);
  const client = await Client.open(stack, 'quiet');
  for (const [name, fault] of faults) {
    order(stack, { endpoint: 'tts', ...fault });
    const turn = await ask(client, `Tell me (${name}).`);
    t.equal(turn.text, sentence);
    const audio = await heardOut(client, turn);
    t.equal(audio.length, whole.length, `${name}: as long as the voice`);
    t.ok(isPrefix(audio, whole), `${name}: sample for sample`);
  }
  t.notOk(client.types().includes('error'));
  await client.close();
};

const synthesisMiddle = async (t: Test): Promise<void> => {
  const stack = await start(t);
  stack.providers.services.answers.add({ match: 'long words', text: 'Extraordinarily unaccommodating.' });
  const client = await Client.open(stack, 'quiet');
  for (const [name, fault] of [
    ['closed inside a word of long words', { kind: 'close', position: 'middle' }],
    ['closed in the middle', { kind: 'close', position: 'middle' }],
    ['stalled in the middle', { kind: 'stall', position: 'middle', ms: 30_000 }],
  ] as const) {
    const since = stack.providers.services.journal.entries(0).at(-1)?.number ?? 0;
    order(stack, { endpoint: 'tts', ...fault });
    const turn = await ask(client, `Tell me (${name}).`);
    await compare(t, stack, name, await heardOut(client, turn), since);
  }
  t.notOk(client.types().includes('error'));
  await client.close();
};

const synthesisForGood = async (t: Test): Promise<void> => {
  const stack = await start(t);
  const whole = await voiceOf(stack, `${sentence} `);
  const client = await Client.open(stack, 'quiet');
  order(stack, { endpoint: 'tts', kind: 'close', position: 'middle', times: 2 });
  const turn = await ask(client, 'Tell me (broken twice).');
  const answersBefore = client.types().filter((type) => type === 'agent_response').length;
  const part = await heardOut(client, turn);
  t.ok(part.length > 0 && part.length < whole.length, 'half of it was heard');
  const correction = await client.event('agent_response_correction');
  const kept = String(correction['corrected_agent_response']);
  t.ok(kept !== '' && sentence.startsWith(kept) && kept.length < sentence.length, `"${kept}" was heard`);
  const sorry = await client.event('agent_response', answersBefore);
  t.match(sorry['agent_response'], apology, 'then the apology');
  await answersAgain(t, stack, client);
  const request = stack.providers.services.journal.llmRequests(0).at(-1)!.body as { messages: { content: string }[] };
  t.ok(
    request.messages.some((message) => message.content === kept),
    'the model is told what was heard',
  );
  await client.close();

  const doomed = await Client.open(stack, 'quiet');
  order(stack, { endpoint: 'tts', kind: 'garbage', times: 1000 });
  doomed.send({ type: 'user_message', text: 'try' });
  await apologyUnheard(doomed, 1);
  t.notOk(doomed.types().includes('audio'));
  t.notOk(doomed.types().includes('error'), 'one failure is not the end');
  await answersAgain(t, stack, doomed);
  await doomed.close();
};

const connection = async (t: Test): Promise<void> => {
  const stack = await start(t);
  const cases: readonly [string, Omit<Fault, 'endpoint'>][] = [
    ['refused', { kind: 'refuse' }],
    ['status 500', { kind: 'status', status: 500 }],
    ['status 429', { kind: 'status', status: 429 }],
    ['status 401', { kind: 'status', status: 401 }],
    ['late by 1 s', { kind: 'stall', ms: 1000 }],
    ['stalled', { kind: 'stall', ms: 30_000 }],
  ];
  for (const [index, [name, fault]] of cases.entries()) {
    order(stack, { endpoint: 'tts_connect', ...fault });
    const client = await Client.open(stack, `voice${index}`);
    // Refused for good: asked again when there is something to say.
    if (name === 'status 401') await metricOf(stack, /stage="tts",error_type="rejected"\} 1/);
    const turn = await ask(client, `Tell me (${name}).`);
    t.equal(turn.text, sentence, name);
    await firstAudio(client, turn);
    t.notOk(client.types().includes('error'));
    await client.close();
  }
  order(stack, { endpoint: 'tts_connect', kind: 'status', status: 401, times: 1000 });
  const client = await Client.open(stack, 'voice6');
  for (const round of [1, 2]) {
    client.send({ type: 'user_message', text: `try ${round}` });
    await apologyUnheard(client, round);
  }
  client.send({ type: 'user_message', text: 'try 3' });
  t.match(await client.event('error'), { error_type: 'tts_cascade_error', code: 1002 });
  t.match(await client.closed, { code: 1002, reason: /synthesis/ });
  const next = await Client.open(stack, 'voice6');
  await answersAgain(t, stack, next);
  await next.close();
};

async function registeredClip(stack: Stack, text: string): Promise<Clip> {
  const { audio, words } = (await loadVoice()).speak(text, { voice: 'awb', speed: 1 });
  const bytes = Buffer.from(audio.buffer, audio.byteOffset, audio.byteLength);
  const times = words.map(({ word, startMs, endMs }) => [startMs, endMs, word]);
  await registerClips(stack.providers.services, {
    clips: [{ id: text, rateHz: 16_000, pcmBase64: bytes.toString('base64'), words: times }],
  });
  return clipOf(text, audio);
}

type Speakers = {
  readonly connect: () => Promise<Caller>;
  readonly say: (caller: Caller) => void;
  /** Says the clip and returns what is answered. */
  readonly askAloud: (caller: Caller) => Promise<string>;
};

async function speakers(stack: Stack): Promise<Speakers> {
  const clip = await registeredClip(stack, 'Where are they?');
  const beat = new Beat();
  const responses = (caller: Caller): string[] =>
    caller.events.filter((event) => event.type === 'agent_response').map((event) => JSON.stringify(event.details));
  const say = (caller: Caller): void => void caller.say(clip, caller.nowMs + 100);
  return {
    connect: () => Caller.connect({ url: stack.url.replace('/v1/convai/conversation', ''), agentId: 'quiet', beat }),
    say,
    askAloud: async (caller) => {
      const before = responses(caller).length;
      say(caller);
      return (await caller.waitFor(() => responses(caller)[before], 8000)) ?? 'no answer';
    },
  };
}

const recognition = async (t: Test): Promise<void> => {
  const stack = await start(t);
  const checkSteady = await startSteady(stack);
  const { connect, askAloud } = await speakers(stack);
  const cases: readonly [string, Omit<Fault, 'endpoint'>, RegExp][] = [
    ['refused once', { kind: 'refuse' }, /Seven boats/],
    ['refused always', { kind: 'refuse', times: 1000 }, /something went wrong/],
    ['status 500 once', { kind: 'status', status: 500 }, /Seven boats/],
    ['status 401', { kind: 'status', status: 401, times: 1000 }, /something went wrong/],
    ['status 429', { kind: 'status', status: 429, times: 1000 }, /something went wrong/],
    ['stalled once', { kind: 'stall', ms: 30_000 }, /Seven boats/],
    ['stalled always', { kind: 'stall', ms: 30_000, times: 1000 }, /something went wrong/],
    ['closed in the middle, always', { kind: 'close', position: 'middle', times: 1000 }, /something went wrong/],
    ['garbage', { kind: 'garbage', times: 1000 }, /something went wrong/],
  ];
  for (const [name, fault, says] of cases) {
    const caller = await connect();
    order(stack, { endpoint: 'stt', ...fault });
    const answer = await askAloud(caller);
    t.match(answer, says, name);
    await caller.hangUp();
  }
  await checkSteady(t);
};

const recognitionForGood = async (t: Test): Promise<void> => {
  const stack = await start(t);
  const { connect, askAloud, say } = await speakers(stack);
  const caller = await connect();
  order(stack, { endpoint: 'stt', kind: 'status', status: 401, times: 1000 });
  for (const round of [1, 2, 3]) {
    if (round < 3) t.match(await askAloud(caller), /something went wrong/, `failure ${round}`);
    else say(caller);
    const completes = (): number => caller.events.filter((event) => event.type === 'agent_response_complete').length;
    if (round < 3) await caller.waitFor(() => (completes() >= round ? true : undefined), 8000);
  }
  await caller.waitFor(() => caller.closed, 8000);
  t.match(caller.closed, { code: 1002, reason: /recognition/ });
  const error = JSON.stringify(caller.events.find((event) => event.type === 'error')?.details);
  t.match(error, /asr_transcription_error/);
  t.match(error, /1002/);
};

const callers = async (t: Test): Promise<void> => {
  const stack = await start(t);
  const checkSteady = await startSteady(stack);
  const clip = await registeredClip(stack, 'Where are they?');
  const errorsOf = (client: Client): unknown[] =>
    client.received.filter((item) => item.type === 'error').map((item) => item.body['error_event']);

  const wrongRate = async (): Promise<void> => {
    const client = await Client.open(stack, 'quiet');
    await client.event('conversation_initiation_metadata');
    const chunk = JSON.stringify({ user_audio_chunk: Buffer.alloc(480 * 2).toString('base64') });
    const startedAtMs = performance.now();
    let sentMs = 0;
    const sender = setInterval(() => {
      for (; sentMs < performance.now() - startedAtMs; sentMs += 20) client.send(chunk);
    }, 20);
    const error = await client.event('error').finally(() => clearInterval(sender));
    t.match(error, { error_type: 'value_error', message: '24 kHz audio sent, 16 kHz expected.' });
    await client.close();
  };
  const flood = async (): Promise<void> => {
    const client = await Client.open(stack, 'quiet');
    await client.event('conversation_initiation_metadata');
    const second = JSON.stringify({ user_audio_chunk: Buffer.alloc(32_000).toString('base64') });
    for (let count = 0; count < 60; count++) client.send(second);
    t.match(await client.event('error'), { error_type: 'value_error', message: /excess is dropped/ });
    const turn = await ask(client, 'Are you there?');
    t.equal(turn.text, sentence, 'a flood does not end the call');
    await firstAudio(client, turn);
    t.equal(errorsOf(client).length, 1, 'said once');
    await client.close();
  };
  const silent = async (): Promise<void> => {
    const client = await Client.open(stack, 'idle');
    await client.event('conversation_initiation_metadata');
    const openedAtMs = performance.now();
    t.match(await client.event('agent_response'), { agent_response: 'Are you still there?' });
    t.ok(performance.now() - openedAtMs < 3000, 'the clock runs on silence');
    await client.close();
  };
  const early = async (): Promise<void> => {
    const client = await Client.open(stack, 'quiet', false);
    const bytes = Buffer.from(clip.samples.buffer, clip.samples.byteOffset, clip.samples.byteLength);
    for (let at = 0; at < bytes.length; at += 1001) {
      client.send({ user_audio_chunk: bytes.subarray(at, at + 1001).toString('base64') });
    }
    const transcript = await client.event('user_transcript');
    t.match(String(transcript['user_transcript']).toLowerCase(), /where are they/, 'audio before the start, cut at odd bytes');
    t.same(errorsOf(client), []);
    await client.close();
  };
  const slow = async (): Promise<void> => {
    stack.providers.services.answers.add({ match: 'everything', text: 'All of it, once more. '.repeat(600) });
    const client = await Client.open(stack, 'quiet', { conversation_config_override: { conversation: { text_only: true } } });
    await client.event('conversation_initiation_metadata');
    client.socket.pause();
    const asker = setInterval(() => client.send({ type: 'user_message', text: 'Tell me everything.' }), 200);
    await metricOf(stack, /error_type="slow"/).finally(() => clearInterval(asker));
    client.socket.resume();
    t.match(await client.closed, { code: 1002, reason: /too slow/ }, 'the reason arrives');
  };
  await Promise.all([wrongRate(), flood(), silent(), early(), slow()]);

  const gone = await Promise.all([1, 2, 3].map(() => Client.open(stack, 'quiet')));
  await Promise.all(gone.map((client) => client.event('conversation_initiation_metadata')));
  gone[0]!.send({ type: 'user_message', text: 'Tell me.' });
  await gone[0]!.event('audio');
  for (const client of gone) client.socket.terminate();
  const free = async (): Promise<number> => ((await (await fetch(`${stack.http}/readyz`)).json()) as { free: number }).free;
  let places = await free();
  for (let round = 0; round < 200 && places < 7; round++) {
    await new Promise(setImmediate);
    places = await free();
  }
  t.equal(places, 7, 'who vanished gives the place back');
  await checkSteady(t);
};

test('faults', { jobs: 9 }, async (t) => {
  const groups: readonly (readonly [string, (t: Test) => Promise<void>])[] = [
    ['the language model fails', language],
    ['synthesis fails before the first audio', (t) => synthesisHealed(t, earlyFaults)],
    ['synthesis answers oddly', (t) => synthesisHealed(t, oddAnswers)],
    ['synthesis fails in the middle', synthesisMiddle],
    ['synthesis fails for good', synthesisForGood],
    ['no connection to synthesis', connection],
    ['recognition fails', recognition],
    ['recognition fails for good', recognitionForGood],
    ['callers misbehave', callers],
  ];
  await Promise.all(groups.map(([name, run]) => t.test(name, { buffered: true, timeout: timeoutMs }, run)));
});
