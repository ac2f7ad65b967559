/**
 * The official JavaScript client in a real Chromium: a caller speaks (from a file, as the browser's microphone), the engine's own recogniser and
 * voice answer, and what is heard is measured at the last audio node of the client. Only the language model is scripted.
 */
import { t as file, type Test, test } from 'tap';
import { demoGrammar } from '../../src/stt/embedded/demo-grammar.js';
import { type Browser, chromiumPath, openBrowser } from './chromium.js';
import { agentOf, type Json, Stage } from './stage.js';

const chromium = chromiumPath();
const skip = chromium === undefined ? 'there is no Chromium here (CHROMIUM names one)' : false;
file.setTimeout(120_000);

/** From -50 dBFS on something is heard. */
const audiblePeak = 10 ** (-50 / 20);
const silentAfterMs = 100;
/** 128 samples. */
const blockMs = 8;
const farewell = 'Thank you for calling. I wish you a very good day. Goodbye.';
const story = Array.from({ length: 6 }, () => 'Every evening the keeper climbed the stairs and lit the lamp above the sea.').join(
  ' ',
);
const clock = {
  type: 'client',
  name: 'clock',
  description: 'Tells the time.',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
  expects_response: true,
};

type Received = { readonly atMs: number; readonly type: string; readonly eventId?: number; readonly code?: number };
type Callback = { readonly atMs: number; readonly name: string; readonly values: readonly Json[] };
/** Milliseconds and peak of every block that was played. */
type Block = readonly [atMs: number, peak: number];

/** The functions and lists of `page.html`. */
class Ear {
  readonly #browser: Browser;

  constructor(browser: Browser) {
    this.#browser = browser;
  }

  start(options: Json): Promise<string> {
    return this.#browser.page.evaluate(`start(${JSON.stringify(options)})`);
  }
  run(code: string): Promise<unknown> {
    return this.#browser.page.evaluate(code);
  }
  received(): Promise<Received[]> {
    return this.#browser.page.evaluate('received');
  }
  callbacks(): Promise<Callback[]> {
    return this.#browser.page.evaluate('callbacks');
  }
  /** Of the session of this number, from 0. */
  heard(session: number): Promise<Block[]> {
    return this.#browser.page.evaluate(`heard(${session})`);
  }
  samplesOf(eventId: number | undefined): Promise<number[]> {
    return this.#browser.page.evaluate(`samplesOf.get(${eventId}) ?? []`);
  }

