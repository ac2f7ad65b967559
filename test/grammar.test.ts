/** The agent's grammar: what is refused, what the recogniser is told, and what transcripts and typed text mean. */
import * as fc from 'fast-check';
import { test } from 'tap';
import { EngineError } from '../src/shared/errors.js';
import { demoGrammar } from '../src/stt/embedded/demo-grammar.js';
import { hearingIssues, notInDictionary } from '../src/stt/embedded/dictionary.js';
import { checkGrammar, jsgfOf, parseGrammar, transcriptOf, understand } from '../src/stt/embedded/grammar.js';
import { numberInWords, numbersAt } from '../src/stt/embedded/numbers.js';
import { parsePhrase } from '../src/stt/embedded/phrase.js';

const demo = parseGrammar(demoGrammar);

test('typed and spoken sentences mean the same', (t) => {
  const cases: [string, string, Record<string, string>][] = [
    ['what is seven plus five', 'sum', { first: '7', operator: 'plus', second: '5' }],
    ['What’s 7 + 5?', 'sum', { first: '7', operator: 'plus', second: '5' }],
    ['20-5', 'sum', { first: '20', operator: 'minus', second: '5' }],
    ['one hundred and five divided by a hundred', 'sum', { first: '105', operator: 'divided by', second: '100' }],
    ['seven', 'number', { number: '7' }],
    ['twenty one', 'number', { number: '21' }],
    ['one zero zero', 'digits', { digits: '100' }],
    ['oh two one oh', 'digits', { digits: '0210' }],
    ['2 5 5 1', 'digits', { digits: '2551' }],
    ['a b c', 'letters', { letters: 'abc' }],
    ['WHAT TIME IS IT?!', 'time', {}],
    ['um, please tell me a story', 'story', {}],
    ['good bye', 'goodbye', {}],
    ['Thank you very much.', 'thanks', {}],
  ];
  for (const [text, name, slots] of cases) {
    const understood = understand(demo, text);
    t.equal(understood?.intent.name, name, text);
    t.same(understood?.slots, slots, `${text}: slots`);
  }
  for (const text of ['', '...', 'please', 'what is seven plus', 'tell me about the weather', 'word '.repeat(100)]) {
    t.equal(understand(demo, text), undefined, `not understood: ${text.slice(0, 30)}`);
  }
  t.end();
});

test('every number reads back as itself', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999 }), (value) => {
      const words = numberInWords(value).split(' ');
      return numbersAt(words, 0).some((found) => found.value === value && found.end === words.length);
    }),
  );
  t.equal(numberInWords(-12), 'minus twelve');
  t.equal(numberInWords(998_001), 'nine hundred and ninety eight thousand and one');
  t.end();
});

test('any text is read without failure and in bounded time', (t) => {
  const word = fc.constantFrom(
    'one',
    'oh',
    'a',
    'hundred',
    'and',
    'twenty',
    'plus',
    'what',
    'is',
    'please',
    '7',
    '+',
    "'",
    '[unintelligible]',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(word, { maxLength: 80 }).map((words) => words.join(' ')),
      ),
      (text) => {
        understand(demo, text);
        return true;
      },
    ),
  );
  t.pass('no failure');
  t.end();
});

