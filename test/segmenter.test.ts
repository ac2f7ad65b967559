/** Sentences in three languages, what is not spoken, when pieces leave, and that no letter is lost wherever the text is divided. */
import fc from 'fast-check';
import { test } from 'tap';
import { pausePatienceMs, type Segment, Segmenter, segmentLimits } from '../src/tts/segmenter.js';
import { endOfWord, endPatienceMs, endsInside, judgeEnd, skipSpaces } from '../src/tts/sentence-end.js';
import { SpeakableText } from '../src/tts/speakable.js';

/** The text with a bar behind every sentence end that the text decides by itself. */
function marked(text: string): string {
  const ends: number[] = [];
  for (let start = skipSpaces(text, 0); start < text.length; ) {
    const end = endOfWord(text, start);
    ends.push(...endsInside(text, start, end));
    if (judgeEnd(text, start, end).kind === 'end') ends.push(end);
    start = skipSpaces(text, end);
  }
  let out = '';
  for (let at = 0; at < text.length; at++) out += (ends.includes(at) ? '|' : '') + text[at];
  return out;
}

function speakableOf(original: string): string {
  const speakable = new SpeakableText();
  for (let unit = 0; unit < original.length; unit++) speakable.push(original[unit]!);
  speakable.end();
  return speakable.text;
}

/** All segments of `pieces` that come at one instant. */
function segmentsOf(pieces: readonly string[]): Segment[] {
  const segmenter = new Segmenter();
  return [...pieces.flatMap((piece) => segmenter.push(piece, 0)), ...segmenter.end()];
}

const textsOf = (segments: readonly Segment[]): string[] => segments.map((segment) => segment.text);

/** A bar marks each expected end; the last sentence ends with the reply and has none. */
const sentences = [
  // English
  'I am here.| You are there.| Bye.',
  'Really?| Yes!| Great?!| Fine.',
  'He said "Stop."| Then he left.',
  'He said “Stop!”| (It was late.)| Then he left.',
  'One.|Two',
  'This is one.|Two is here.| Really?|Yes, (see below).|Then',
  'It costs 3.50 or 1,000.99 dollars.| Pay 1.000.000 now.',
  'Version 2.1.0 is out.| Get v3.4 today.',
  'Meet me at 10.30 or at 5:45.| It was in 1995.| Then it ended.',
  'At 10 a.m. we open, at 5 p.m. we close.| He came at 5 p.m.| Then he left.',
  'We open from 9 a.m. to 5 p.m. Monday to Friday.| At 8 p.m. Eastern time.',
  'The U.S. Government and Acme Inc. Berlin.| He likes the U.S.| They do not.',
  'Please turn to p. 55.| We met Pitt, Briggs & Co. at noon.| Ask Jane and co.| They know.',
  'I see Mt. Fuji and St. Michael’s from 5th st. near the light.| My name is Jonas E. Smith.',
  'Mr. Smith, Mrs. Jones and Dr. No met Prof. Xu.| They left vs. us, approx. five.',
  'J. R. R. Tolkien and J.K. Rowling wrote.| George W. Bush did not.',
  'So do I.| And you.',
  'In the U.S. and the U.K. it rains.| He moved to the U.S.| Then back.',
  'Apples, pears, etc. are fruit.| I like apples, pears, etc.| They are sweet.',
  'For example, e.g. this, i.e. that, cf. page five.| Good.',
  'Acme Inc. sells.| He works for Acme Inc.| She does not.',
  'See No. 5 and fig. 3.| No.| I will not.| The answer is no.| Sorry.',
  'On Jan. 3 and Dec. 24.| The sun.| We sat.| It was art.| Yes.',
  'Visit https://example.com/a.b?x=1&y=2.| Then www.Example.Com and example.org.| Done.',
  'Mail John.Smith@Example.Com or a.b@c.de.| Thanks.',
  'Use Node.js and ASP.NET here.| Read C:\\Dir\\File.Txt now.',
  'Steps: 1. Open it.| 2. Close it.| That is 3.| Go.',
  '1. Apples are red.|\n2. Pears are green.',
  'Well... I do not know… maybe.| Hmm... Yes.',
  'Wait...?| Yes.',
  'Hello there|\n\nthis is new.|\nAnd this',
  'a wrapped\nline goes on.| And a title|\nBelow it,\nMore',
  'The list:|\nApples|\nPears',
  'World War II. ended.| Henry VIII. was king.',
  'A dog—a big one—barked.| Good.',
  '好的。|我明白了！|真的吗？|是',
  // German
  'Das ist gut.| Am 3. Mai um 10.30 Uhr.| Im Jahr 1995.| Danach nicht.',
  'Der 2. Weltkrieg, vom 1. bis 5. Juni, am Montag, 3. März.| Gut.',
  'Hr. Müller, Fr. Dr. Schulz u.a. kommen, z.B. heute, z. B. morgen, d.h. bald, ca. fünf.| Ja.',
  'Das dauert 5 Min. oder 2 Std. länger.| Äpfel, Birnen usw. sind da.| Brot usw.| Dann nichts.',
  'Der Dipl.-Ing. kostet 1.000,50 Euro.| Nr. 5 lebt.| Ludwig XIV. war König.',
  'Heute ist der 15. August, im 19. Jahrhundert, zum 3. Mal.| Er ist auf Platz 3.| Danach kommt nichts.',
  'Hauptstr. 5, Mo. bis Fr. 9 bis 17 Uhr, Tel. 030, Art. 5 Abs. 2, inkl. MwSt. und Porto.| Gut.',
  'Er sagte: „Halt!“| Dann ging er.| »Wirklich?«| Ja.',
  'Die Bücher o.ä. liegen i.d.R. hier.| So.',
  // French
  'Bonjour !| Ça va ?| Oui.| Très bien.',
  '« Bonjour ! »| dit-il.| « Viens.| Assieds-toi. »| Bien.',
  'M. Dupont et Mme. Martin, av. J.-C., p. ex. demain.| Voilà.',
  'Il est 10 h 30.| Le prix est 3,50 euros.| Merci.',
];

