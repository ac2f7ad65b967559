/**
 * Spoken conversations with the real engine in real time, all at once: a question answered and the answer interrupted, a cough, a hang-up in the middle.
 * Recognition, model and voice are the simulated providers behind the real adapters; words reach the engine only as audio.
 */
import { type Test, test } from 'tap';
import { Beat } from '../load/beat.js';
import { Caller } from '../load/caller.js';
import { type Clip, clipOf } from '../load/clip.js';
import { cough } from '../load/cough.js';
import type { HeardReply } from '../load/ear.js';
import { registerClips } from '../load/providers/control.js';
import { loadVoice } from '../load/providers/voice.js';
import { startStack } from './support/engine.js';
import { steadily } from './support/steadily.js';

const story =
  'Once upon a time there was a small harbour with seven boats and one careful lighthouse keeper. Every evening he climbed the stairs and lit the lamp before ' +
  'the fog came in. One night the lamp would not burn, and he had to think of something else very quickly.';
/** Nothing takes that long; on a busy machine it may take longer than it should. */
const patienceMs = 20_000;

/** Judged only when the instants mean something. */
function inTime(t: Test, run: { isSteady: boolean; lateMs: number }, isGood: boolean, what: string): void {
  if (run.isSteady) t.ok(isGood, what);
  else t.comment(`${what}: not judged, this machine was ${run.lateMs} ms late`);
}

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
  const askForStory = async (caller: Caller): Promise<{ reply: HeardReply; afterMs: number }> => {
    const asked = caller.say(askStory, caller.nowMs + 200);
    const reply = await caller.onset(asked.speechEndMs - 100, patienceMs);
    if (reply === undefined) throw new Error('the question was not answered');
    return { reply, afterMs: reply.onsetMs! - asked.speechEndMs };
  };

  const interrupt = async () => {
    const caller = await connect();
    const { reply, afterMs } = await askForStory(caller);
    const interrupting = caller.say(askTrain, reply.onsetMs! + 2500);
    const next = await caller.onset(interrupting.speechEndMs - 100, patienceMs);
    if (next !== undefined) await caller.endOf(next, 700, patienceMs);
    await caller.hangUp();
    return { caller, afterMs, silentAfterMs: reply.lastAudibleMs! - interrupting.speechStartMs, isAnswered: next !== undefined };
  };
  const coughOver = async () => {
    const caller = await connect();
    const { reply } = await askForStory(caller);
    const coughed = caller.say(cough(), reply.onsetMs! + 1500);
    await caller.until(coughed.speechEndMs + 2500);
    await caller.hangUp();
    return { caller, goesOnForMs: reply.lastAudibleMs! - coughed.speechEndMs };
  };
  const leave = async () => {
    const caller = await connect();
    await askForStory(caller);
    return caller.hangUp();
  };
  const [interrupted, coughed, left] = await Promise.all([steadily(interrupt), steadily(coughOver), leave()]);

  await t.test('a question is understood and answered; an interruption stops the answer and is answered', async (t) => {
    const { caller, afterMs, silentAfterMs, isAnswered } = interrupted.found;
    inTime(t, interrupted, afterMs < 1500, `answered after ${Math.round(afterMs)} ms`);
    t.ok(isAnswered, 'the interruption is answered');
    const types = caller.events.map((event) => event.type);
    t.equal(types.filter((type) => type === 'interruption').length, 1);
    t.ok(types.indexOf('interruption') < types.indexOf('agent_response_correction'));
    t.same(caller.problems, [], 'nothing older than the interruption was received after it');
    t.equal(caller.ear.stale.length, 0);
    inTime(
      t,
      interrupted,
      silentAfterMs < 600,
      `silent ${Math.round(silentAfterMs)} ms after the first sound of the interruption`,
    );
    t.match(
      textOf(caller, 'user_transcript', 'user_transcript').map((text) => text.toLowerCase()),
      [/story/, /train leave/],
    );
    const requests = services.journal
      .llmRequests(0)
      .map(({ body }) => (body as { messages: { role: string; content: string }[] }).messages);
    const last = requests.findLast((messages) => /train/i.test(messages.at(-1)!.content))!;
    const said = last.filter((message) => message.role === 'assistant').map((message) => message.content);
    t.equal(said.length, 1);
    t.ok(
      said[0] !== '' && story.startsWith(said[0]!) && said[0]!.length < story.length,
      `the model is told that "${said[0]}" was heard`,
    );
  });

  await t.test('a cough holds the answer and does not end it', async (t) => {
    const { caller, goesOnForMs } = coughed.found;
    t.notOk(
      caller.events.some((event) => event.type === 'interruption'),
      'no interruption',
    );
    inTime(t, coughed, goesOnForMs > 2000, `it goes on for ${Math.round(goesOnForMs)} ms`);
    t.same(caller.problems, []);
  });

  await t.test('hanging up in the middle of an answer gives everything back', async (t) => {
    t.match(left, { code: 1000 });
    const other = await connect();
    await other.hangUp();
    const endMs = performance.now() + patienceMs;
    while (stack.engine.liveCount > 0 && performance.now() < endMs) await new Promise(setImmediate);
    t.equal(stack.engine.liveCount, 0);
  });
});
