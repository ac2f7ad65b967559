/** C30–C36: sound in both directions, and what an interruption does to it. */
import { t as file, test } from 'tap';
import { Beat } from '../../load/beat.js';
import { Caller } from '../../load/caller.js';
import { decodeAudio } from '../../load/client-messages.js';
import type { Clip } from '../../load/clip.js';
import { randomOf } from '../../load/providers/seeded.js';
import { type AudioFormat, audioFormats } from '../../src/wire/events.js';
import { describeFormat } from '../../src/wire/formats.js';
import { sendSpeech, speakInTime, speechOf } from './speech.js';
import { agentOf, allEvents, isFull, type Json, Stage } from './stage.js';
import { whileSteady } from './steady.js';
import { WireClient, type WireMessage } from './wire-client.js';

const seed = Number(process.env['SEED'] ?? '1');
const stage = await Stage.start({
  agents: [
    agentOf('quiet'),
    agentOf('protected', { conversation: { client_events: allEvents.filter((name) => name !== 'interruption') } }),
    ...audioFormats.map((format) =>
      agentOf(format, { asr: { user_input_audio_format: format }, tts: { agent_output_audio_format: format } }),
    ),
  ],
});
// With the full counts one after the other: the tests measure time themselves.
file.jobs = isFull ? 1 : 4;
file.setTimeout(400_000);
file.teardown(() => stage.stop());
const open = (agentId = 'quiet'): Promise<WireClient> => WireClient.open({ url: stage.origin, agentId });

const levelOf = (samples: Int16Array): number =>
  Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);

// Alone: what is sent in time must not be late because of the tests beside it.
test('C31 input in chunks of 1 byte to 64 KiB, at any cadence, gives the same transcript', async (t) => {
  const text = 'Where is it?';
  const speech = await speechOf(stage, text);
  // A client that stalls for 200 ms gets silence put in its place.
  const transcriptOf = (send: (client: WireClient) => Promise<void> | void): Promise<unknown> =>
    whileSteady({ lateMaxMs: 100, attemptsMax: 4 }, () => said(send));
  const said = async (send: (client: WireClient) => Promise<void> | void): Promise<unknown> => {
    const client = await open();
    await client.conversationId();
    await send(client);
    // Words with a hole in them are not understood.
    const transcript = await client.event('user_transcript', 0, 5000).catch(() => undefined);
    t.same(
      client.of('error').map(({ details }) => details),
      [],
    );
    await client.hangUp();
    return transcript?.details['user_transcript'];
  };
  const atOnce = [1, 3, 160, 1023, 8000, 65_535, 65_536].map(async (chunkBytes) => {
    const transcript = await transcriptOf((client) => sendSpeech(client, speech, chunkBytes));
    t.equal(transcript, text, `${chunkBytes} bytes at once`);
  });
  await Promise.all(atOnce);
  const paced = [20, 32, 250].map(async (everyMs) => {
    const transcript = await transcriptOf((client) => speakInTime(client, speech, everyMs));
    t.equal(transcript, text, `every ${everyMs} ms`);
  });
  await Promise.all(paced);
});

test('C30 all output chunks decode to whole samples in the announced format, and none is empty', {
  buffered: true,
}, async (t) => {
  await stage.answers({ match: 'the short answer', text: 'Seven boats came home late.' });
  const heard = await Promise.all(
    audioFormats.map(async (format: AudioFormat) => {
      const client = await open(format);
      const { details } = await client.event('conversation_initiation_metadata');
      t.equal(details['agent_output_audio_format'], format);
      const { eventId } = await client.ask('Give me the short answer.');
      await client.completed(eventId);
      const chunks = client.audioOf(eventId);
      const bytesPerSample = format === 'ulaw_8000' ? 1 : 2;
      t.ok(
        chunks.every((chunk) => chunk.length > 0 && chunk.length % bytesPerSample === 0),
        `${format}: ${chunks.length} chunks of whole samples`,
      );
      const samples = decodeAudio(Buffer.concat(chunks).toString('base64'), format)!;
      await client.hangUp();
      return { format, seconds: samples.length / describeFormat(format).rateHz, level: levelOf(samples) };
    }),
  );
  const reference = heard.find(({ format }) => format === 'pcm_16000')!;
  for (const { format, seconds, level } of heard) {
    t.ok(Math.abs(seconds - reference.seconds) < 0.05, `${format}: ${seconds.toFixed(3)} s`);
    t.ok(Math.abs(20 * Math.log10(level / reference.level)) < 1, `${format}: as loud within 1 dB`);
  }
});