test('sentences end where a reader ends them', (t) => {
  for (const sentence of sentences) t.equal(marked(sentence.replaceAll('|', '')), sentence.replace(/\|$/, ''));
  t.end();
});

test('what is not for the ear is taken out', (t) => {
  const cases: [string, string][] = [
    ['plain text', 'plain text'],
    ['**Bold** and *it* and __b__ and _i_ and ***both***.', 'Bold and it and b and i and both.'],
    ['snake_case_name, 2*3, 2 * 3 and ~5 minutes', 'snake_case_name, 2*3, 2 * 3 and ~5 minutes'],
    ['~~gone~~ `code_x` and `List<String>` and ``a`b``', 'gone code_x and List<String> and ab'],
    ['# Title\n## Sub\nText #1 and C# here', 'Title\nSub\nText #1 and C# here'],
    ['- one\n* two\n+ three\n• four\n- [ ] five\n- [x] six', 'one\ntwo\nthree\nfour\nfive\nsix'],
    ['1. one\n2. two', '1. one\n2. two'],
    ['-5 degrees\n+49 170', '-5 degrees\n+49 170'],
    ['> quote\n>> deeper', 'quote\ndeeper'],
    ['a\n---\nb\n***\nc', 'a\nb\nc'],
    ['| a | b |\n|---|:-:|\n| 1 | 2 |', 'a b\n1 2'],
    ['|a|b|', 'a b'],
    ['See [the docs](https://x.y/a_(b)) and ![a cat](cat.png "c")!', 'See the docs and a cat!'],
    ['See [this][ref] now [1][2]. Done [^note]. [square] end', 'See this now. Done. square end'],
    ['Wow![x](y)', 'Wowx'],
    ['Answer [x] or\n- [x] done', 'Answer x or\ndone'],
    ['<https://x.y/z> and <me@x.y> and a > b', 'https://x.y/z and me@x.y and a > b'],
    ['Hello <b>world</b>, <a href="x">this</a><br>is<br/>it.', 'Hello world, this is it.'],
    ['one<p class="c">two</p>three', 'one two three'],
    ['if a<b then c>d, x < 5 and y <3', 'if a<b then c>d, x < 5 and y <3'],
    ['<think>secret. <b>x</b></think>Hello', 'Hello'],
    ['<!-- note > --> Hello <break time="1s"/> there', 'Hello there'],
    ['Look:\n```js\nconst a = 1;\n```\nDone.', 'Look:\nDone.'],
    ['Look: ```x y``` done', 'Look: done'],
    ['~~~\ncode\n~~~\nafter', 'after'],
    ['before\n```\nnever closed. At all', 'before'],
    ['Great 👍. Good 🎉job👏! ❤️ 👨‍👩‍👧 🇩🇪 1️⃣ 👋🏽 bye', 'Great. Good job! 1 bye'],
    ['Hi😀there ™ © ½', 'Hi there ™ © ½'],
    ['\\*not bold\\* and \\# and C:\\new', '*not bold* and # and C:\\new'],
    ['zero\u200bwidth\ufeff soft\u00adhyphen \u0007bell', 'zerowidth softhyphen bell'],
    ['half \ud83d pair \ude00 and whole \u{1d400}', 'half pair and whole \u{1d400}'],
    ['many    spaces\t\there\r\nnext', 'many spaces here\nnext'],
    ['a `b\n*c* <https://x.y\nd > e', 'a b\nc https://x.y\nd > e'],
    [`${'-'.repeat(300)}\n${'='.repeat(300)}x`, 'x'],
    ['***', ''],
    ['price*', 'price'],
    ['open [bracket', 'open bracket'],
    ['open <b', 'open <b'],
  ];
  for (const [original, text] of cases) {
    const collapsed = speakableOf(original)
      .replace(/\s*\n\s*/g, '\n')
      .replace(/[^\S\n]+/g, ' ')
      .trim();
    t.equal(collapsed, text, JSON.stringify(original));
  }
  t.end();
});

