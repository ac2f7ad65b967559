import fc from 'fast-check';
import { test } from 'tap';
import { analyse } from '../bench/eval/metrics/analyse.js';
import { commonCount, commonStart, meantWords, wordsOf } from '../bench/eval/metrics/words.js';
import { gapCredit, ramp } from '../bench/eval/ramp.js';
import { dimIds } from '../bench/eval/result.js';
import { plainScoresOf, scoresOf, totalOf } from '../bench/eval/score.js';
import { ascending, drawsOf, quantile, shareOf, statisticOf } from '../bench/eval/statistics.js';
import { crossEffects, variationFigures } from '../bench/eval/variations.js';
import { RunBuilder } from './support/eval-run.js';

const setting = { clock: 'virtual', profile: 'reference' } as const;
const near = (value: number | undefined, wanted: number, slack: number): boolean =>
  value !== undefined && Math.abs(value - wanted) <= slack;

test('ramp and gap credit lie between 0 and 1 and never rise towards the bad end', async (t) => {
  t.equal(ramp(250, 250, 1500), 1);
  t.equal(ramp(1500, 250, 1500), 0);
  t.equal(ramp(875, 250, 1500), 0.5);
  const finite = fc.double({ min: -1e5, max: 1e5, noNaN: true });
  fc.assert(
    fc.property(finite, finite, finite, fc.double({ min: 1e-3, max: 1e5, noNaN: true }), (x, y, good, width) => {
      const [low, high] = [Math.min(x, y), Math.max(x, y)];
      const [one, two] = [ramp(low, good, good + width), ramp(high, good, good + width)];
      return one >= two && two >= 0 && one <= 1;
    }),
  );
  t.same(
    [-200, 800, 1000, 1500, 2000, 3500, 9000].map((ms) => Math.round(1000 * gapCredit(ms, false)) / 1000),
    [1, 1, 0.9, 0.6, 0.35, 0, 0],
  );
  t.equal(gapCredit(undefined, false), 0);
  t.equal(gapCredit(1500, true), 1, 'a dictation is given 700 ms more');
  fc.assert(
    fc.property(
      finite,
      finite,
      fc.boolean(),
      (x, y, isDictation) => gapCredit(Math.min(x, y), isDictation) >= gapCredit(Math.max(x, y), isDictation),
    ),
  );
});

test('the total is a weighted geometric mean that rises with every dimension', async (t) => {
  t.ok(near(totalOf({ D1: 10, D2: 10, D3: 10, D4: 10, D5: 10, D6: 10 }), 10, 1e-9));
  t.equal(totalOf({ D1: 0, D2: 0.5, D3: 1, D4: 0, D5: 0, D6: 0 }), 1, 'nothing counts for less than 1');
  t.ok(near(totalOf({ D1: 4, D2: undefined, D3: 9 }), 6, 1e-9), 'what is not known leaves its weight to the others');
  const score = fc.double({ min: 0, max: 10, noNaN: true });
  fc.assert(
    fc.property(fc.array(score, { minLength: 6, maxLength: 6 }), fc.nat(5), score, (scores, at, other) => {
      const [low, high] = [Math.min(scores[at]!, other), Math.max(scores[at]!, other)];
      const total = (value: number): number =>
        totalOf(Object.fromEntries(dimIds.map((id, index) => [id, index === at ? value : scores[index]])));
      return total(low) <= total(high) + 1e-12;
    }),
  );
});

test('quantiles, shares and intervals', async (t) => {
  t.equal(quantile([], 0.5), undefined);
  t.equal(quantile([1, 2, 3, 4], 0.5), 2.5);
  const shares = [[1, 2, 3], [4], [], [10, 12]].map((values) => shareOf(values));
  const draws = drawsOf(shares.length, 7);
  const statistic = statisticOf(shares, draws);
  t.same(statistic, statisticOf(shares, drawsOf(shares.length, 7)), 'the same draws for the same seed');
  t.equal(statistic.n, 6);
  t.ok(near(statistic.mean, 32 / 6, 1e-9));
  t.ok(statistic.interval!.low <= statistic.mean! && statistic.mean! <= statistic.interval!.high);
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { minLength: 1 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, share) => {
        const sorted = ascending(values);
        const value = quantile(sorted, share)!;
        return value >= sorted[0]! && value <= sorted.at(-1)!;
      },
    ),
  );
});

test('words as they are compared', async (t) => {
  t.same(wordsOf("I'd like, um: TWO tickets…"), ['id', 'like', 'um', 'two', 'tickets']);
  t.same(meantWords('I ordered a um, a battery'), ['i', 'ordered', 'a', 'battery']);
  t.equal(commonCount(['a', 'b', 'c', 'd'], ['b', 'x', 'd']), 2);
  t.equal(commonStart(['a', 'b', 'c'], ['a', 'b', 'd']), 2);
});

