/** The plan of the calls, what callers read and write, and a counting caller in a conversation. */
import fc from 'fast-check';
import { test } from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { Beat } from '../load/beat.js';
import { clipOf } from '../load/clip.js';
import { AudioScan } from '../load/rig/audio-scan.js';
import { Behaviour, newTally } from '../load/rig/behaviour.js';
import { planCalls, plannedAt, seatFreeMs, turnKindOf, turnKinds, turnWeights } from '../load/rig/call-plan.js';
import { processesFor } from '../load/rig/crew.js';
import { HearingCaller } from '../load/rig/hearing-caller.js';
import { verdictsIn } from '../load/rig/interruptions.js';
import { LeanCaller } from '../load/rig/lean-caller.js';
import { PreparedAudio, textFrame } from '../load/rig/prepared-audio.js';
import { figuresOf, mergeStages, Stages } from '../load/rig/stages.js';
import { ms } from '../src/shared/units.js';
import { AudioMessageWriter } from '../src/wire/audio-out.js';
import { encodeServerEvent } from '../src/wire/encode.js';
import { ScriptedAgent } from './scripted-agent.js';

const speech = clipOf(
  'speech',
  Int16Array.from({ length: 16 * 500 }, (_, i) => (i < 160 || i >= 16 * 490 ? 0 : Math.round(5000 * Math.sin(i * 0.3)))),
);

test('the plan: never more than one call on a seat, a fixed schedule, the share of churn that was asked for', (t) => {
  const plans = fc.record({
    sessions: fc.integer({ min: 1, max: 120 }),
    rampMs: fc.integer({ min: 0, max: 15_000 }),
    totalMs: fc.integer({ min: 30_000, max: 900_000 }),
    churnRatio: fc.integer({ min: 0, max: 10 }).map((tenths) => tenths / 10),
    heardMax: fc.integer({ min: 0, max: 12 }),
    seed: fc.integer({ min: 0, max: 1000 }),
  });
  fc.assert(
    fc.property(plans, (plan) => {
      const calls = planCalls(plan);
      const again = JSON.stringify(planCalls(plan)) === JSON.stringify(calls);
      const areApart = calls.every((call, index) => {
        const before = calls[index - 1];
        return before === undefined || before.seat !== call.seat || call.startMs >= before.endMs + seatFreeMs;
      });
      const areWithin = calls.every(({ startMs, endMs }) => startMs >= 0 && endMs <= plan.totalMs && endMs > startMs);
      const seats = new Set(calls.map(({ seat }) => seat)).size;
      const heard = new Set(calls.filter(({ isHeard }) => isHeard).map(({ seat }) => seat)).size;
      return again && areApart && areWithin && seats === plan.sessions && heard <= plan.heardMax;
    }),
    { numRuns: 60 },
  );
  const steady = planCalls({ sessions: 10, rampMs: 1000, totalMs: 600_000, churnRatio: 0.2, heardMax: 2, seed: 1 });
  t.equal(new Set(steady.filter(({ ordinal }) => ordinal > 0).map(({ seat }) => seat)).size, 2, 'a fifth of the seats');
  t.same(
    steady.filter(({ ordinal }) => ordinal === 0).map(({ startMs }) => startMs),
    Array.from({ length: 10 }, (_, seat) => seat * 100),
    'calls begin evenly',
  );
  t.ok(plannedAt(steady, 300_000) >= 8);
  t.same([processesFor(50, 2), processesFor(1000, 2), processesFor(1000, 16), processesFor(50, 1)], [1, 1, 4, 1]);
  t.end();
});