test('the first segment leaves early, the next are whole sentences', (t) => {
  const cases: [string, string, string[]][] = [
    [
      'a short sentence waits for company',
      'Sure. I can do that. What is your name?',
      ['Sure. I can do that.', 'What is your name?'],
    ],
    [
      'a clause of forty',
      'When you come to the office in the morning, please bring the form with you, and your card.',
      ['When you come to the office in the morning,', 'please bring the form with you, and your card.'],
    ],
    ['twelve are enough', 'Hello you a. Then. Hello you.Then', ['Hello you a. Then.', 'Hello you.Then']],
    ['twelve are enough without a space', 'My you here.Then go', ['My you here.', 'Then go']],
    [
      'forty are enough',
      'In this house there are many old chairs, and tables',
      ['In this house there are many old chairs,', 'and tables'],
    ],
    [
      'thirty-nine are not',
      'In this house there are many old boxes, and tables',
      ['In this house there are many old boxes, and tables'],
    ],
    ['a clause that is too short', 'Well, yes, of course, I do.', ['Well, yes, of course, I do.']],
    [
      'later clauses do not cut, and sentences wait for eighty',
      'Here is what I found. The first tour starts at nine. The second one, which is longer, starts at eleven o’clock. The third is full.',
      [
        'Here is what I found.',
        'The first tour starts at nine. The second one, which is longer, starts at eleven o’clock.',
        'The third is full.',
      ],
    ],
    [
      'a dash without spaces',
      'The museum that you have been asking about—the old one—opens at nine every day.',
      ['The museum that you have been asking about—', 'the old one—opens at nine every day.'],
    ],
    [
      'a number is no clause',
      'It is a very long way to go, about 1,000,000 steps or 10:30 hours',
      ['It is a very long way to go, about 1,000,000 steps or 10:30 hours'],
    ],
    ['markup does not count as length', '**Hi.** [Ok](https://a.very.long/link/indeed). Yes.', ['Hi. Ok. Yes.']],
    ['only markup', '---\n```x```\n', ['']],
    ['nothing', '', []],
  ];
  for (const [name, original, texts] of cases) t.same(textsOf(segmentsOf([original])), texts, name);
  t.end();
});

test('sentences are kept whole up to the limit, then cut at the best place', (t) => {
  const first = 'Here it is now.';
  const clause = 'a clause of words that goes on and on without any end in sight';
  const long = `${Array(8).fill(clause).join(', ')}.`;
  const [, second, third] = textsOf(segmentsOf([`${first} ${long}`]));
  t.equal(second, `${Array(4).fill(clause).join(', ')},`, 'at the last clause');
  t.ok(third!.startsWith('a clause'));
  const words = `${Array(100).fill('word').join(' ')}.`;
  t.equal(textsOf(segmentsOf([`${first} ${words}`]))[1]!.length, 299, 'at the last word');
  t.equal(textsOf(segmentsOf([`${first} ${'x'.repeat(700)}`]))[1]!.length, 300, 'anywhere');
  t.equal(textsOf(segmentsOf([`${first} x${'\u{1d400}'.repeat(400)}`]))[1]!.length, 299, 'not inside a letter');
  t.equal(textsOf(segmentsOf([`${first} Short one. ${words}`]))[1], 'Short one.', 'a sentence before a clause');
  t.end();
});

