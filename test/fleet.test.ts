/** Several engine processes on one port. The same over `ws` is in `slow/`, where there is time for it. */
import fc from 'fast-check';
import { test } from 'tap';
import { type Bucket, FleetSeries } from '../src/fleet/fleet-series.js';
import { slotsFor } from '../src/fleet/places.js';
import { Neighbours } from '../src/server/neighbours.js';
import { EngineError } from '../src/shared/errors.js';
import { connectLocally, LocalDoor, type LocalLink } from '../src/shared/local-link.js';
import { tellFleetStory } from './support/fleet-story.js';

const hasBinary = Number(process.versions.node.split('.')[0]) < 24;

test('two processes on one port', (t) => tellFleetStory(t, hasBinary ? 'uws' : 'ws'));

test('a local link: calls, failures as they were, notes, and an end that ends what waits', async (t) => {
  const notes: unknown[] = [];
  const never: Promise<unknown>[] = [];
  const links = new Set<LocalLink>();
  const door = await LocalDoor.open({
    onCall: async (name, args, link) => {
      links.add(link);
      if (name === 'wait') return new Promise((resolve) => never.push(Promise.resolve(resolve)));
      if (name === 'fail') throw new EngineError('rejected', 'not this', { fields: { field: 'a', count: 2 } });
      return { name, args };
    },
    onNote: (value) => notes.push(value),
    onGone: (link) => links.delete(link),
  });
  const heard: unknown[] = [];
  const link = connectLocally(door.path, {
    onCall: async () => undefined,
    onNote: (value) => heard.push(value),
    onGone: () => undefined,
  });
  link.note({ first: 1 });
  const bytes = new Uint8Array(3_000_000).fill(7);
  const [large, small] = (await Promise.all([link.call('large', [bytes], 5000), link.call('small', [undefined, 'ä'], 5000)])) as {
    args: unknown[];
  }[];
  t.ok(Buffer.from(large!.args[0] as Uint8Array).equals(bytes), 'large messages arrive whole');
  t.same(small!.args, [undefined, 'ä']);
  t.same(notes, [{ first: 1 }], 'and notes in their order');
  const failure = (call: Promise<unknown>): Promise<unknown> => call.catch((error: unknown) => error);
  t.match(await failure(link.call('fail', [], 5000)), {
    kind: 'rejected',
    message: 'not this',
    fields: { field: 'a', count: 2 },
  });
  t.match(await failure(link.call('wait', [], 20)), { kind: 'timeout' });
  t.match(await failure(link.call('small', [new Uint8Array(40_000_000)], 5000)), { kind: 'unavailable' }, 'too large to be sent');
  door.tell('news');
  await link.call('small', [], 5000);
  t.same(heard, ['news']);
  const left = failure(link.call('wait', [], 5000));
  await link.call('small', [], 5000);
  await door.close();
  t.match(await left, { kind: 'unavailable' });
  t.match(await failure(link.call('small', [], 5000)), { kind: 'unavailable' });
});

test('buckets of one second become one, in order, and a process that is late holds up nobody', (t) => {
  const bucket = (atMs: number, calls: number): Bucket => ({
    at_ms: atMs,
    duration_ms: 1000,
    cpu_ms: 10,
    resident_kib: 100,
    threads: { main: { cpu_ms: 5 } },
    histograms: { vad_lag: [10, calls], 'loop_delay/main': [3, 1] },
    counters: { parley_turns_total: calls },
    gauges: { parley_calls: calls, parley_slots_free: 9 },
  });
  const done: Bucket[] = [];
  const series = new FleetSeries(
    (merged) => done.push(merged),
    () => ({ parley_slots_free: 4 }),
  );
  const both = new Set([1, 2]);
  series.add(1, bucket(1003, 3), both, 1003);
  t.same(done, [], 'the other one is waited for');
  series.add(2, bucket(998, 4), both, 1004);
  t.match(done, [
    {
      at_ms: 1000,
      cpu_ms: 20,
      resident_kib: 200,
      threads: { '1 main': { cpu_ms: 5 }, '2 main': { cpu_ms: 5 } },
      histograms: { vad_lag: [10, 7], 'loop_delay/1 main': [3, 1], 'loop_delay/2 main': [3, 1] },
      counters: { parley_turns_total: 7 },
      gauges: { parley_calls: 7, parley_slots_free: 4 },
    },
  ]);
  series.add(1, bucket(2001, 1), both, 2001);
  series.look(both, 2600);
  t.equal(done.length, 1);
  series.look(both, 2701);
  t.match(done[1], { at_ms: 2000, gauges: { parley_calls: 1 } }, 'what there is, when the rest is late');
  series.add(2, bucket(2000, 5), both, 2702);
  t.equal(done.length, 2, 'too late');
  t.end();
});

test('neighbours: the sums are those of what is known', (t) => {
  const news = fc.oneof(
    fc.record({
      kind: fc.constant('opened' as const),
      member: fc.integer({ min: 1, max: 3 }),
      id: fc.integer({ min: 0, max: 8 }),
      agent: fc.constantFrom('a', 'b'),
      address: fc.constantFrom('10.0.0.1', '10.0.0.2'),
    }),
    fc.record({ kind: fc.constant('closed' as const), id: fc.integer({ min: 0, max: 8 }) }),
    fc.record({ kind: fc.constant('gone' as const), member: fc.integer({ min: 1, max: 3 }) }),
  );
  fc.assert(
    fc.property(fc.array(news, { maxLength: 40 }), (all) => {
      const neighbours = new Neighbours();
      const model = new Map<string, { member: number; agent: string; address: string }>();
      for (const one of all) {
        if (one.kind === 'opened') {
          const conversationId = `conv_${one.id}`;
          neighbours.take(one.member, {
            type: 'opened',
            call: { conversationId, agentId: one.agent, address: one.address },
          });
          model.set(conversationId, one);
        } else if (one.kind === 'closed') {
          neighbours.take(1, { type: 'closed', conversationId: `conv_${one.id}` });
          model.delete(`conv_${one.id}`);
        } else {
          neighbours.gone(one.member);
          for (const [id, { member }] of model) if (member === one.member) model.delete(id);
        }
      }
      const calls = [...model.values()];
      return (
        neighbours.count === calls.length &&
        ['a', 'b'].every((agent) => neighbours.withAgent(agent) === calls.filter((call) => call.agent === agent).length) &&
        ['10.0.0.1', '10.0.0.2'].every((from) => neighbours.from(from) === calls.filter(({ address }) => address === from).length)
      );
    }),
  );
  t.end();
});

test('slots: chance does not fill one process while another has places', (t) => {
  for (const [callsMax, processCount] of [
    [64, 2],
    [1000, 8],
    [4, 2],
    [1, 4],
  ] as const) {
    const slots = slotsFor(callsMax, processCount);
    t.ok(slots <= callsMax + 2 && slots * processCount >= callsMax);
    let fullCount = 0;
    const rounds = 300;
    let seed = 7;
    for (let round = 0; round < rounds; round += 1) {
      const loads = new Array<number>(processCount).fill(0);
      for (let call = 0; call < callsMax; call += 1) {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        loads[Math.floor((seed / 2_147_483_648) * processCount)]! += 1;
      }
      if (Math.max(...loads) > slots) fullCount += 1;
    }
    t.ok(
      fullCount <= rounds / 100,
      `${callsMax} calls over ${processCount}: ${slots} slots, ${fullCount} of ${rounds} do not fit`,
    );
  }
  t.end();
});