test('turns come by their weights', (t) => {
  const counts = new Map<string, number>();
  for (let index = 0; index < 1000; index += 1) {
    const kind = turnKindOf((index + 0.5) / 1000);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const total = turnKinds.reduce((sum, kind) => sum + turnWeights[kind], 0);
  for (const kind of turnKinds) t.ok(Math.abs((counts.get(kind) ?? 0) - (1000 * turnWeights[kind]) / total) <= 1, kind);
  t.end();
});

test('audio messages are read without parsing, and as the parser reads them', (t) => {
  const writer = new AudioMessageWriter();
  const scan = new AudioScan(32);
  const alignment = { chars: ['a', '"'], startMs: [0, 10], durationMs: [10, 10] };
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 2, maxLength: 1300 }).filter(({ length }) => length % 2 === 0),
      fc.integer({ min: 0, max: 1_000_000 }),
      fc.boolean(),
      fc.boolean(),
      (payload, eventId, isFinal, isAligned) => {
        const message = Buffer.from(writer.write(payload, eventId, isAligned ? alignment : undefined, isFinal));
        // Another server writes the same fields in another order.
        const body = JSON.parse(message.toString()) as { audio_event: Record<string, unknown> };
        const turned = { audio_event: Object.fromEntries(Object.entries(body.audio_event).reverse()), type: 'audio' };
        const isSilent = payload.every((byte) => byte === 0) || payload.every((byte) => byte === 255);
        return [message, Buffer.from(JSON.stringify(turned))].every(
          (each) =>
            scan.read(each) &&
            scan.eventId === eventId &&
            scan.durationMs === payload.length / 32 &&
            scan.isFinal === isFinal &&
            scan.isSilent === isSilent,
        );
      },
    ),
  );
  for (const bytes of [
    [255, 240],
    [255, 255, 255, 252],
    [0, 16],
    [0, 0, 0, 1],
  ]) {
    const message = Buffer.from(writer.write(Uint8Array.from(bytes), 1, undefined, false));
    t.ok(scan.read(message) && !scan.isSilent, `${bytes} is heard in its last bits`);
  }
  const flush = Buffer.from(encodeServerEvent({ type: 'flush_audio', eventId: 4, format: 'ulaw_8000' }));
  t.ok(scan.read(flush) && scan.isSilent);
  for (const text of [
    '{"type":"ping","ping_event":{"event_id":1}}',
    '',
    '{"type":"audio","audio_event":{"audio_base_64":"","event_id":1}}',
  ])
    t.notOk(scan.read(Buffer.from(text)), text);
  t.notOk(scan.read(Buffer.from('{"type":"audio","audio_event":{"audio_base_64":"AAAA"}}')), 'without an id');
  t.end();
});

