/** Rows about the engine's own parts: threads that die or hang, a blocked loop, a full disk, and how the process ends. */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from './client.js';
import type { FaultyThread, ThreadFault } from './inject.js';
import { type Group, holeMaxMs, lateness, must, type Row, seen, sentence } from './row.js';

/** From the death to the first call that is taken again. */
const respawnMaxMs = 15_000;

const recordingsPath = join(tmpdir(), `parley-faults-${process.pid}`);
process.once('exit', () => rmSync(recordingsPath, { recursive: true, force: true }));

const endings = (clients: readonly Client[]): string =>
  clients.map(({ closed }) => (closed === undefined ? 'goes on' : `${closed.code}`)).join(', ');

/** A thread of one of two lanes breaks under talking calls. */
function laneRow(thread: FaultyThread, fault: ThreadFault, what: string): Row {
  return {
    what: `${thread} thread ${what}`,
    promised: 'calls of its lane end with 1011, those of the other go on; the lane is started anew',
    run: async (bench) => {
      const places = await bench.free();
      const clients = await Promise.all(Array.from({ length: 4 }, () => bench.begin('beside')));
      for (const client of clients) await client.event('audio');
      const brokenAtMs = performance.now();
      bench.stack.breakEngine({ fault, thread });
      await bench.until('two calls end', () => clients.filter(({ closed }) => closed !== undefined).length === 2, respawnMaxMs);
      const [downMs] = clients.flatMap(({ closed }) => (closed === undefined ? [] : [Math.round(closed.atMs - brokenAtMs)]));
      await bench.until('all places are back', async () => (await bench.free()) === places - 2, respawnMaxMs);
      const upMs = Math.round(performance.now() - brokenAtMs);
      const extra = await Promise.all(Array.from({ length: places - 2 }, () => bench.begin()));
      for (const client of extra) must((await client.ask('Are you there?')).text === sentence, 'a new call is not answered');
      await wait(500);
      const alive = clients.filter(({ closed }) => closed === undefined);
      const holeMs = Math.round(Math.max(...alive.map((client) => client.playback().holeMs)));
      const ended = clients.filter(({ closed }) => closed !== undefined);
      await Promise.all([...alive, ...extra].map((client) => client.close()));
      must(
        ended.every(({ closed }) => closed?.code === 1011),
        endings(clients),
      );
      must(
        alive.length === 2 && holeMs <= holeMaxMs + lateness.since(brokenAtMs),
        `${alive.length} went on, with a hole of ${holeMs} ms`,
      );
      return `2 ended with 1011 after ${downMs} ms, 2 went on (longest hole ${holeMs} ms), all places taken again after ${upMs} ms`;
    },
  };
}

const twoLanes = { isBreakable: true, environment: { PARLEY_LANES: '2', FAULT_HEAP_MB: '128' } };
const oneLane = { isBreakable: true, environment: { PARLEY_LANES: '1', PARLEY_DRAIN_SECONDS: '1' } };
const group = (title: string, options: Group['options'], ...rows: readonly Row[]): Group => ({
  title,
  options,
  hasBeside: false,
  rows,
});

const loneLane: Row = {
  what: 'thread of the only lane throws',
  promised: 'its calls end with 1011; new calls are refused with 503 and taken again after the respawn',
  run: async (bench) => {
    const client = await bench.begin('beside');
    await client.event('audio');
    bench.stack.breakEngine({ fault: 'throw', thread: 'conversation' });
    const { code } = await client.ended();
    const refusal = await bench.refusal();
    const startedAtMs = performance.now();
    await bench.until('a call is taken', async () => (await bench.refusal()) === 'accepted', respawnMaxMs);
    const tookMs = Math.round(performance.now() - startedAtMs);
    const next = await bench.begin();
    const { text } = await next.ask('Are you there?');
    await next.close();
    must(/^(503 restarting Retry-After \d|accepted)/.test(refusal), refusal);
    return seen(code === 1011 && text === sentence, `${code}; ${refusal}; taken again after ${tookMs} ms`);
  },
};

const thirdDeath: Row = {
  what: 'third death of a lane in a minute',
  promised: 'no crash loop: unready, exit 1',
  run: async (bench) => {
    for (let death = 1; death <= 3; death++) {
      await bench.until('the lane is there', async () => (await bench.status('/readyz')).status === 200, respawnMaxMs);
      bench.stack.breakEngine({ fault: 'exit', thread: 'stt' });
      if (death < 3) await bench.until('it dies', async () => (await bench.status('/readyz')).status === 503, 5000);
    }
    const status = await Promise.race([bench.stack.engineExit, wait(15_000).then(() => 'still there')]);
    return seen(status === 1, `exit ${status}`);
  },
};