test('a pause makes the cuts that text alone does not', (t) => {
  const { firstGapMin } = segmentLimits;
  const open = 'I would like to tell you something about the history of this old hou';
  t.ok(open.lastIndexOf(' ') >= firstGapMin);
  const cases: [string, string, number | undefined, string[]][] = [
    ['a sentence without a space behind it', 'Hello there, friend.', endPatienceMs, ['Hello there, friend.']],
    ['closed by a quote', 'He said “Hello you.”', endPatienceMs, ['He said “Hello you.”']],
    ['closed by markup', '**Hello there.**', endPatienceMs, ['Hello there.']],
    ['all that has ended', 'Sure. It is 3.', pausePatienceMs, ['Sure. It is 3.']],
    ['a number that may go on', 'It is now at 3.', pausePatienceMs, ['It is now at 3.']],
    ['an abbreviation that may end', 'Apples, pears, etc. ', pausePatienceMs, ['Apples, pears, etc.']],
    ['an abbreviation and half a word', 'We live in the U.S. No', pausePatienceMs, ['We live in the U.S.']],
    ['a title', 'I called Dr. ', undefined, []],
    ['an initial', 'I called John F.', undefined, []],
    ['dots', 'Let me think...', undefined, []],
    ['a line', 'Here is the list:\n', endPatienceMs, ['Here is the list:']],
    ['a short sentence', 'Sure.', pausePatienceMs, ['Sure.']],
    ['words without an end', 'I would like to tell you', undefined, []],
    ['sixty characters and a gap', open, pausePatienceMs, [open.slice(0, open.lastIndexOf(' '))]],
    ['sixty characters and a space', `${open}se `, pausePatienceMs, [`${open}se`]],
    ['One.Two while nothing follows', 'Hello my friend.The', endPatienceMs, ['Hello my friend.']],
  ];
  for (const [name, text, patienceMs, texts] of cases) {
    const segmenter = new Segmenter();
    t.same(segmenter.push(text, 1000), [], name);
    t.equal(segmenter.nextDeadlineMs(), patienceMs === undefined ? undefined : 1000 + patienceMs, name);
    if (patienceMs !== undefined) t.same(segmenter.idle(1000 + patienceMs - 1), [], 'not before');
    t.same(textsOf(segmenter.idle(1000 + (patienceMs ?? 100_000))), texts, name);
    t.same(segmenter.idle(1_000_000), [], 'only once');
  }
  t.end();
});

test('after the first segment only sentences leave, short ones in a pause', (t) => {
  const segmenter = new Segmenter();
  t.same(textsOf(segmenter.push('Here we are now. This is a sentence of some length without any company', 0)), [
    'Here we are now.',
  ]);
  t.equal(segmenter.nextDeadlineMs(), undefined, 'no gap is good enough');
  t.same(segmenter.push('. And', 10), []);
  t.equal(segmenter.nextDeadlineMs(), 10 + pausePatienceMs);
  t.same(textsOf(segmenter.idle(260)), ['This is a sentence of some length without any company.']);
  t.same(textsOf(segmenter.push(' this is another sentence, long enough by itself to leave without a pause, at once. ', 300)), [
    'And this is another sentence, long enough by itself to leave without a pause, at once.',
  ]);
  t.same(
    segmenter.end().map((segment) => segment.text),
    [''],
  );
  t.same(segmenter.end(), [], 'the end comes once');
  t.throws(() => segmenter.push('x', 400), { message: 'no text after the end' });
  t.end();
});

