/**
 * Spoken conversations with the real engine in real time: a question answered, an interruption, a cough, a hang-up in the middle. Recognition, model
 * and voice are the simulated providers behind the real adapters; words reach the engine only as audio.
 */
import { test } from 'tap';
import { Beat } from '../load/beat.js';
import { Caller } from '../load/caller.js';
import { type Clip, clipOf } from '../load/clip.js';
import { cough } from '../load/cough.js';
import { registerClips } from '../load/providers/control.js';
import { loadVoice } from '../load/providers/voice.js';
import { startStack } from './support/engine.js';

const story =
  'Once upon a time there was a small harbour with seven boats and one careful lighthouse keeper. Every evening he climbed the stairs and lit the lamp before ' +
  'the fog came in. One night the lamp would not burn, and he had to think of something else very quickly.';

test('a spoken conversation', async (t) => {
  const stack = await startStack();
  t.teardown(() => stack.stop());
  const { services } = stack.providers;
  const voice = await loadVoice();
  const clipFor = async (text: string): Promise<Clip> => {
    const speech = voice.speak(text, { voice: 'awb', speed: 1 });
    const bytes = Buffer.from(speech.audio.buffer, speech.audio.byteOffset, speech.audio.byteLength);
    const words = speech.words.map(({ word, startMs, endMs }) => [startMs, endMs, word]);
    await registerClips(services, { clips: [{ id: text, rateHz: 16000, pcmBase64: bytes.toString('base64'), words }] });
    return clipOf(text, speech.audio);
  };
  services.answers.add({ match: 'story', text: story });
  services.answers.add({ match: 'train', text: 'It leaves at nine.' });
  const [askStory, askTrain] = [await clipFor('Please tell me a story.'), await clipFor('Wait, when does the train leave?')];
  const beat = new Beat();
  const connect = (): Promise<Caller> =>
    Caller.connect({ url: stack.url.replace('/v1/convai/conversation', ''), agentId: 'quiet', beat });
  const textOf = (caller: Caller, type: string, key: string): string[] =>
    caller.events
      .filter((event) => event.type === type)
      .map((event) =>
        String(Object.values(event.details).map((value) => (value as Record<string, unknown>)?.[key] ?? value)[0] ?? ''),
      );

  await t.test('a question is understood and answered; an interruption stops the answer and is answered', async (t) => {
    const caller = await connect();
    const asked = caller.say(askStory, caller.nowMs + 200);
    const reply = await caller.onset(asked.speechEndMs - 100, 8000);
    t.ok(reply, 'the answer is heard');
    if (reply === undefined) return;
    t.ok(reply.onsetMs! - asked.speechEndMs < 1500, `after ${Math.round(reply.onsetMs! - asked.speechEndMs)} ms`);
    const interrupting = caller.say(askTrain, reply.onsetMs! + 2500);
    const next = await caller.onset(interrupting.speechEndMs - 100, 8000);
    t.ok(next, 'the interruption is answered');
    await caller.endOf(next!, 700, 8000);
    const types = caller.events.map((event) => event.type);
    t.equal(types.filter((type) => type === 'interruption').length, 1);
    t.ok(types.indexOf('interruption') < types.indexOf('agent_response_correction'));
    t.same(caller.problems, [], 'nothing older than the interruption was received after it');
    t.equal(caller.ear.stale.length, 0);
    const heard = reply.lastAudibleMs! - interrupting.speechStartMs;
    t.ok(heard < 600, `silent ${Math.round(heard)} ms after the first sound of the interruption`);
    t.match(
      textOf(caller, 'user_transcript', 'user_transcript').map((text) => text.toLowerCase()),
      [/story/, /train leave/],
    );
    const messages = (services.journal.llmRequests(0).at(-1)!.body as { messages: { role: string; content: string }[] }).messages;
    const said = messages.filter((message) => message.role === 'assistant').map((message) => message.content);
    t.equal(said.length, 1);
    t.ok(
      said[0] !== '' && story.startsWith(said[0]!) && said[0]!.length < story.length,
      `the model is told that "${said[0]}" was heard`,
    );
    await caller.hangUp();
  });

  await t.test('a cough holds the answer and does not end it', async (t) => {
    const caller = await connect();
    const asked = caller.say(askStory, caller.nowMs + 200);
    const reply = await caller.onset(asked.speechEndMs - 100, 8000);
    t.ok(reply);
    if (reply === undefined) return;
    const coughed = caller.say(cough(), reply.onsetMs! + 1500);
    await caller.until(coughed.speechEndMs + 2500);
    t.notOk(
      caller.events.some((event) => event.type === 'interruption'),
      'no interruption',
    );
    t.ok(reply.lastAudibleMs! > coughed.speechEndMs + 2000, 'it goes on');
    t.same(caller.problems, []);
    await caller.hangUp();
  });

  await t.test('hanging up in the middle of an answer gives everything back', async (t) => {
    const caller = await connect();
    const asked = caller.say(askStory, caller.nowMs + 200);
    await caller.onset(asked.speechEndMs - 100, 8000);
    t.match(await caller.hangUp(), { code: 1000 });
    const other = await connect();
    await other.hangUp();
    for (let round = 0; round < 200 && stack.engine.liveCount > 0; round++) await new Promise(setImmediate);
    t.equal(stack.engine.liveCount, 0);
  });
});