test('an answer: gap, wait for it, words of the request', async (t) => {
  const figures = analyse(
    new RunBuilder('A').turn('t1', 500, 1000, 'Is it open?').reply(1, 2100, 1500).commit(1750).answered(1, 'Is it open?').build(),
  );
  const [turn] = figures.turns;
  t.ok(near(turn!.gapMs, 600, 1));
  t.equal(turn!.endpointDelayMs, 250);
  t.equal(turn!.isMissed, false);
  t.equal(turn!.isTakeover, true);
  t.equal(turn!.answerCount, 1);
  t.equal(turn!.lostWords, 0);
  t.equal(figures.utterances[0]!.cause, 'answer');
  t.equal(figures.isPassed, true, JSON.stringify(figures.expectations));
  const waterfall = turn!.waterfall!;
  t.ok(
    near(
      Object.values(waterfall).reduce((sum, ms) => sum + ms, 0),
      turn!.gapMs!,
      0.01,
    ),
    'its parts add up to the gap',
  );
});

test('an answer after four seconds is none', async (t) => {
  const figures = analyse(new RunBuilder('A').turn('t1', 500, 1000, 'Is it open?').reply(1, 5700, 1000).commit(5500).build());
  t.equal(figures.turns[0]!.isMissed, true);
  t.equal(figures.turns[0]!.deadMs, 3000);
  t.equal(figures.isPassed, false);
});

test('two answers to one turn are two, though nothing was heard between its commits; an idle prompt is none', async (t) => {
  const halves = (): RunBuilder =>
    new RunBuilder('K').turn('t1', 500, 1000, 'Is it open?').turn('t1', 2200, 700, 'And when?').commit(1800).commit(3200);
  const whole = 'Is it open? And when?';
  const once = halves().reply(1, 3400, 1500).answered(1, whole);
  t.equal(analyse(once.build()).turns[0]!.answerCount, 1);
  const twice = halves().reply(1, 3400, 1500).answered(1, 'Is it open?').reply(2, 5200, 1500).answered(2, whole);
  t.equal(analyse(twice.build()).turns[0]!.answerCount, 2);
  const prompted = analyse(once.reply(2, 8500, 1000).build());
  t.equal(prompted.turns[0]!.answerCount, 1);
  t.equal(prompted.utterances[1]!.cause, 'idle_prompt');
});

test('an onset in a pause of the caller is a cut-in, one after the turn is not', async (t) => {
  const builder = (onsetMs: number) =>
    new RunBuilder('B').turn('t1', 500, 1000, 'I would like,').turn('t1', 2300, 1000, 'a ticket.').reply(1, onsetMs, 1200);
  const cut = analyse(builder(2000).commit(1900).build());
  t.equal(cut.holds.length, 1);
  t.equal(cut.holds[0]!.stratum, '800-1199');
  t.equal(cut.holds[0]!.isCutIn, true);
  t.equal(cut.holds[0]!.isPrematureCommit, true);
  t.ok(near(cut.holds[0]!.overlapMs, 750, 100), `${cut.holds[0]!.overlapMs}`);
  const good = analyse(builder(3900).commit(3600).build());
  t.equal(good.holds[0]!.isCutIn, false);
  t.equal(good.holds[0]!.isPrematureCommit, false);
  const inPart = analyse(builder(2700).commit(2600).build());
  t.equal(inPart.holds[0]!.isCutIn, false);
  t.equal(inPart.partCutIns.length, 1);
});

test('an interruption: stop, decision, last frame, tail, words', async (t) => {
  const builder = new RunBuilder('E')
    .turn('t1', 500, 1000, 'Tell me.')
    .commit(1700)
    .reply(1, 2000, 6000, [{ fromMs: 0, countMs: 1600, fadeMs: 10 }]);
  builder.turn('t2', 3500, 800, 'Stop it.', 'interrupt').white('hold', 3580).white('cut', 3800, 1).commit(4500);
  builder.heardWords(1, 'Tell me.', 'Stop it.').reply(2, 4800, 1500);
  const figures = analyse(builder.build());
  const [one] = figures.interruptions;
  t.equal(one!.isYielded, true);
  t.ok(near(one!.stopMs, 100, 12), `stop ${one!.stopMs}`);
  t.equal(one!.detectMs, 80);
  t.ok(near(one!.tailMs, 20, 12), `tail ${one!.tailMs}`);
  t.ok(near(one!.gapMs, 500, 1));
  t.equal(one!.staleCount, 0);
  t.equal(one!.context?.isTrue, true);
  const [edge] = figures.edges;
  t.ok(edge!.kind === 'stop' && near(edge!.edgeMs, 8, 1), `${edge?.edgeMs}`);
});