const stuckInModel: Row = {
  what: 'detector does not come out of the model',
  promised: 'not terminated (that would abort the process): calls told, exit 1',
  run: async (bench) => {
    const client = await bench.begin('beside');
    await client.event('audio');
    bench.stack.breakEngine({ fault: 'hang_in_model', thread: 'vad' });
    const { code } = await client.ended(20_000);
    const status = await Promise.race([bench.stack.engineExit, wait(25_000).then(() => 'still there')]);
    return seen(code === 1011 && status === 1, `${code}, exit ${status}`);
  },
};

const apiRow = (fault: ThreadFault, what: string): Row => ({
  what: `API thread ${what}`,
  promised: 'calls go on; REST answers again',
  run: async (bench) => {
    const client = await bench.begin('beside');
    await client.event('audio');
    const deaths = await bench.metric('parley_api_deaths_total');
    bench.stack.breakEngine({ fault, thread: 'api' });
    await bench.until('it died', async () => (await bench.metric('parley_api_deaths_total')) > deaths, 20_000);
    const rest = async (): Promise<boolean> =>
      (await bench.status('/v1/convai/agents').catch(() => ({ status: 0 }))).status === 200;
    const tookMs = await bench.until('REST answers', rest, 20_000);
    const { holeMs } = client.playback();
    const isOn = client.closed === undefined;
    await client.close();
    return seen(
      isOn && holeMs <= holeMaxMs,
      `the call went on (longest hole ${Math.round(holeMs)} ms), REST back ${tookMs} ms after the death`,
    );
  },
});

const uncaught: Row = {
  what: 'exception on main that nobody catches',
  promised: 'calls told 1011, exit 1, within 2 s',
  run: async (bench) => {
    const client = await bench.begin('beside');
    await client.event('audio');
    const brokenAtMs = performance.now();
    bench.stack.breakEngine({ fault: 'uncaught' });
    const { code, reason } = await client.ended();
    const status = await Promise.race([bench.stack.engineExit, wait(10_000).then(() => 'still there')]);
    const tookMs = Math.round(performance.now() - brokenAtMs);
    return seen(code === 1011 && status === 1 && tookMs < 3000, `${code} "${reason}", exit ${status} after ${tookMs} ms`);
  },
};

const blocked: Row = {
  what: 'event loop of main blocked for 50, 200 and 1000 ms',
  promised: 'the call goes on, without a burst above the lead (250 ms); after a second new calls get 503 until it is well again',
  run: async (bench) => {
    const client = await bench.begin('beside');
    await client.event('audio');
    // The watch looks at whole seconds with calls in them.
    await wait(2500);
    const refusals: string[] = [];
    for (const ms of [50, 200, 1000]) {
      bench.stack.breakEngine({ fault: 'block', ms });
      await wait(ms + 60);
      refusals.push(await bench.refusal());
      await wait(1500);
    }
    const tookMs = await bench.until('calls are taken', async () => (await bench.refusal()) === 'accepted', 10_000);
    const { leadMs, holeMs } = client.playback();
    const isOn = client.closed === undefined;
    await client.close();
    const observed = `${refusals.join(' | ')}; open again ${tookMs} ms later; most in hand ${Math.round(leadMs)} ms, longest hole ${Math.round(holeMs)} ms`;
    return seen(isOn && /^503 overloaded/.test(refusals[2]!) && leadMs < 600 && holeMs < 1500, observed);
  },
};

const fullDisk: Row = {
  what: 'disk full while a call is recorded',
  promised: 'the call goes on; its record is kept and says what is missing',
  run: async (bench) => {
    const client = await bench.begin('beside');
    const id = String((await client.event('conversation_initiation_metadata'))['conversation_id']);
    await client.event('audio');
    bench.stack.breakEngine({ fault: 'disk_full', thread: 'api' });
    await wait(3000);
    const { holeMs } = client.playback();
    const isOn = client.closed === undefined;
    await client.close();
    const record = async (): Promise<Record<string, unknown>> => (await bench.status(`/v1/convai/conversations/${id}`)).body;
    await bench.until('the record is there', async () => /"status":"(?:done|failed)"/.test(JSON.stringify(await record())), 5000);
    const { status, has_audio: hasAudio } = await record();
    return seen(
      isOn && holeMs <= holeMaxMs,
      `the call went on (longest hole ${Math.round(holeMs)} ms), record ${String(status)}, has_audio ${String(hasAudio)}`,
    );
  },
};

