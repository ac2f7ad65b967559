import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { talk } from '../load/talk.js';
import type { TurnTimes } from '../load/timeline.js';
import { readWav, writeWav } from '../src/audio/wav.js';
import { hz } from '../src/shared/units.js';
import { type AgentScript, ScriptedAgent } from './scripted-agent.js';

class Pages {
  text = '';
  readonly write = (text: string): void => {
    this.text += text;
  };
}

type Timeline = {
  turns: TurnTimes[];
  firstMessage?: { onsetMs: number; endMs: number };
  problems: string[];
  staleChunks: unknown[];
  events: unknown[];
};

test('talk', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'talk-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const speech = Int16Array.from({ length: 8 * 600 }, (_, i) =>
    i < 80 || i >= 8 * 550 ? 0 : Math.round(6000 * Math.sin(i * 0.5)),
  );
  const file = join(folder, 'speech.wav');
  await writeFile(file, writeWav({ channels: [speech], rateHz: hz(8000) }));
  const run = async (...args: string[]) => {
    const [out, errors] = [new Pages(), new Pages()];
    const status = await talk(args, out, errors);
    return { status, out: out.text, errors: errors.text };
  };

  const runAgainst = async (script: AgentScript, ...args: string[]) => {
    const agent = await ScriptedAgent.start(script);
    const result = await run('--url', agent.url, ...args);
    await agent.close();
    return result;
  };
  const out = join(folder, 'full');
  // These take seconds, because they speak in real time: all at once.
  const [full, unanswered, left, repeated, puzzled] = await Promise.all([
    runAgainst({ replyMs: [300, 1500, 300] }, file, file, '--out', out, '--cough-at', '200', '--barge-in-at', '900'),
    runAgainst({ replyMs: [200, 0] }, file, '--out', join(folder, 'none'), '--wait-ms', '500', '--json', '--ear', 'paced'),
    runAgainst({ replyMs: [200], fault: 'hang up' }, file, file, '--out', join(folder, 'gone')),
    runAgainst({ replyMs: [200, 400, 300], fault: 'repeats itself' }, file, '--out', join(folder, 'repeated')),
    runAgainst({ replyMs: [200, 300], fault: 'understands nothing' }, file, '--out', join(folder, 'puzzled')),
  ]);

  t.test('explains itself', async (t) => {
    const plain = await run();
    t.equal(plain.status, 2);
    t.match(plain.out, /npm run talk -- FILE/);
    t.equal((await run('--help')).status, 0);
  });

  t.test('usage, files and connection', async (t) => {
    const cases: [string[], RegExp][] = [
      [[file, '--nonsense'], /nonsense/],
      [[file, '--url', 'http://127.0.0.1'], /--url is like ws:\/\/host:port, not http/],
      [[file, '--barge-in-at', 'soon'], /--barge-in-at is 0 to 600000 ms, not soon/],
      [[file, '--ear', 'left'], /--ear is buffered or paced/],
      [[join(folder, 'absent.wav')], /cannot read .*absent.wav/],
      [[file, '--out', join(file, 'below')], /--out .*below: ENOTDIR/],
      [[import.meta.filename], /talk.test.js: not a WAV file/],
      [[file, '--url', 'ws://127.0.0.1:1'], /cannot connect(.|\n)*npm start/],
    ];
    for (const [args, message] of cases) {
      const { status, errors } = await run(...args);
      t.equal(status, 2);
      t.match(errors, message);
    }
  });

  t.test('an answer heard out, a cough into it, an interruption', async (t) => {
    t.equal(full.status, 0);
    t.match(full.out, /agent {2}understood “turn before reply 2”/);
    t.match(full.out, /agent {2}speaking, \d+ ms after you stopped/);
    t.match(full.out, /interruption: the agent yielded; noticed after \d+ ms, silent after \d+ ms/);
    const timeline = JSON.parse(await readFile(join(out, 'call.json'), 'utf8')) as Timeline;
    const [first, second] = timeline.turns as [TurnTimes, TurnTimes];
    t.same([timeline.problems, timeline.staleChunks], [[], []]);
    // The instants of a turn in the order in which they can only come.
    const order = [
      timeline.firstMessage!.onsetMs,
      timeline.firstMessage!.endMs,
      first.startMs,
      first.speechStartMs,
      first.speechEndMs,
      first.transcriptAtMs!,
      first.answer!.onsetMs,
      first.cough!.startMs,
      first.cough!.endMs,
      second.speechStartMs,
      first.answer!.endMs,
      second.speechEndMs,
      second.answer!.onsetMs,
    ];
    t.same(
      order,
      [...order].sort((a, b) => a - b),
    );
    t.equal(first.answer!.text, 'Reply 2.');
    t.ok(first.answeredAfterMs! > 200 && first.answeredAfterMs! < 800, `answered after ${first.answeredAfterMs!.toFixed(0)} ms`);
    t.ok(first.answeredAfterMs! >= first.firstChunkAfterMs! - 1);
    t.ok(Math.abs(first.cough!.startMs - first.answer!.onsetMs - 200) < 10, 'coughed when told to');
    t.ok(Math.abs(second.startMs - first.answer!.onsetMs - 900) < 1, 'interrupted when told to');
    t.match(second.interruption, { yielded: true });
    t.ok(['ignored', 'paused'].includes(first.cough!.effect), first.cough!.effect);
    const { channels, rateHz } = readWav(await readFile(join(out, 'call.wav')));
    t.equal(rateHz, 16000);
    t.equal(channels.length, 2);
    const loudest = (samples: Int16Array, fromMs: number, toMs: number) => Math.max(...samples.subarray(fromMs * 16, toMs * 16));
    t.ok(loudest(channels[0]!, first.speechStartMs, first.speechEndMs) > 5000, 'the caller is on the left');
    t.ok(loudest(channels[1]!, timeline.firstMessage!.onsetMs, timeline.firstMessage!.endMs) > 7000, 'the agent is on the right');
    t.ok(loudest(channels[1]!, first.speechStartMs, first.speechEndMs) < 100, 'and silent while the caller spoke');
  });

  t.test('no answer', async (t) => {
    t.equal(unanswered.status, 1);
    t.match(unanswered.errors, /was not answered/);
    t.equal((JSON.parse(unanswered.out) as Timeline).turns[0]!.answer, undefined, 'standard output holds the timeline alone');
  });

  t.test('what the agent says again, or by itself, is no answer', async (t) => {
    t.equal(repeated.status, 0);
    t.match(repeated.out, /not an answer: “Reply 2\.”/);
    const { turns } = JSON.parse(await readFile(join(folder, 'repeated', 'call.json'), 'utf8')) as Timeline;
    t.match(turns[0], { answer: { text: 'Reply 3.' }, unasked: [{ text: 'Reply 2.' }] });
    t.equal(puzzled.status, 1);
    t.match(puzzled.out, /was not understood/);
  });

  t.test('the server hangs up', async (t) => {
    t.equal(left.status, 1);
    t.match(left.out, /the server closed: 1002 the agent has gone/);
    t.match(left.out, /was not said: the call had ended/);
  });
});