test('an agent that goes on has not yielded, and what comes back later is stale', async (t) => {
  const base = (): RunBuilder => new RunBuilder('E').turn('t1', 500, 1000, 'Tell me.').commit(1700);
  const goesOn = base()
    .reply(1, 2000, 6000, [
      { fromMs: 0, countMs: 1650 },
      { fromMs: 1650, countMs: 4350, pauseMs: 600 },
    ])
    .turn('t2', 3500, 800, 'Stop it.', 'interrupt');
  const [missed] = analyse(goesOn.build()).interruptions;
  t.equal(missed!.isYielded, false);
  t.equal(missed!.stopMs, undefined);
  const stale = base()
    .reply(1, 2000, 6000, [{ fromMs: 0, countMs: 1650 }])
    .turn('t2', 3500, 800, 'Stop it.', 'interrupt')
    .commit(4400)
    .reply(2, 4800, 1500)
    .again(1, 6400, 3000, 400);
  const [late] = analyse(stale.build()).interruptions;
  t.equal(late!.isYielded, true);
  t.equal(late!.staleCount, 1);
});

test('who interrupts in a stall of the agent has interrupted it; who speaks into a longer silence has not', async (t) => {
  const cutShort = (beginMs: number) =>
    analyse(
      new RunBuilder('E')
        .turn('t1', 500, 1000, 'Tell me.')
        .commit(1700)
        .reply(1, 2000, 6000, [{ fromMs: 0, countMs: 1650 }])
        .turn('t2', beginMs, 800, 'Stop it.', 'interrupt')
        .commit(beginMs + 1000)
        .reply(2, beginMs + 1300, 1500)
        .build(),
    ).interruptions[0]!;
  t.match(cutShort(3650 + 250), { eventId: 1, isYielded: true, stopMs: 0 });
  t.match(cutShort(3650 + 350), { eventId: undefined, isYielded: false });
});

test('what is not meant for the agent: ignored, paused, stopped, answered', async (t) => {
  const base = (pieces?: Parameters<RunBuilder['reply']>[3]): RunBuilder =>
    new RunBuilder('G')
      .turn('t1', 500, 1000, 'Tell me.')
      .commit(1700)
      .event('noise', 'cough', 3500, 300)
      .reply(1, 2000, 6000, pieces);
  const [ignored] = analyse(base().build()).events;
  t.match(ignored, { effect: 'ignored', class: 'body', credit: 1, isUnderSpeech: true });
  const [paused] = analyse(
    base([
      { fromMs: 0, countMs: 1620 },
      { fromMs: 1500, countMs: 4500, pauseMs: 500 },
    ]).build(),
  ).events;
  t.equal(paused!.effect, 'paused');
  t.ok(near(paused!.resumeDelayMs, 320, 15), `${paused!.resumeDelayMs}`);
  t.ok(near(paused!.repeatMs, 120, 30), `${paused!.repeatMs}`);
  t.equal(paused!.skipMs, 0);
  t.ok(near(paused!.credit, 0.7 * ramp(320, 300, 2000), 0.01));
  const [jumped] = analyse(
    base([
      { fromMs: 0, countMs: 1620 },
      { fromMs: 2120, countMs: 3880, pauseMs: 500 },
    ]).build(),
  ).events;
  t.match(jumped, { effect: 'paused', credit: 0 }, 'half a second of silence is one, whatever was left out in it');
  t.ok(near(jumped!.skipMs, 500, 30), `${jumped!.skipMs}`);
  const stopped = analyse(base([{ fromMs: 0, countMs: 1620 }]).build()).events[0];
  t.match(stopped, { effect: 'stopped', credit: 0 });
  const answered = analyse(base().commit(8100).reply(2, 8500, 1000).build()).events[0];
  t.match(answered, { isSpurious: true, credit: 0 });
  const absent = analyse(new RunBuilder('G').turn('t1', 500, 1000, 'Tell me.').event('noise', 'cough', undefined, 300).build())
    .events[0];
  t.match(absent, { effect: 'absent', credit: 0 });
});

test('a stall without a cause is a stutter, with one it is not', async (t) => {
  const pieces = [
    { fromMs: 0, countMs: 2620 },
    { fromMs: 2620, countMs: 3380, pauseMs: 300 },
  ];
  const base = (): RunBuilder => new RunBuilder('A').turn('t1', 500, 1000, 'Tell me.').commit(1700).reply(1, 2000, 6000, pieces);
  const [stutter] = analyse(base().build()).stutters;
  t.ok(near(stutter!.durationMs, 300, 2) && near(stutter!.atMs, 4620, 60), JSON.stringify(stutter));
  t.same(analyse(base().event('noise', 'door', 4500, 300).build()).stutters, []);
});

