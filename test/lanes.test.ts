/** A lane that dies: what main does with its slots, and what the API thread does with its conversations. `npm run faults` kills real ones. */
import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { test } from 'tap';
import { LaneLink } from '../src/api/lane-link.js';
import type { ToApi } from '../src/api/links.js';
import { Calls, type Visitor } from '../src/server/calls.js';
import type { Connection, UpgradeRequest } from '../src/server/port.js';
import { createBlock } from '../src/shared/slots.js';
import { Recorder } from '../src/telemetry/recorder.js';

const request: UpgradeRequest = {
  path: '/v1/convai/conversation',
  query: '',
  header: () => undefined,
  protocols: [],
  remoteAddress: '127.0.0.1',
};

/** Four slots without threads: what they would answer is kept in `released`. */
function fourSlots(): { calls: Calls; released: (() => void)[]; closes: number[]; open: () => Visitor } {
  const released: (() => void)[] = [];
  const closes: number[] = [];
  const calls: Calls = new Calls(
    createBlock(4),
    {
      toConversation: ({ type, slot, generation }) => {
        if (type === 'close') released.push(() => calls.released({ type: 'released', slot, generation }));
      },
      toTts: () => undefined,
      toStt: () => undefined,
      toVad: () => undefined,
      audio: () => undefined,
    },
    new Recorder('test'),
    () => undefined,
    () => 0,
    { apiKey: '', signingKey: new Uint8Array(32) },
  );
  calls.isOpen = true;
  const open = (): Visitor => {
    const answer = calls.upgrade(request);
    if (!answer.accept) throw new Error(String(answer.response.body));
    const connection: Connection = {
      sendText: () => true,
      bufferedBytes: () => 0,
      ping: () => undefined,
      close: (code) => void closes.push(code),
      terminate: () => undefined,
      cork: (body) => body(),
      remoteAddress: '127.0.0.1',
    };
    calls.opened(answer.session, connection);
    return answer.session;
  };
  return { calls, released, closes, open };
}

test('the node is empty when all threads have let go of the last calls, also of two that end together', (t) => {
  const { calls, released, open } = fourSlots();
  let emptyCount = 0;
  calls.onEmpty = () => {
    emptyCount += 1;
  };
  t.equal(calls.isEmpty, true);
  for (const visitor of [open(), open()]) calls.closed(visitor, 1000);
  t.equal(calls.liveCount, 0);
  const [first, second] = released as [() => void, () => void];
  for (let count = 0; count < 4; count++) first();
  t.equal(emptyCount, 0, 'the threads still have one to end');
  t.equal(calls.isEmpty, false);
  for (let count = 0; count < 4; count++) second();
  t.equal(emptyCount, 1);
  t.equal(calls.isEmpty, true);
  t.end();
});

test('slots of a lost lane are not given out before there is a new one', (t) => {
  const { calls, released, closes, open } = fourSlots();
  const isOdd = (slot: number): boolean => slot % 2 === 1;
  const visitors = [open(), open(), open()];
  calls.lost(isOdd);
  t.same(closes, [1011], 'the one call of the lane');
  t.equal(calls.freeCount, 0, 'its free slot is not free');
  t.match(calls.upgrade(request), { accept: false, response: { status: 503, body: /restarting/ } });
  const lost = visitors.find(({ call }) => call?.slot.index === 1)!;
  calls.closed(lost, 1011);
  for (const run of released.splice(0)) for (let count = 0; count < 4; count++) run();
  t.equal(calls.freeCount, 0, 'what the dead lane still says gives nothing back');
  calls.restored(isOdd);
  t.equal(calls.freeCount, 2);
  open();
  open();
  t.match(calls.upgrade(request), { accept: false, response: { body: /capacity/ } });
  calls.overload = () => 'loop';
  calls.restored(() => true);
  t.equal(calls.freeCount, 0, 'restored once');
  t.end();
});

test('conversations of a lost lane are ended, once', async (t) => {
  const seen: ToApi[] = [];
  const channels = Array.from({ length: 4 }, () => new MessageChannel());
  const [conversation, voice, nextConversation, nextVoice] = channels as [
    MessageChannel,
    MessageChannel,
    MessageChannel,
    MessageChannel,
  ];
  let heard: () => void = () => undefined;
  const link = new LaneLink(conversation.port2, voice.port2, {
    onMessage: (message) => {
      seen.push(message);
      heard();
    },
    onSpoken: () => undefined,
    nowMs: () => 7,
  });
  const until = (count: number): Promise<void> =>
    new Promise((resolve) => {
      heard = () => {
        if (seen.length >= count) resolve();
      };
      heard();
    });
  t.teardown(() => {
    link.close();
    for (const { port1 } of channels) port1.close();
  });
  const head = { agentId: 'a', agentVersion: 0, userId: undefined, startedAtMs: 1, document: {} };
  for (const conversationId of ['one', 'two']) {
    conversation.port1.postMessage({ conversationId, type: 'begin', head: { ...head, conversationId }, recording: undefined });
  }
  const ending = { status: 'done', endedAtMs: 2, document: {} } as const;
  conversation.port1.postMessage({ conversationId: 'two', type: 'end', ending });
  await until(3);
  conversation.port1.close();
  await until(4);
  t.match(seen[3], {
    conversationId: 'one',
    type: 'end',
    ending: { status: 'failed', endedAtMs: 7, document: { error: { code: 1011 } } },
  });

  link.renew(nextConversation.port2, nextVoice.port2);
  t.equal(seen.length, 4, 'not again');
  const told = once(nextConversation.port1, 'message');
  link.announce({ type: 'agent_changed', agentId: 'a', agent: undefined, version: 0 });
  t.match((await told)[0], { type: 'agent_changed' }, 'the new lane is told of agents');
  nextConversation.port1.postMessage({ conversationId: 'three', type: 'begin', head, recording: undefined });
  await until(5);
  link.renew(new MessageChannel().port1, new MessageChannel().port1);
  t.match(seen[5], { conversationId: 'three', type: 'end' }, 'also when the port had no time to close');
});
