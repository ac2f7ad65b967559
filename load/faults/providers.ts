/** Rows about providers: each fault at each stage, and what comes of several providers in a list. */
import { setTimeout as wait } from 'node:timers/promises';
import { Beat } from '../beat.js';
import { Caller } from '../caller.js';
import type { Fault } from '../providers/faults.js';
import { CallerVoice } from '../rig/phrases.js';
import { apology, type Bench, type Group, must, type Row, seen, sentence } from './row.js';

type Broken = Omit<Fault, 'endpoint'>;
const always = 1000;
const lostThread = /^Seven.* lost my thread there\.$/;

const modelFaults: readonly (readonly [string, Broken, string, RegExp | string])[] = [
  ['refuses once', { kind: 'refuse' }, 'answered, nobody notices', sentence],
  ['refuses', { kind: 'refuse', times: 4 }, 'apology', apology],
  ['answers 500 once', { kind: 'status', status: 500 }, 'answered, nobody notices', sentence],
  ['answers 503', { kind: 'status', status: 503, times: 2 }, 'apology', apology],
  ['answers 401', { kind: 'status', status: 401 }, 'apology at once, no retry', apology],
  ['answers 429', { kind: 'status', status: 429, retryAfterSeconds: 2 }, 'apology at once', apology],
  ['is late by 1 s', { kind: 'stall', ms: 1000, position: 'first' }, 'answered', sentence],
  ['stalls before the first word', { kind: 'stall', ms: 30_000, position: 'first' }, 'apology after 4 s', apology],
  [
    'stalls in the middle',
    { kind: 'stall', ms: 30_000, position: 'middle' },
    'what there is, then a word that it broke',
    lostThread,
  ],
  [
    'closes in the middle',
    { kind: 'close', position: 'middle' },
    'what there is, then a word that it broke; all of it when nothing had arrived yet',
    /^Seven boats.* (?:late|thread there)\.$/,
  ],
  ['closes before the first word', { kind: 'close', position: 'first', times: 4 }, 'apology', apology],
  ['sends garbage', { kind: 'garbage' }, 'apology', apology],
  ['drips a byte a second', { kind: 'drip', bytes: 1, ms: 1000 }, 'apology after 4 s', apology],
  ['ends without its mark', { kind: 'missing_done' }, 'answered', sentence],
];

const modelRows: readonly Row[] = [
  ...modelFaults.map(
    ([name, fault, promised, says]): Row => ({
      what: `language model ${name}`,
      promised: `${promised}; the next turn is answered`,
      run: async (bench) => {
        const client = await bench.begin();
        await bench.stack.simulator!.orderFaults([{ endpoint: 'llm', ...fault }]);
        const askedAtMs = performance.now();
        const turn = await client.ask(`Tell me (${name}).`);
        const tookMs = Math.round(performance.now() - askedAtMs);
        must(typeof says === 'string' ? turn.text === says : says.test(turn.text), `"${turn.text}" after ${tookMs} ms`);
        await client.firstAudio(turn);
        await bench.answersAgain(client);
        must(client.of('error').length === 0, 'an error event');
        await client.close();
        return `"${turn.text}" after ${tookMs} ms, then answered`;
      },
    }),
  ),
  {
    what: 'language model fails three turns in a row',
    promised: 'error event llm_error, close 1002',
    run: async (bench) => {
      const client = await bench.begin();
      await bench.stack.simulator!.orderFaults([{ endpoint: 'llm', kind: 'refuse', times: always }]);
      for (const round of [1, 2]) must(apology.test((await client.ask(`try ${round}`)).text), 'no apology');
      client.send({ type: 'user_message', text: 'try 3' });
      const error = await client.event('error');
      const { code, reason } = await client.ended();
      await bench.stack.simulator!.orderFaults([]);
      return seen(code === 1002 && error['error_type'] === 'llm_error', `${String(error['error_type'])}, ${code} "${reason}"`);
    },
  },
];