test('a wrong grammar is refused with path, value and rule', (t) => {
  const intent = { name: 'greet', phrases: ['hello'], replies: ['Hello'] };
  const cases: [unknown, RegExp][] = [
    [{ intents: [] }, /intents: \[\]/],
    [{ intents: [{ ...intent, name: 'Greet Me' }] }, /intents\.0\.name: "Greet Me": small letters/],
    [{ intents: [intent, intent] }, /intents\.1\.name: "greet": each intent has a name of its own/],
    [{ intents: [{ ...intent, phrases: ['hello [there'] }] }, /intents\.0\.phrases\.0: "hello \[there": '\]' is missing/],
    [{ intents: [{ ...intent, phrases: ['[hello]'] }] }, /saying nothing/],
    [{ intents: [{ ...intent, phrases: ['dial {digits}'] }] }, /no slot 'digits'/],
    [{ intents: [{ ...intent, phrases: ['room 12'] }] }, /'12' is not a word/],
    [{ intents: [{ ...intent, replies: ['Hello {who}'] }] }, /intents\.0\.replies\.0: "\{who\}": neither a slot/],
    [{ intents: [{ ...intent, phrases: [] }] }, /at least one phrase/],
    [{ intents: [intent], pronunciations: { parley: ['P A R'] } }, /pronunciations\.parley\.0: "P A R": ARPAbet/],
    [{ intents: [intent], surprise: 1 }, /surprise/],
    ['hello', /\(root\)/],
  ];
  for (const [json, message] of cases) {
    try {
      parseGrammar(json);
      t.fail(`accepted ${JSON.stringify(json)}`);
    } catch (error) {
      t.ok(error instanceof EngineError && error.kind === 'config', 'config');
      t.match((error as Error).message, message);
    }
  }
  t.throws(() => parsePhrase(`${'('.repeat(20)}a${')'.repeat(20)}`), /nested deeper/);
  t.end();
});

test('all that is wrong with a grammar is said at once, place by place', (t) => {
  const checked = checkGrammar({
    slots: { colour: { type: 'choice', values: ['red', '7'] } },
    intents: [
      { name: 'a', phrases: ['{color}', 'ok'], replies: ['{colour} {size}'] },
      { name: 'a', replies: ['r'] },
    ],
  });
  t.match(checked, {
    ok: false,
    issues: [
      { path: ['slots', 'colour', 'values', '1'], value: '7', rule: /'7' is not a word/ },
      { path: ['intents', '0', 'phrases', '0'], value: '{color}', rule: /no slot 'color'/ },
      { path: ['intents', '0', 'replies', '0'], value: '{size}', rule: /neither a slot/ },
      { path: ['intents', '1', 'name'], value: 'a' },
      { path: ['intents', '1', 'phrases'], value: [] },
    ],
  });
  const mistyped = checkGrammar({ intents: [{ name: 'a', phrase: ['ok'], replies: ['r'] }], not_understod: ['What?'] });
  t.match(mistyped, {
    ok: false,
    issues: [
      { path: ['intents', '0', 'phrase'], value: ['ok'], rule: '"phrase" is no key here; "phrases" is' },
      { path: ['not_understod'], value: ['What?'], rule: /"not_understood" is/ },
    ],
  });
  t.end();
});

test('a grammar that cannot be listened with: words that nobody knows how to say, or only typed ones', (t) => {
  const intent = { name: 'a', phrases: ['hello zorblify', 'quxxing'], replies: ['r'] };
  t.same(hearingIssues(parseGrammar({ intents: [intent], pronunciations: { quxxing: ['K W AH'] } })), [
    { path: ['intents', '0', 'phrases', '0'], value: 'zorblify', rule: notInDictionary },
  ]);
  t.match(hearingIssues(parseGrammar({ intents: [{ name: 'a', typed: ['hello'], replies: ['r'] }] })), [
    { path: ['intents'], value: ['a'], rule: /a phrase to listen for/ },
  ]);
  t.same(hearingIssues(demo), []);
  t.end();
});

test('the recogniser is told the same sentences', (t) => {
  const text = jsgfOf(
    parseGrammar({
      slots: {
        code: { type: 'letters', letters: 'xy', min: 2, max: 3 },
        colour: { type: 'choice', values: ['red', 'dark blue'] },
      },
      intents: [
        {
          name: 'paint',
          weight: 0.5,
          phrases: ['(paint | colour) it {colour} [please]', '{code}'],
          replies: ['{colour} {code}'],
        },
      ],
    }),
  );
  t.match(text, /\/0\.50*\/ \(\(paint \| colour\) it <slot_colour> \[please\] \| <slot_code>\)/);
  t.match(text, '<slot_colour> = red | dark blue;');
  t.match(text, '<slot_code> = (letter_x | letter_y) (letter_x | letter_y)+;');
  t.match(text, 'other_b', 'letters that are not listened for are decoys');
  t.notMatch(text, 'other_x');
  t.equal(transcriptOf(' letter_x own3_parley '), 'x parley');
  t.end();
});