type Interrupted = { readonly messages: readonly WireMessage[]; readonly count: number };

/** A call in which every reply is interrupted at a random instant after its first audio, typed or spoken. */
async function interruptedCall(number: number, count: number): Promise<Interrupted> {
  const random = randomOf(seed, 'interruptions', number);
  const speech = await speechOf(stage, 'No, tell me another long story.');
  const client = await open();
  client.say('Tell me a long story.');
  await client.event('audio');
  for (let done = 0; done < count; done++) {
    await new Promise((resolve) => setTimeout(resolve, Math.floor(random() * 500)));
    if (random() < 0.25) sendSpeech(client, speech, 1024);
    else client.say(`Tell me another long story, number ${done}.`);
    const interruption = await client.event('interruption', done);
    await client.until(() => client.of('audio').find(({ eventId }) => eventId! > interruption.eventId! + 1));
  }
  await client.hangUp();
  return { messages: client.messages, count };
}

const [calls, each] = isFull ? [10, 100] : [4, 10];
test(`${calls * each} interruptions at random instants`, { buffered: true, timeout: 200_000 }, async (t) => {
  const done = await Promise.all(Array.from({ length: calls }, (_, number) => interruptedCall(number, each)));
  let stale = 0;
  let disorder = 0;
  let seen = 0;
  for (const { messages } of done) {
    for (const [at, { type, eventId }] of messages.entries()) {
      if (type !== 'interruption') continue;
      seen += 1;
      const before = messages.slice(0, at).filter((message) => message.type === 'audio');
      const after = messages.slice(at + 1).filter((message) => message.type === 'audio');
      stale += after.filter((message) => message.eventId! <= eventId!).length;
      disorder += before.filter((message) => message.eventId! >= eventId!).length;
      const nextResponse = messages
        .slice(at + 1)
        .find((message) => message.type === 'user_transcript' || message.type === 'audio');
      if (nextResponse !== undefined && nextResponse.eventId! <= eventId!) disorder += 1;
    }
  }
  await t.test(`C32 after ${seen} interruptions no audio of an older reply`, (t) => {
    t.equal(seen, calls * each);
    t.equal(stale, 0);
    t.end();
  });
  await t.test(`C33 ids at ${seen} interruptions: earlier audio < interruption < what follows`, (t) => {
    t.equal(disorder, 0);
    t.end();
  });
});

/** Ends of the words of `text`, in ms of the reply's audio, as its alignment times their last characters; as many as have come. */
function wordEndsOf(text: string, events: readonly { readonly details: Json }[]): number[] {
  const charEnds: number[] = [];
  let offsetMs = 0;
  for (const { details } of events) {
    const alignment = details['alignment'] as Record<string, readonly (string & number)[]> | undefined;
    for (const [index, char] of (alignment?.['chars'] ?? []).entries()) {
      if (/\S/.test(char))
        charEnds.push(offsetMs + alignment!['char_start_times_ms']![index]! + alignment!['char_durations_ms']![index]!);
    }
    offsetMs += Number(details['sampleCount']) / 16;
  }
  let chars = 0;
  return text.split(/\s+/).flatMap((word) => {
    chars += word.length;
    return charEnds[chars - 1] ?? [];
  });
}

const corrections = isFull ? 40 : 8;
const callersAtOnce = 8;
/** A player that was later than this itself has not played what it says. */
const playerLateMaxMs = 60;

type Corrected = {
  readonly original: string;
  readonly cut: string;
  readonly isOfReply: boolean;
  readonly keptWords: number;
  readonly playedWords: number;
  readonly apartMs: number;
  readonly problems: readonly string[];
};