const voiceFaults: readonly (readonly [string, Broken])[] = [
  ['refuses before the first audio', { kind: 'refuse' }],
  ['closes before the first audio', { kind: 'close', position: 'first' }],
  ['stalls before the first audio', { kind: 'stall', ms: 30_000, position: 'first' }],
  ['sends garbage', { kind: 'garbage' }],
  ['ends without audio', { kind: 'final_without_audio' }],
  ['is late by 1.5 s in the middle', { kind: 'stall', ms: 1500, position: 'middle' }],
  ['cuts samples in two', { kind: 'split_samples' }],
  ['closes in the middle of a word', { kind: 'close', position: 'middle' }],
  ['stalls in the middle', { kind: 'stall', ms: 30_000, position: 'middle' }],
];

const voiceRows: readonly Row[] = [
  ...voiceFaults.map(
    ([name, fault]): Row => ({
      what: `synthesis ${name}`,
      promised: 'the sentence is heard, no part of it twice and none missing',
      run: async (bench) => {
        const client = await bench.begin();
        await bench.stack.simulator!.orderFaults([]);
        const whole = await client.heardOut(await client.ask('Say it.'));
        await bench.stack.simulator!.orderFaults([{ endpoint: 'tts', ...fault }]);
        const heard = await client.heardOut(await client.ask(`Say it (${name}).`));
        must(client.of('error').length === 0, 'an error event');
        await client.close();
        // Said again from a word on, the pauses around it are not the same.
        const differenceMs = Math.abs(heard - whole) / 16;
        return seen(differenceMs <= 250, `${Math.round(heard / 16)} ms heard of ${Math.round(whole / 16)}`);
      },
    }),
  ),
  ...(
    [
      ['refuses the connection', { kind: 'refuse' }],
      ['answers the connection with 500', { kind: 'status', status: 500 }],
      ['answers the connection with 429', { kind: 'status', status: 429 }],
      ['lets the connection stall', { kind: 'stall', ms: 30_000 }],
    ] as const
  ).map(
    ([name, fault], index): Row => ({
      what: `synthesis ${name}`,
      promised: 'answered aloud',
      run: async (bench) => {
        await bench.stack.simulator!.orderFaults([{ endpoint: 'tts_connect', ...fault }]);
        const client = await bench.begin(`voice${index}`);
        const turn = await client.ask('Say it.');
        const askedAtMs = performance.now();
        const tookMs = (await client.firstAudio(turn)) - askedAtMs;
        await client.close();
        return seen(turn.text === sentence, `heard ${Math.max(0, Math.round(tookMs))} ms after the text`);
      },
    }),
  ),
];

/** Someone who speaks, for what only a voice can ask. */
class Speaker {
  readonly #bench: Bench;
  readonly #clip;
  readonly #beat = new Beat();

  private constructor(bench: Bench, clip: ReturnType<CallerVoice['phrase']>['clip']) {
    this.#bench = bench;
    this.#clip = clip;
  }

  static async of(bench: Bench): Promise<Speaker> {
    const phrase = (await CallerVoice.load()).phrase('where', 'Where are they?');
    for (const simulator of [bench.stack.simulator, bench.stack.fallback]) await simulator?.registerClips([phrase.registration]);
    return new Speaker(bench, phrase.clip);
  }