test('a token that comes late finds the cuts made that were due before it', (t) => {
  const late = new Segmenter();
  late.push('Hello there, friend.', 0);
  t.same(textsOf(late.push('com is a site.', endPatienceMs)), ['Hello there, friend.']);
  const early = new Segmenter();
  early.push('Hello there, friend.', 0);
  t.same(early.push('com is a site', endPatienceMs - 1), []);
  const empty = new Segmenter();
  empty.push('Hello there, friend.', 0);
  t.same(empty.push('', endPatienceMs - 1), []);
  t.equal(empty.nextDeadlineMs(), endPatienceMs, 'an empty delta is no token');
  const split = new Segmenter();
  t.same([...split.push('It costs exactly 3.', 0), ...split.push('50 euros.', 200)], [], 'a number in two tokens');
  t.end();
});

test('segments know where their text stood', (t) => {
  const original = 'Well, **hello** there! 😀 See [it](u).';
  const segments = segmentsOf([original]);
  t.same(
    segments.map(({ text, originalStart, originalEnd }) => ({ text, originalStart, originalEnd })),
    [
      { text: 'Well, hello there!', originalStart: 0, originalEnd: 22 },
      { text: 'See it.', originalStart: 22, originalEnd: original.length },
    ],
  );
  t.same([...segments[1]!.offsets], [26, 27, 28, 29, 31, 32, 37]);
  t.end();
});

test('what a pause finds undecided belongs to the next segment', (t) => {
  for (const [undecided, rest, text] of [
    ['~', '5 is', '~5 is'],
    ['\ud835', '\udc00 is', '\u{1d400} is'],
    ['<b', ' is', '<b is'],
  ] as const) {
    const segmenter = new Segmenter();
    segmenter.push(`Hello my friend.${undecided}`, 0);
    const segments = [...segmenter.idle(endPatienceMs), ...segmenter.push(rest, 100), ...segmenter.end()];
    t.same(textsOf(segments), ['Hello my friend.', text]);
    t.equal(segments[1]!.originalStart, 16);
    t.equal(segments[1]!.offsets[0], 16);
  }
  t.end();
});

const fragment = fc.oneof(
  { weight: 4, arbitrary: fc.lorem({ maxCount: 4 }) },
  fc.constantFrom(
    '. ',
    '.',
    '? ',
    '!',
    '... ',
    '…',
    ', ',
    '; ',
    ': ',
    '—',
    ' – ',
    '\n',
    '\n\n',
    ' ',
    '   ',
    '3.',
    '14',
    '1. ',
    'Dr. ',
    'etc. ',
    'One.Two',
  ),
  fc.constantFrom(
    '**',
    '*',
    '_',
    '`',
    '```',
    '~~~',
    '\n- ',
    '\n# ',
    '\n> ',
    '\n---\n',
    '|',
    '[',
    '](',
    ')',
    ']',
    '![',
    '[1]',
    '\\',
    '<b>',
    '</b>',
    '<',
    '>',
  ),
  fc.constantFrom(
    '<think>',
    '</think>',
    '<br/>',
    '<!--',
    '-->',
    '« ',
    ' »',
    '“',
    '”',
    '。',
    '，',
    '👍',
    '❤️',
    '👨‍👩‍👧',
    '\u200d',
    '\ud83d',
    '\ude00',
    '\u{1d400}',
  ),
  fc.string({ unit: 'binary', maxLength: 4 }),
  fc.constantFrom('x'.repeat(120), 'Wort '.repeat(30), `${'a'.repeat(30)}.Bcd`),
);
const reply = fc.array(fragment, { maxLength: 40 }).map((fragments) => fragments.join(''));

/** Tile the original without a gap, are tidy, not too long, and each unit stands for the one it points at. */
function areSound(segments: readonly Segment[], original: string): boolean {
  let at = 0;
  for (const segment of segments) {
    if (segment.originalStart !== at || segment.originalEnd < at) return false;
    at = segment.originalEnd;
    if (segment.offsets.length !== segment.text.length || segment.text.length > segmentLimits.max) return false;
    if (segment.text !== segment.text.trim() || /\s\s/.test(segment.text)) return false;
    let previous = segment.originalStart - 1;
    for (const [unit, offset] of segment.offsets.entries()) {
      if (offset <= previous || offset >= segment.originalEnd) return false;
      if (segment.text[unit] !== original[offset] && segment.text[unit] !== ' ') return false;
      previous = offset;
    }
  }
  return at === original.length;
}