const blockedLog: Row = {
  what: 'nobody reads the log',
  promised: 'calls go on, memory flat',
  run: async (bench) => {
    const client = await bench.begin();
    bench.stack.stopReadingLog();
    const before = bench.stack.engineCost().residentMb;
    let turns = 0;
    for (const endMs = performance.now() + 6000; performance.now() < endMs; turns++) {
      must((await client.ask(`turn ${turns}`, 5000)).text === sentence, `turn ${turns} was not answered`);
      const other = await bench.begin();
      await other.close();
    }
    const growthMb = Math.round(bench.stack.engineCost().residentMb - before);
    await client.close();
    return seen(
      turns > 20 && growthMb < 60,
      `${turns} turns and calls answered, memory ${growthMb >= 0 ? '+' : ''}${growthMb} MB`,
    );
  },
};

const drains: Row = {
  what: 'SIGTERM in the middle of a call',
  promised: '/readyz 503 at once, calls still taken for the notice, then 503 draining; the call is finished; exit 0',
  run: async (bench) => {
    const client = await bench.begin();
    await client.firstAudio(await client.ask('Tell me.'));
    bench.stack.signalEngine('SIGTERM');
    const unreadyMs = await bench.until('unready', async () => (await bench.status('/readyz')).status === 503, 2000);
    const during = await bench.refusal();
    await bench.until('refused', async () => (await bench.refusal()) !== 'accepted', 4000);
    const after = await bench.refusal();
    const { text } = await client.ask('And now?');
    await client.close();
    const status = await Promise.race([bench.stack.engineExit, wait(10_000).then(() => 'still there')]);
    const observed = `unready after ${unreadyMs} ms, ${during}, then ${after}; the call was answered, exit ${status}`;
    return seen(during === 'accepted' && /^503 draining/.test(after) && text === sentence && status === 0, observed);
  },
};

const deadline: Row = {
  what: 'calls that do not end before the deadline of the drain',
  promised: '1011 "restarting", exit 0',
  run: async (bench) => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => bench.begin('beside')));
    bench.stack.signalEngine('SIGTERM');
    const ended = await Promise.all(clients.map((client) => client.ended()));
    const status = await Promise.race([bench.stack.engineExit, wait(10_000).then(() => 'still there')]);
    const isSo = ended.every(({ code, reason }) => code === 1011 && /restarting/.test(reason)) && status === 0;
    return seen(isSo, `${endings(clients)}; exit ${status}`);
  },
};

const secondSignal: Row = {
  what: 'second SIGTERM',
  promised: 'calls told 1011, exit within 2 s',
  run: async (bench) => {
    const client = await bench.begin('beside');
    await client.event('audio');
    bench.stack.signalEngine('SIGTERM');
    await wait(500);
    const startedAtMs = performance.now();
    bench.stack.signalEngine('SIGTERM');
    const { code } = await client.ended();
    const status = await Promise.race([bench.stack.engineExit, wait(10_000).then(() => 'still there')]);
    const tookMs = Math.round(performance.now() - startedAtMs);
    return seen(code === 1011 && status === 0 && tookMs < 3000, `${code}, exit ${status} after ${tookMs} ms`);
  },
};

const drain = { environment: { PARLEY_DRAIN_NOTICE_SECONDS: '1', PARLEY_DRAIN_SECONDS: '20' } };

export const insideGroups: readonly Group[] = [
  group('voice thread throws', twoLanes, laneRow('tts', 'throw', 'throws')),
  group('conversation thread hangs', twoLanes, laneRow('conversation', 'hang', 'hangs')),
  group('recognition thread ends', twoLanes, laneRow('stt', 'exit', 'ends by itself')),
  group('heap runs out', twoLanes, laneRow('conversation', 'heap', 'runs out of heap')),
  group('detector hangs', twoLanes, laneRow('vad', 'hang', 'hangs')),
  group('thread is terminated', twoLanes, laneRow('tts', 'terminate', 'is terminated')),
  group('only lane', oneLane, loneLane),
  group('crash loop', oneLane, thirdDeath),
  group('detector in the model', oneLane, stuckInModel),
  group('API thread', oneLane, apiRow('throw', 'throws'), apiRow('hang', 'hangs')),
  group('exception on main', oneLane, uncaught),
  group('blocked loop', { ...oneLane, environment: { ...oneLane.environment, PARLEY_LOOP_DELAY_MAX_MS: '1000' } }, blocked),
  group('disk', { ...oneLane, environment: { ...oneLane.environment, PARLEY_RECORDINGS: recordingsPath } }, fullDisk),
  group('log', {}, blockedLog),
  group('drain', drain, drains),
  group('drain to its deadline', { environment: { PARLEY_DRAIN_NOTICE_SECONDS: '0', PARLEY_DRAIN_SECONDS: '1' } }, deadline),
  group('second signal', drain, secondSignal),
];