  /** Says the clip in a call of its own; what is answered, and how long after the end of the words. */
  async ask(): Promise<{ text: string; tookMs: number }> {
    const caller = await Caller.connect({ url: this.#bench.stack.url, beat: this.#beat });
    const said = caller.say(this.#clip, caller.nowMs + 100);
    const find = () => caller.events.find((event) => event.type === 'agent_response');
    const answer = await caller.waitFor(find, 12_000);
    await caller.hangUp();
    const fields = JSON.stringify(answer?.details ?? 'no answer');
    return {
      text: /"agent_response":"([^"]*)"/.exec(fields)?.[1] ?? fields,
      tookMs: Math.round((answer?.atMs ?? 0) - said.speechEndMs),
    };
  }
}

const hearingFaults: readonly (readonly [string, Broken, string, RegExp])[] = [
  ['refuses once', { kind: 'refuse' }, 'answered', /Seven boats/],
  ['refuses', { kind: 'refuse', times: always }, 'apology', apology],
  ['answers 500 once', { kind: 'status', status: 500 }, 'answered', /Seven boats/],
  ['answers 401', { kind: 'status', status: 401, times: always }, 'apology', apology],
  ['answers 429', { kind: 'status', status: 429, times: always }, 'apology', apology],
  ['stalls once', { kind: 'stall', ms: 30_000 }, 'answered', /Seven boats/],
  ['stalls', { kind: 'stall', ms: 30_000, times: always }, 'apology after 3 s', apology],
  ['closes in the middle', { kind: 'close', position: 'middle', times: always }, 'apology', apology],
  ['sends garbage', { kind: 'garbage', times: always }, 'apology', apology],
  ['drips a byte a second', { kind: 'drip', bytes: 1, ms: 1000, times: always }, 'apology after 3 s', apology],
];

const hearingRows: readonly Row[] = hearingFaults.map(
  ([name, fault, promised, says]): Row => ({
    what: `recognition ${name}`,
    promised,
    run: async (bench) => {
      const speaker = await Speaker.of(bench);
      await bench.stack.simulator!.orderFaults([{ endpoint: 'stt', ...fault }]);
      const { text, tookMs } = await speaker.ask();
      await bench.stack.simulator!.orderFaults([]);
      return seen(says.test(text), `"${text}" ${tookMs} ms after the last word`);
    },
  }),
);

const asked = async (bench: Bench, endpoint: string): Promise<{ first: number; second: number }> => {
  const count = async (simulator: Bench['stack']['simulator']): Promise<number> =>
    ((await simulator?.journal()) ?? []).filter((entry) => entry.endpoint === endpoint).length;
  return { first: await count(bench.stack.simulator), second: await count(bench.stack.fallback) };
};

const fallbackRows: readonly Row[] = [
  {
    what: 'first of two language models refuses',
    promised: 'the second answers each turn; after three failures the first is not asked any more',
    run: async (bench) => {
      const client = await bench.begin();
      await bench.stack.simulator!.orderFaults([{ endpoint: 'llm', kind: 'refuse', times: always }]);
      for (let round = 1; round <= 3; round++) {
        const { text } = await client.ask(`try ${round}`);
        must(text === sentence, `turn ${round} got "${text}"`);
      }
      const before = await asked(bench, 'llm');
      const startedAtMs = performance.now();
      const { text } = await client.ask('try 4');
      const tookMs = Math.round(performance.now() - startedAtMs);
      const after = await asked(bench, 'llm');
      const health = JSON.stringify((await bench.status('/readyz')).body['providers']);
      await client.close();
      must(text === sentence && client.of('error').length === 0, `got "${text}"`);
      must(/"llm":\{"groq":"failing","openai":"ok"\}/.test(health), `/readyz says ${health}`);
      return seen(
        after.first === before.first && after.second === before.second + 1,
        `answered by the second in ${tookMs} ms; the first was asked ${after.first - before.first} times while open; /readyz says failing`,
      );
    },
  },
  {
    what: 'and comes back',
    promised: 'used again within a probe (5 s) and a turn',
    run: async (bench) => {
      await bench.stack.simulator!.orderFaults([]);
      const client = await bench.begin();
      const before = await asked(bench, 'llm');
      const tookMs = await bench.until(
        'the first choice is asked again',
        async () => {
          must((await client.ask('Is it back?')).text === sentence, 'a turn was not answered');
          return (await asked(bench, 'llm')).first > before.first;
        },
        10_000,
      );
      await client.close();
      const isOk = /"groq":"ok"/.test(JSON.stringify((await bench.status('/readyz')).body['providers']));
      return seen(isOk, `after ${tookMs} ms`);
    },
  },
  {
    what: 'first of two language models answers 429 with Retry-After 5',
    promised: 'the second answers at once, the first is spared for 5 s and does not count as broken',
    run: async (bench) => {
      const client = await bench.begin();
      await bench.stack.simulator!.orderFaults([{ endpoint: 'llm', kind: 'status', status: 429, retryAfterSeconds: 5 }]);
      const first = await client.ask('one');
      const before = await asked(bench, 'llm');
      const second = await client.ask('two');
      const after = await asked(bench, 'llm');
      const health = JSON.stringify((await bench.status('/readyz')).body['providers']);
      await client.close();
      must(first.text === sentence && second.text === sentence, `got "${first.text}", "${second.text}"`);
      await wait(5000);
      return seen(after.first === before.first && /"groq":"ok"/.test(health), 'answered by the second; the first was left alone');
    },
  },
  {
    what: 'first of two language models stalls',
    promised: 'the second is asked too, at most one request in twenty',
    run: async (bench) => {
      const client = await bench.begin();
      for (let round = 0; round < 24; round++) await client.ask(`turn ${round}`);
      const hedgesBefore = await bench.metric('parley_provider_hedges_total');
      await bench.stack.simulator!.orderFaults([{ endpoint: 'llm', kind: 'stall', ms: 30_000, position: 'first', times: 2 }]);
      const startedAtMs = performance.now();
      const { text } = await client.ask('late');
      const tookMs = Math.round(performance.now() - startedAtMs);
      const hedges = (await bench.metric('parley_provider_hedges_total')) - hedgesBefore;
      await bench.stack.simulator!.orderFaults([]);
      await client.close();
      return seen(
        text === sentence && hedges === 1 && tookMs < 2500,
        `answered by the second after ${tookMs} ms, ${hedges} hedge`,
      );
    },
  },
  {
    what: 'first of two synthesisers refuses',
    promised: 'the whole sentence is heard from the second',
    run: async (bench) => {
      await bench.stack.simulator!.orderFaults([
        { endpoint: 'tts', kind: 'garbage', times: always },
        { endpoint: 'tts_connect', kind: 'status', status: 401, times: always },
      ]);
      const client = await bench.begin('voice5');
      const turn = await client.ask('Say it.');
      const heard = await client.heardOut(turn);
      await client.close();
      await bench.stack.simulator!.orderFaults([]);
      return seen(
        turn.text === sentence && heard > 16_000 && client.of('error').length === 0,
        `${Math.round(heard / 16)} ms heard`,
      );
    },
  },
  {
    what: 'first of two recognisers fails',
    promised: 'the second understands',
    run: async (bench) => {
      const speaker = await Speaker.of(bench);
      await bench.stack.simulator!.orderFaults([{ endpoint: 'stt', kind: 'status', status: 500, times: always }]);
      const { text, tookMs } = await speaker.ask();
      await bench.stack.simulator!.orderFaults([]);
      return seen(/Seven boats/.test(text), `"${text}" ${tookMs} ms after the last word`);
    },
  },
  {
    what: 'all language models are down',
    promised: 'apology; the next turn after their return is answered',
    run: async (bench) => {
      const client = await bench.begin();
      const down: Fault = { endpoint: 'llm', kind: 'refuse', times: always };
      await Promise.all([bench.stack.simulator!.orderFaults([down]), bench.stack.fallback!.orderFaults([down])]);
      const { text } = await client.ask('Anybody?');
      await bench.stack.fallback!.orderFaults([]);
      must(apology.test(text), `got "${text}"`);
      await bench.answersAgain(client);
      await client.close();
      return 'apology, then answered';
    },
  },
];

export const providerGroups: readonly Group[] = [
  { title: 'language model', options: {}, hasBeside: true, rows: modelRows },
  { title: 'synthesis', options: {}, hasBeside: false, rows: voiceRows },
  { title: 'recognition', options: {}, hasBeside: true, rows: hearingRows },
  { title: 'several providers', options: { hasFallback: true }, hasBeside: false, rows: fallbackRows },
];