async function correctedCall(beat: Beat, question: Clip, phrase: Clip, delayMs: number): Promise<Corrected> {
  const caller = await Caller.connect({ url: stage.origin, agentId: 'quiet', beat });
  const asked = caller.say(question, caller.nowMs + 200);
  const reply = await caller.onset(asked.speechEndMs - 100, 8000);
  if (reply === undefined) throw new Error('no answer was heard');
  caller.say(phrase, reply.onsetMs! + delayMs);
  const correction = await caller.waitFor(() => caller.events.find(({ type }) => type === 'agent_response_correction'), 8000);
  const { original_agent_response: original = '', corrected_agent_response: corrected = '' } = (correction?.details ??
    {}) as Readonly<Record<string, string>>;
  const cut = corrected.replace(/(?:…|\.\.\.)$/, '').trimEnd();
  const sent = caller.events.filter(({ type, eventId }) => type === 'audio' && eventId === reply.eventId);
  const ends = wordEndsOf(original, sent);
  const playedMs = reply.playedSamples / 16;
  const keptWords = cut === '' ? 0 : cut.split(/\s+/).length;
  await caller.hangUp();
  return {
    original,
    cut,
    isOfReply: correction?.eventId === reply.eventId,
    keptWords,
    playedWords: ends.filter((endMs) => endMs <= playedMs).length,
    apartMs: Math.abs((ends[keptWords - 1] ?? 0) - playedMs),
    problems: caller.problems,
  };
}

test(`C34 the corrected text is a prefix, within one word or 300 ms of what a player had played, ${corrections} times`, {
  buffered: true,
}, async (t) => {
  const question = await speechOf(stage, 'Please tell me a long story.');
  const phrase = await speechOf(stage, 'Wait, when does the train leave?');
  const random = randomOf(seed, 'corrections');
  let done = 0;
  for (let batch = 0; done < corrections && batch < (2 * corrections) / callersAtOnce + 1; batch++) {
    const beat = new Beat();
    const calls = Array.from({ length: callersAtOnce }, () =>
      correctedCall(beat, question, phrase, 500 + Math.floor(random() * 3000)),
    );
    const results = await Promise.all(calls);
    const lateMs = beat.latenessUs.maxValue / 1000;
    if (lateMs > playerLateMaxMs) {
      t.comment(`not counted: the players were up to ${Math.round(lateMs)} ms late`);
      continue;
    }
    done += results.length;
    for (const { original, cut, isOfReply, keptWords, playedWords, apartMs, problems } of results) {
      t.ok(isOfReply && original.startsWith(cut), `a prefix: "${cut}"`);
      const isNear = Math.abs(keptWords - playedWords) <= 1 || apartMs <= 300;
      t.ok(isNear, `${keptWords} words kept, ${playedWords} played (${Math.round(apartMs)} ms apart)`);
      t.same(problems, []);
    }
  }
  t.ok(done >= corrections, `${done} interruptions were counted`);
});

test('C35 with interruption left out of client_events the user cannot interrupt', { buffered: true }, async (t) => {
  await stage.answers({ match: 'which boats', text: 'There were seven boats, three of them red and four of them blue.' });
  const speech = await speechOf(stage, 'Stop, stop it, please stop now.');
  const client = await open('protected');
  const { eventId } = await client.ask('Tell me which boats.');
  await client.until(() => (client.audioOf(eventId).length > 10 ? true : undefined));
  sendSpeech(client, speech, 1024);
  await client.completed(eventId);
  const seconds = Buffer.concat(client.audioOf(eventId)).length / 32_000;
  t.ok(seconds > 3, `all ${seconds.toFixed(1)} s of it were sent`);
  t.notOk(client.types.includes('agent_response_correction'));
  t.notOk(client.types.includes('interruption'));
  await client.hangUp();
});

test('C36 alignment: arrays of one length, whole numbers from 0 on, relative to their chunk, never null', {
  buffered: true,
}, async (t) => {
  const text = 'The tour starts at nine, and it ends at noon.';
  await stage.answers({ match: 'the tour', text });
  const client = await open();
  const { eventId } = await client.ask('Tell me of the tour.');
  await client.completed(eventId);
  const chunks = client.of('audio').filter((message) => message.eventId === eventId);
  let chars = '';
  for (const { details } of chunks) {
    if (!('alignment' in details)) continue;
    const alignment = details['alignment'] as { chars: string[]; char_start_times_ms: number[]; char_durations_ms: number[] };
    t.ok(typeof alignment === 'object' && alignment !== null);
    const { chars: own, char_start_times_ms: starts, char_durations_ms: durations } = alignment;
    t.ok(own.length === starts.length && own.length === durations.length);
    t.ok([...starts, ...durations].every((value) => Number.isInteger(value) && value >= 0));
    const chunkMs = Buffer.from(String(details['audio_base_64']), 'base64').length / 32;
    t.ok(
      starts.every((start) => start <= chunkMs),
      `within the ${chunkMs} ms of the chunk`,
    );
    chars += own.join('');
  }
  t.equal(chars.trim(), text, 'together they are the text');
  await client.hangUp();
});