test('the idle prompt within half a second of its time', async (t) => {
  const base = (onsetMs: number): RunBuilder =>
    new RunBuilder('M', { idle_prompt_ms: 5000 })
      .turn('t1', 500, 1000, 'Tell me.')
      .commit(1700)
      .reply(1, 2000, 1000)
      .reply(2, onsetMs, 800);
  const [good] = analyse(base(8300).build()).idle;
  t.match(good, { kind: 'prompt_on_time', isMet: true });
  t.ok(near(good!.offMs, 300, 70), `${good!.offMs}`);
  t.equal(analyse(base(9000).build()).idle[0]!.isMet, false);
});

test('outside the family of silences a prompt is wrong only when it does not come by its setting', async (t) => {
  const prompted = (onsetMs: number) =>
    analyse(
      new RunBuilder('E')
        .turn('t1', 500, 1000, 'Tell me.')
        .commit(1700)
        .reply(1, 2000, 3000)
        .turn('t2', 3000, 400, 'Stop it.', 'interrupt')
        .reply(2, onsetMs, 800)
        .build(),
    );
  const due = prompted(5000 + 7300);
  t.equal(due.utterances[1]!.cause, 'idle_prompt');
  t.same(due.idle, []);
  for (const onsetMs of [5000 + 6300, 5000 + 7700])
    t.match(prompted(onsetMs).idle, [{ kind: 'nothing_unprompted', isMet: false }]);
});

test('a silence of the script excuses nobody who speaks into it', async (t) => {
  const spokenInto = (kind: 'silence' | 'cough') =>
    analyse(
      new RunBuilder('M')
        .turn('t1', 500, 1000, 'Tell me.')
        .commit(1700)
        .reply(1, 2000, 1000)
        .event('quiet', kind, 3000, 4000)
        .reply(2, 4500, 800)
        .build(),
    );
  t.match(spokenInto('silence').idle, [{ kind: 'nothing_unprompted', isMet: false }]);
  const caused = spokenInto('cough');
  t.match([caused.idle, caused.events[0]!.isSpurious], [[{ kind: 'nothing_unprompted', isMet: true }], true], 'judged there');
});

test('a mute agent has nothing on its credit; figures are the same for the same record', async (t) => {
  const mute = new RunBuilder('E')
    .turn('t1', 500, 1000, 'I want,')
    .turn('t1', 2300, 600, 'that.')
    .turn('t2', undefined, 500, 'Stop.', 'interrupt')
    .event('noise', 'cough', undefined, 300)
    .build();
  const figures = analyse(mute);
  t.same(figures, analyse(mute));
  const scores = scoresOf([figures], setting, 50);
  for (const { id, score } of scores.dims) t.ok(id === 'D6' || score === 0, `${id} ${score}`);
  t.ok(scores.total.raw < 1.2);
  t.equal(scores.gates.find(({ id }) => id === 'G6')!.isMet, false);
});

test('scores: weights, gates, cap, variations', async (t) => {
  const good = analyse(
    new RunBuilder('A').turn('t1', 500, 1000, 'Is it open?').reply(1, 2100, 1500).commit(1750).answered(1, 'Is it open?').build(),
  );
  const late = { ...good, turns: good.turns.map((turn) => ({ ...turn, gapMs: 2500 })), id: 'late' };
  const missed = { ...good, turns: good.turns.map((turn) => ({ ...turn, gapMs: undefined, isMissed: true })), id: 'missed' };
  const d1 = (list: Parameters<typeof scoresOf>[0]): number => scoresOf(list, setting, 20).dims[0]!.score!;
  t.equal(d1([good]), 10);
  t.ok(d1([good]) > d1([good, late]) && d1([good, late]) > d1([good, missed]));
  const capped = scoresOf([good, missed], setting, 20);
  t.equal(capped.gates.find(({ id }) => id === 'G6')!.isMet, false);
  t.ok(capped.total.total <= 7.9);
  const wall = scoresOf([good], { clock: 'wall', profile: 'reference' }, 20);
  t.match(wall.gates[0], { id: 'G1', isMet: true, isJudged: true });
  t.match(scoresOf([good], setting, 20).gates[0], { isMet: true, isJudged: false });
  t.same(plainScoresOf([good, late], 5), plainScoresOf([late, good], 5), 'the order of runs does not matter');
  const judged = (one: typeof good) => ({ scores: scoresOf([one], setting, 20), figures: [one] });
  const figures = variationFigures(
    { name: 'late', kind: 'mutant', target: ['D1'] },
    judged({ ...missed, isPassed: false }),
    judged({ ...good, id: missed.id, isPassed: true }),
  );
  t.equal(figures.isCaught, true);
  t.same(figures.unexpected, [missed.id], 'what went as expected before');
  t.same(crossEffects({ ...figures, target: ['D2'] }).length > 0, true);
});