  /** Waits for the first audio of a reply, which comes behind its words. */
  async sound(eventId: Json[string], waitMs = 5000): Promise<void> {
    for (const untilMs = performance.now() + waitMs; performance.now() < untilMs; ) {
      if ((await this.received()).some((each) => each.type === 'audio' && each.eventId === eventId)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`no audio of ${String(eventId)} within ${waitMs} ms`);
  }

  /** Waits for the `skip`+1st call of an application's callback that `fits`. */
  async callback(
    name: string,
    fits: (values: readonly Json[]) => boolean = () => true,
    skip = 0,
    waitMs = 20_000,
  ): Promise<Callback> {
    for (const untilMs = performance.now() + waitMs; performance.now() < untilMs; ) {
      const found = (await this.callbacks()).filter((each) => each.name === name && fits(each.values))[skip];
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const all = (await this.callbacks()).filter((each) => each.name !== 'AgentChatResponsePart');
    throw new Error(`no ${name} within ${waitMs} ms: ${JSON.stringify(all)}`);
  }
}

/** First and last audible millisecond between two instants. */
function audibleSpan(blocks: readonly Block[], fromMs: number, untilMs: number): { firstMs: number; lastMs: number } | undefined {
  const loud = blocks.filter(([atMs, peak]) => atMs >= fromMs && atMs < untilMs && peak >= audiblePeak);
  return loud.length === 0 ? undefined : { firstMs: loud[0]![0], lastMs: loud.at(-1)![0] };
}

test('in Chromium', { skip }, async (t) => {
  const stage = await Stage.start({
    environment: { PARLEY_STT: 'embedded', PARLEY_TTS: 'embedded' },
    agents: [
      agentOf('browser', { agent: { first_message: 'Hello.' }, prompt: { tools: [clock] }, parley: { grammar: demoGrammar } }),
      agentOf('typing', { agent: { first_message: 'Welcome.' }, conversation: { text_only: true } }),
    ],
  });
  t.teardown(() => stage.stop());
  await stage.answers(
    { match: 'story', text: story },
    { match: 'stop', text: 'All right.' },
    {
      match: 'what time',
      text: 'Let me look.',
      toolCall: { name: 'clock', arguments: { city: 'Rome' } },
      afterTool: 'It is noon.',
    },
    { match: 'goodbye', text: farewell, toolCall: { name: 'end_call', arguments: { reason: 'The caller said goodbye.' } } },
  );
  const browser = await openBrowser(chromium!, [
    [2.5, 'tell me a story'],
    [6, 'please stop'],
    [9, 'what time is it'],
    [13, 'goodbye'],
  ]);
  t.teardown(() => browser.close());
  const ear = new Ear(browser);
  const voice = { agentId: 'browser', origin: stage.origin, connectionType: 'websocket' };
  const says = (text: RegExp) => (values: readonly Json[]) => text.test(String(values[0]?.['message']));

  await t.test(
    'C48 (JavaScript client in Chromium) a spoken conversation: greeting, question, answer, interruption, tool',
    async (t) => {
      await ear.start(voice);
      await ear.callback('Message', says(/^Hello\.$/));
      await ear.callback('Message', says(/tell me a story/i));
      await ear.callback('Message', says(/^Every evening/));
      await ear.callback('Interruption');
      await ear.callback('Message', says(/stop/i));
      await ear.callback('Message', says(/All right/));
      const corrected = await ear.callback('AgentResponseCorrection');
      const { original_agent_response: original, corrected_agent_response: kept } = corrected.values[0] as Record<string, string>;
      t.ok(original!.startsWith(kept!) && kept!.length > 0 && kept!.length < original!.length, `"${kept}" was heard`);
      const called = await ear.callback('clock');
      t.same(called.values, [{ city: 'Rome' }]);
      await ear.callback('Message', says(/It is noon/));
      const modes = (await ear.callbacks()).filter(({ name }) => name === 'ModeChange').map(({ values }) => values[0]?.['mode']);
      t.ok(modes.includes('speaking') && modes.includes('listening'), modes.join(' '));
    },
  );

  /** The interruption of one session, at the client's ear. */
  const silenceAfter = async (t: Test, session: number, received: readonly Received[]): Promise<void> => {
    const at = received.findIndex(({ type }) => type === 'interruption');
    const interruption = received[at];
    // Behind it comes the short silence that makes the client drop what it has, and then the next reply.
    const next = received.slice(at + 1).find(({ type, eventId }) => type === 'audio' && eventId! > interruption!.eventId! + 1);
    t.ok(interruption && next);
    if (interruption === undefined || next === undefined) return;
    const blocks = await ear.heard(session);
    const before = audibleSpan(blocks, interruption.atMs - 3000, interruption.atMs);
    t.ok(before !== undefined, `the story was heard until ${(interruption.atMs - (before?.lastMs ?? 0)).toFixed(0)} ms before`);
    const after = audibleSpan(blocks, interruption.atMs, next.atMs);
    const silentMs = after === undefined ? 0 : after.lastMs + blockMs - interruption.atMs;
    const roomMs = next.atMs - interruption.atMs;
    t.ok(
      silentMs <= silentAfterMs,
      `silent ${silentMs.toFixed(0)} ms after it arrived (the next reply came ${roomMs.toFixed(0)} ms after it)`,
    );
  };

  await t.test(
    `C48 (JavaScript client in Chromium) its output is silent at most ${silentAfterMs} ms after interruption arrived`,
    async (t) => silenceAfter(t, 0, await ear.received()),
  );

  await t.test(
    'C41 the farewell is played to its end before the client disconnects; it reports that the agent ended the call',
    async (t) => {
      const said = await ear.callback('Message', says(/^Thank you for calling/));
      const ending = await ear.callback('Disconnect');
      t.match(ending.values[0], { reason: 'agent', context: { type: 'end_call' } });
      const samples = await ear.samplesOf(said.values[0]?.['event_id'] as number);
      const loud = samples.flatMap((value, index) => (Math.abs(value) / 32_768 >= audiblePeak ? [index] : []));
      const sentMs = (loud.at(-1)! - loud[0]!) / 16;
      const received = await ear.received();
      const first = received.find(({ type, eventId }) => type === 'audio' && eventId === said.values[0]?.['event_id'])!;
      const span = audibleSpan(await ear.heard(0), first.atMs, ending.atMs + 1000)!;
      const heardMs = span.lastMs - span.firstMs;
      t.ok(Math.abs(heardMs - sentMs) < 60, `${heardMs.toFixed(0)} ms heard of ${sentMs.toFixed(0)} ms`);
      t.ok(ending.atMs > span.lastMs, `it disconnected ${(ending.atMs - span.lastMs).toFixed(0)} ms after the last sound`);
      t.match(received.at(-1), { type: 'close', code: 1000 });
    },
  );

  await t.test(
    'C48 (JavaScript client in Chromium) it connects again, hears the greeting, and ends the call itself',
    async (t) => {
      const id = await ear.start(voice);
      // The file of the microphone begins anew with every call; what it says is not for this one.
      await ear.run('conversation.setMicMuted(true)');
      const greeting = await ear.callback('Message', says(/^Hello\.$/), 1);
      await ear.callback('ModeChange', ([mode]) => mode?.['mode'] === 'listening', 0);
      await ear.run("conversation.sendUserMessage('what time is it')");
      await ear.callback('Message', says(/It is noon/), 1);
      t.ok(audibleSpan(await ear.heard(1), greeting.atMs - 1000, Number.POSITIVE_INFINITY) !== undefined, 'its output is alive');
      // Typed words interrupt without the pause that speech causes first: the client still plays what it has.
      await ear.run("conversation.sendUserMessage('tell me a story')");
      const told = await ear.callback('Message', says(/^Every evening/), 1);
      await ear.run('new Promise((resolve) => setTimeout(resolve, 1500))');
      // The next reply comes late, so that what is heard until then is the old one.
      await stage.faults({ endpoint: 'llm', kind: 'stall', position: 'first', ms: 700 });
      await ear.run("conversation.sendUserMessage('please stop')");
      const answer = await ear.callback('Message', says(/All right/), 1);
      await ear.sound(answer.values[0]?.['event_id']);
      await silenceAfter(
        t,
        1,
        (await ear.received()).filter(({ atMs }) => atMs > told.atMs),
      );
      await ear.run('conversation.endSession()');
      t.match((await ear.callback('Disconnect', undefined, 1)).values[0], { reason: 'user' });
      t.equal(await stage.stored(id, ({ status }) => (status === 'done' ? status : undefined)), 'done');
    },
  );

  await t.test('C48 (JavaScript client in Chromium) text mode: no microphone, no output, parts and answers', async (t) => {
    const before = (await ear.received()).length;
    const startedAtMs = Number(await ear.run('performance.now()'));
    await ear.start({ agentId: 'typing', origin: stage.origin, textOnly: true });
    await ear.callback('Message', says(/^Welcome\.$/));
    await ear.run("conversation.sendUserMessage('tell me of the harbour')");
    const answer = await ear.callback('Message', says(/harbour/));
    const id = answer.values[0]?.['event_id'];
    // Ids begin anew in each conversation.
    const own = (await ear.callbacks()).filter(({ atMs }) => atMs > startedAtMs);
    const parts = own.filter(({ name, values }) => name === 'AgentChatResponsePart' && values[0]?.['event_id'] === id);
    t.equal(parts.map(({ values }) => values[0]?.['text']).join(''), answer.values[0]?.['message']);
    await ear.run('conversation.endSession()');
    const received = (await ear.received()).slice(before);
    t.notOk(received.some(({ type }) => type === 'audio'));
    t.equal((await ear.heard(2)).length, 0, 'no output was opened');
  });

  await t.test('C48 (JavaScript client in Chromium) nobody but this machine was asked for anything', (t) => {
    t.same(browser.foreign, []);
    t.same(browser.complaints, []);
    t.end();
  });
});