test('segments tile the original, and point into it', (t) => {
  fc.assert(
    fc.property(reply, (original) => areSound(segmentsOf([original]), original)),
    { numRuns: 1000 },
  );
  t.end();
});

test('no letter that can be spoken is lost, none is said twice', (t) => {
  const letters = (text: string): string => text.replace(/[^\p{L}\p{N}]/gu, '');
  fc.assert(
    fc.property(reply, (original) => letters(textsOf(segmentsOf([original])).join('')) === letters(speakableOf(original))),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(
      fc.lorem({ maxCount: 60, mode: 'sentences' }),
      (original) => textsOf(segmentsOf([original])).join(' ') === original.trim(),
    ),
  );
  t.end();
});

test('the segments do not depend on how the text was divided', (t) => {
  fc.assert(
    fc.property(reply, fc.array(fc.nat({ max: 30 }), { maxLength: 40 }), (original, sizes) => {
      const whole = JSON.stringify(segmentsOf([original]));
      const pieces: string[] = [];
      let at = 0;
      for (const size of sizes) pieces.push(original.slice(at, (at += size)));
      pieces.push(original.slice(at));
      return JSON.stringify(segmentsOf(pieces)) === whole && JSON.stringify(segmentsOf([...original])) === whole;
    }),
    { numRuns: 500 },
  );
  t.end();
});

test('what is said depends on when tokens came, not on how often the segmenter was asked', (t) => {
  const tokens = fc.array(fc.tuple(fragment, fc.constantFrom(0, 5, 79, 80, 81, 200, 249, 250, 1000)), { maxLength: 25 });
  fc.assert(
    fc.property(tokens, fc.integer({ min: 1, max: 300 }), (timed, askEveryMs) => {
      const [quiet, asked] = [new Segmenter(), new Segmenter()];
      const [plain, eager]: [Segment[], Segment[]] = [[], []];
      let atMs = 0;
      for (const [delta, gapMs] of timed) {
        for (let askMs = atMs; askMs < atMs + gapMs; askMs += askEveryMs) eager.push(...asked.idle(askMs));
        atMs += gapMs;
        plain.push(...quiet.push(delta, atMs));
        eager.push(...asked.push(delta, atMs));
      }
      plain.push(...quiet.end());
      eager.push(...asked.end());
      const original = timed.map(([delta]) => delta).join('');
      return areSound(plain, original) && JSON.stringify(plain) === JSON.stringify(eager);
    }),
    { numRuns: 500 },
  );
  t.end();
});

test('the deadline is exactly when there is something to do', (t) => {
  fc.assert(
    fc.property(reply, (original) => {
      const segmenter = new Segmenter();
      segmenter.push(original, 500);
      for (let cuts = 0; ; cuts++) {
        const deadlineMs = segmenter.nextDeadlineMs();
        if (deadlineMs === undefined) return segmenter.idle(1e9).length === 0;
        if (cuts > original.length || segmenter.idle(deadlineMs - 1).length > 0 || segmenter.idle(deadlineMs).length === 0)
          return false;
      }
    }),
    { numRuns: 500 },
  );
  t.end();
});

test('hostile text costs time in proportion to its length', (t) => {
  const hostile = [
    'x',
    '<a ',
    '<a b="c" ',
    '[',
    '](',
    '`',
    '*',
    '_ ',
    '~',
    '\\',
    '- ',
    ' ',
    '\n',
    '.',
    '. ',
    'a.',
    '1.',
    '"',
    '« ',
    '👍',
    '|',
    'Ab.Cd.',
    '—',
    '<think>',
  ];
  const millisecondsOf = (text: string): number => {
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 3; run++) {
      const start = performance.now();
      segmentsOf([text]);
      best = Math.min(best, performance.now() - start);
    }
    return best;
  };
  for (const piece of hostile) {
    const small = millisecondsOf(`Hello you ${piece.repeat(Math.ceil(1000 / piece.length))}`);
    const large = millisecondsOf(`Hello you ${piece.repeat(Math.ceil(16_000 / piece.length))}`);
    // Sixteen times the length; a quadratic path would cost 256 times as much.
    t.ok(large < Math.max(small, 0.5) * 100, `${JSON.stringify(piece)} ${small.toFixed(2)} ms, ${large.toFixed(2)} ms`);
  }
  t.end();
});