test('frames made beforehand are what a WebSocket server reads', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  const texts: string[] = [];
  const done = new Promise<void>((resolve) => {
    server.on('connection', (socket) => {
      socket.on('message', (data) => texts.push(data.toString()));
      socket.on('close', resolve);
    });
  });
  await new Promise((resolve) => server.once('listening', resolve));
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as { port: number }).port}`);
  const audio = new PreparedAudio('pcm_16000');
  client.on('upgrade', ({ socket }) => {
    client.once('open', () => {
      for (const frame of [textFrame('short'), ...audio.framesOf(speech), audio.silence]) socket.write(frame);
      client.close();
    });
  });
  await done;
  await new Promise((resolve) => server.close(resolve));
  t.equal(texts[0], 'short');
  const bytes = texts
    .slice(1)
    .map((text) => Buffer.from((JSON.parse(text) as { user_audio_chunk: string }).user_audio_chunk, 'base64'));
  const samples = Buffer.concat(bytes);
  t.same(
    new Int16Array(samples.buffer.slice(samples.byteOffset, samples.byteOffset + speech.samples.byteLength)),
    speech.samples,
  );
  t.ok(bytes.at(-1)!.every((byte) => byte === 0) && bytes.every(({ length }) => length === 640));
  t.ok(
    new PreparedAudio('ulaw_8000')
      .framesOf(speech)
      .every(({ length }) => length === new PreparedAudio('ulaw_8000').silence.length),
  );
});

test('a counting caller and a hearing one go through the same conversation', async (t) => {
  for (const kind of ['lean', 'hearing'] as const) {
    const agent = await ScriptedAgent.start({ replyMs: [3000, 400] });
    const stages = new Stages();
    const audio = new PreparedAudio('pcm_16000');
    const options = { url: agent.url, beat: new Beat(), timeoutMs: ms(3000) };
    const caller =
      kind === 'lean'
        ? await LeanCaller.connect({ ...options, audio: () => audio, stages })
        : await HearingCaller.connect(options);
    const greeting = (await caller.waitFor(() => caller.replyFrom(0), 2000))!;
    const said = caller.say(speech, greeting.onsetMs! + 400);
    t.ok(
      said.startMs >= greeting.onsetMs! + 399.9 && said.startMs < greeting.onsetMs! + 421,
      `${kind}: at once or with the next frame`,
    );
    const answer = (await caller.waitFor(() => caller.replyFrom(said.speechEndMs), 3000))!;
    t.ok(answer.eventId > greeting.eventId, `${kind}: the chunk that ends the greeting is no answer`);
    const noticeMs = caller.interruptionFrom(said.speechStartMs)! - said.speechStartMs;
    t.ok(noticeMs > 250 && noticeMs < 700, `${kind}: interrupted after ${noticeMs.toFixed(0)} ms`);
    t.ok(greeting.lastChunkAtMs < said.speechStartMs + noticeMs, `${kind}: nothing came afterwards`);
    t.equal(caller.lastAudibleMs(greeting) === undefined, kind === 'lean');
    caller.pauseReading(60);
    t.equal((await caller.hangUp()).code, 1000);
    t.same([caller.problems, caller.staleCount], [[], 0]);
    await agent.close();
  }
  const stale = await ScriptedAgent.start({ replyMs: [3000, 200], fault: 'stale audio' });
  const audio = new PreparedAudio('pcm_16000');
  const caller = await LeanCaller.connect({
    url: stale.url,
    beat: new Beat(),
    timeoutMs: ms(3000),
    audio: () => audio,
    stages: new Stages(),
  });
  caller.say(speech, 0);
  await caller.waitFor(() => (caller.staleCount > 0 ? true : undefined), 3000);
  t.match(caller.problems, [/audio 1 after interruption 2/]);
  await caller.hangUp();
  await stale.close();
});

test('what the log says of an interruption: the first real verdict, and the HOLD that made the agent silent', (t) => {
  const line = (atMs: number, event: string, more: Record<string, string> = {}) => ({ event, at_ms: atMs, ...more });
  const log = [
    line(900, 'turn.hold'),
    line(1060, 'turn.hold'),
    line(1200, 'turn.verdict', { is: 'false' }),
    line(1300, 'turn.hold'),
    line(1450, 'turn.verdict', { is: 'real', reason: 'words' }),
    line(1500, 'turn.hold'),
    line(1600, 'turn.verdict', { is: 'real', reason: 'late' }),
  ];
  const silent = { verdictAtMs: 1450, reason: 'words', falseVerdicts: 1 };
  t.same(verdictsIn(log, 1000, 2000, 1130), { holdAtMs: 1060, ...silent }, 'the first, when nothing was said between the two');
  t.same(verdictsIn(log, 1000, 2000, 1290), { holdAtMs: 1300, ...silent }, 'the second, when the agent spoke again until it');
  t.same(verdictsIn(log, 1000, 2000, 1380), { holdAtMs: 1300, verdictAtMs: 1450, reason: 'words', falseVerdicts: 1 });
  t.match(verdictsIn(log, 1000, 1100, 1100), { holdAtMs: 1060, verdictAtMs: undefined });
  t.same(verdictsIn([], 0, 9, 5), { holdAtMs: undefined, verdictAtMs: undefined, reason: undefined, falseVerdicts: 0 });
  t.end();
});

test('a silent agent is recorded with the time waited, unless we hang up first', async (t) => {
  const agent = await ScriptedAgent.start({ replyMs: [0] });
  const clips = { questions: [speech], largeQuestions: [speech], interruptions: [speech], longTurns: [speech], noises: [speech] };
  const [stages, tally] = [new Stages(), newTally()];
  const audio = new PreparedAudio('pcm_16000');
  const caller = await LeanCaller.connect({ url: agent.url, beat: new Beat(), timeoutMs: ms(3000), audio: () => audio, stages });
  // The first draw is when, the second what: an answer is asked for.
  await new Behaviour(caller, clips, () => 0, stages, tally).converse(caller.nowMs + 1600);
  await caller.hangUp();
  await agent.close();
  t.match(tally, { turns: 1, unanswered: 0 }, 'the turn was cut short by ourselves');
  t.equal(figuresOf(mergeStages([stages.take()]).get('first_audio')).count, 0);
  t.same(caller.problems, []);
});
