import { test } from 'tap';
import { Beat } from '../load/beat.js';
import { Caller } from '../load/caller.js';
import { decodeAudio, frameEncoder, parseEvent, parseMetadata } from '../load/client-messages.js';
import { clipOf } from '../load/clip.js';
import { ms } from '../src/shared/units.js';
import { ScriptedAgent } from './scripted-agent.js';

const speech = clipOf(
  'speech',
  Int16Array.from({ length: 16 * 500 }, (_, i) => (i < 160 || i >= 16 * 490 ? 0 : Math.round(5000 * Math.sin(i * 0.3)))),
);

test('a conversation: hear, interrupt, be answered, hang up', async (t) => {
  const agent = await ScriptedAgent.start({ replyMs: [3000, 200] });
  const beat = new Beat();
  const caller = await Caller.connect({ url: agent.url, agentId: 'a 1', beat });
  t.same([caller.conversationId, caller.inputFormat, caller.outputFormat], ['conv_test', 'pcm_16000', 'pcm_16000']);
  t.equal(agent.protocols[0], 'convai');
  t.same(agent.received[0], { type: 'conversation_initiation_client_data', conversation_config_override: {} });

  const greeting = (await caller.onset(0, 2000))!;
  const said = caller.say(speech, greeting.onsetMs! + 400);
  t.equal(said.startMs, Math.round((greeting.onsetMs! + 400) * 16) / 16, 'an instant ahead is met to the sample');
  t.same([said.speechStartMs - said.startMs, said.speechEndMs - said.startMs], [speech.firstSample / 16, speech.lastSample / 16]);
  const answer = (await caller.onset(said.speechEndMs, 3000))!;
  t.ok(answer.eventId > greeting.eventId);
  await caller.endOf(answer, 100, 3000);
  const pings = caller.events.filter(({ type }) => type === 'ping').length;
  const closed = await caller.hangUp();

  t.equal(closed.code, 1000);
  t.same(caller.problems, []);
  t.same(caller.ear.stale, []);
  const interruption = caller.events.find(({ type }) => type === 'interruption')!;
  // The server stops after 15 loud frames, of which the first may be loud at its end only.
  const noticeMs = interruption.atMs - said.speechStartMs;
  t.ok(noticeMs > 270 && noticeMs < 600, `interrupted ${noticeMs.toFixed(0)} ms after the first sample`);
  t.ok(greeting.lastAudibleMs! <= interruption.atMs + 10, 'the flush chunk ends it');
  t.ok(greeting.receivedSamples < 3000 * 16);
  t.same(
    agent.received.filter(({ type }) => type === 'pong').map((pong) => pong['event_id']),
    Array.from({ length: pings }, (_, i) => i + 1),
    'each ping is answered',
  );

  const [saidLane, heardLane] = [caller.saidLane(), caller.heardLane()];
  t.same(
    saidLane.subarray(said.startMs * 16, said.startMs * 16 + speech.samples.length),
    speech.samples,
    'lane of what was said',
  );
  // The tone's very first sample is 0, the next one loud.
  t.equal(
    heardLane.findIndex((value) => value !== 0),
    greeting.onsetMs! * 16,
    'lane of what was heard',
  );
  t.equal(beat.latenessUs.totalCount, agent.audioMessages, 'a frame for each beat');
  await agent.close();
});

test('one timer serves many callers, and none is left behind', async (t) => {
  const agent = await ScriptedAgent.start({ replyMs: [60] });
  const beat = new Beat();
  const callers = await Promise.all(
    Array.from({ length: 20 }, () => Caller.connect({ url: agent.url, beat, keepsLanes: false })),
  );
  const greetings = await Promise.all(callers.map((caller) => caller.onset(0, 3000)));
  t.ok(greetings.every((greeting) => greeting !== undefined));
  await Promise.all(callers.map((caller) => caller.until(400)));
  t.ok(agent.audioMessages >= 20 * 18);
  await Promise.all(callers.map((caller) => caller.hangUp()));
  await agent.close();
  t.same(
    callers.flatMap((caller) => caller.problems),
    [],
  );
  t.equal(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length, 0);
});

test('what the server does wrong is noticed', async (t) => {
  const agent = await ScriptedAgent.start({ replyMs: [3000, 200], fault: 'stale audio' });
  const caller = await Caller.connect({ url: agent.url, beat: new Beat() });
  caller.say(speech);
  await caller.waitFor(() => caller.ear.stale[0], 3000);
  t.match(caller.ear.stale, [{ sampleCount: 640 }]);
  t.match(caller.problems, [/audio 1 after interruption 2/, /audio 1 after audio 3/]);
  await caller.hangUp();
  await agent.close();
  const odd = await ScriptedAgent.start({ replyMs: [100], fault: 'odd audio' });
  const listener = await Caller.connect({ url: odd.url, beat: new Beat() });
  await listener.waitFor(() => listener.problems[0], 2000);
  t.match(listener.problems[0], /without whole samples/);
  await listener.hangUp();
  await odd.close();
});

test('a server that closes ends every wait', async (t) => {
  const agent = await ScriptedAgent.start({ replyMs: [0], fault: 'hang up' });
  const caller = await Caller.connect({ url: agent.url, beat: new Beat() });
  caller.say(speech);
  t.equal(await caller.onset(0, 60_000), undefined);
  t.match(caller.closed, { code: 1002, reason: 'the agent has gone' });
  await caller.until(1_000_000);
  t.match(await caller.hangUp(), { code: 1002 });
  await agent.close();
});

test('connections that come to nothing', async (t) => {
  const beat = new Beat();
  const connect = async (fault: 'refuse' | 'bad metadata' | 'no metadata') => {
    const agent = await ScriptedAgent.start({ replyMs: [0], fault });
    const outcome = await Caller.connect({ url: agent.url, beat, connectTimeoutMs: ms(200) }).catch((error: unknown) => error);
    await agent.close();
    return outcome;
  };
  t.match(await connect('refuse'), { kind: 'rejected', message: /3000: unknown agent/, fields: { code: 3000 } });
  t.match(await connect('bad metadata'), { kind: 'garbage', message: /mp3_44100/ });
  t.match(await connect('no metadata'), { kind: 'timeout', message: /within 200 ms/ });
  await t.rejects(Caller.connect({ url: 'ws://127.0.0.1:1', beat }), {
    name: 'EngineError',
    message: /cannot connect to ws:\/\/127.0.0.1:1/,
  });
});

test('messages of the protocol', (t) => {
  t.same(parseEvent('{"type":"client_tool_call","client_tool_call":{"tool_name":"x","event_id":4}}'), {
    type: 'client_tool_call',
    details: { tool_name: 'x', event_id: 4 },
    eventId: 4,
  });
  t.same(parseEvent('{"type":"guardrail_triggered"}'), { type: 'guardrail_triggered', details: {}, eventId: undefined });
  for (const text of ['', '[]', '7', '{}', '{"type":3}', '{"type":']) t.equal(parseEvent(text), undefined, text);
  t.equal(parseMetadata('{"type":"ping","ping_event":{"event_id":1}}'), undefined);
  t.match(
    parseMetadata(
      '{"type":"conversation_initiation_metadata","conversation_initiation_metadata_event":{"agent_output_audio_format":"ulaw_8000"}}',
    ),
    {
      inputFormat: 'pcm_16000',
      outputFormat: 'ulaw_8000',
    },
  );
  t.same(decodeAudio('AQD//w==', 'pcm_24000'), Int16Array.of(1, -1));
  t.same(decodeAudio('/wA=', 'ulaw_8000'), Int16Array.of(0, -32124));
  t.equal(decodeAudio('AQ==', 'pcm_16000'), undefined);
  const frame = new Int16Array(320).fill(8);
  const bytesOf = (message: string) =>
    Buffer.from((JSON.parse(message) as { user_audio_chunk: string }).user_audio_chunk, 'base64');
  t.same(bytesOf(frameEncoder('pcm_16000')(frame)), Buffer.from(frame.buffer));
  t.same(bytesOf(frameEncoder('pcm_16000')(undefined)), Buffer.alloc(640));
  const telephone = frameEncoder('ulaw_8000');
  const sizes = [frame, undefined, frame].map((next) => bytesOf(telephone(next)).length);
  t.same(sizes, [124, 160, 160], 'the first frame is short by the latency of the resampler');
  t.end();
});
