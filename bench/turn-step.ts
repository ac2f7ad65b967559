/**
 * Price of a decision: the pure turn machine over the events of one turn (hops of speech, transcripts, a reply, an interruption in it), event by event,
 * and of asking for the next deadline after each, as the conversation thread does. `node dist/bench/turn-step.js [--json FILE]`, about two seconds.
 */
import { strict as assert } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { nextDeadlineMs, step } from '../src/turn/machine.js';
import { turnDefaults } from '../src/turn/settings.js';
import { initialState, type TurnEvent, type TurnState } from '../src/turn/state.js';
import { nanosecondsPer } from './timing.js';

const hopMs = 32;
const turnsPerRound = 40;
const phrases = { idle: ['Are you still there?'], apology: 'Sorry, once more?' };

type Timed = readonly [number, TurnEvent];

/** Hops of speech from `fromMs` on. */
function hops(fromMs: number, count: number, hold: number): Timed[] {
  return Array.from({ length: count }, (_, index): Timed => {
    const speechMs = (index + 1) * hopMs;
    return [
      fromMs + speechMs,
      { type: 'speech_hop', speechMs, continuousMs: speechMs, meanProbability: 0.95, levelOverCallerDb: 0, hold },
    ];
  });
}

const said = (turn: number, text: string, throughMs: number, isFinal: boolean): TurnEvent => ({
  type: 'transcript',
  turn,
  text,
  isFinal,
  throughMs,
});

/** A question, its answer, an interruption by words in the middle of it, and the answer to that. */
const events: readonly Timed[] = [
  [0, { type: 'started', firstMessage: '' }],
  [1064, { type: 'speech_start', startMs: 1000, hold: 0 }],
  ...hops(1064, 40, 0),
  [1800, said(1, 'What are your', 1700, false)],
  [2500, { type: 'speech_end', t0Ms: 2340, speechMs: 1340, levelOverCallerDb: 0 }],
  [2600, said(1, 'What are your opening hours?', 2500, true)],
  [2700, { type: 'time' }],
  [3000, { type: 'agent_text', speech: 1, text: 'We are open from nine to five on weekdays, ' }],
  [3050, { type: 'agent_text', speech: 1, text: 'and until noon on Saturdays.' }],
  [3100, { type: 'reply_end', speech: 1, isEmpty: false, endsCall: false }],
  [3200, { type: 'audio_started', speech: 1 }],
  [3700, { type: 'heard', speech: 1, heardMs: 500 }],
  [4064, { type: 'speech_start', startMs: 4000, hold: 1 }],
  ...hops(4064, 14, 1),
  [4400, said(2, 'No wait', 4350, false)],
  [4600, { type: 'time' }],
  [4700, { type: 'speech_end', t0Ms: 4560, speechMs: 560, levelOverCallerDb: 0 }],
  [4800, said(2, 'No, wait, stop.', 4700, true)],
  [5100, { type: 'time' }],
];

function run(): { state: TurnState; actions: number } {
  let state = initialState;
  let actions = 0;
  for (const [atMs, event] of events) {
    const result = step(state, event, atMs, turnDefaults, phrases);
    state = result.state;
    actions += result.actions.length;
    nextDeadlineMs(state, turnDefaults, atMs);
  }
  return { state, actions };
}

const outcome = run();
assert(outcome.state.epoch >= 1, 'the answer was interrupted');
assert(outcome.state.turn >= 3, 'both turns were committed');

/** The states before each kind of event, in the course of the turn. */
function samplesOf(type: TurnEvent['type']): { state: TurnState; event: TurnEvent; atMs: number }[] {
  const samples: { state: TurnState; event: TurnEvent; atMs: number }[] = [];
  let state = initialState;
  for (const [atMs, event] of events) {
    if (event.type === type) samples.push({ state, event, atMs });
    state = step(state, event, atMs, turnDefaults, phrases).state;
  }
  return samples;
}

const wholeUs = nanosecondsPer(turnsPerRound, () => void run()) / 1000;
const kinds = [...new Set(events.map(([, { type }]) => type))].map((type) => {
  const samples = samplesOf(type);
  const ns = nanosecondsPer(2000, (index) => {
    const { state, event, atMs } = samples[index % samples.length]!;
    step(state, event, atMs, turnDefaults, phrases);
  });
  return { type, stepUs: ns / 1000 };
});
const deadlineUs = nanosecondsPer(2000, () => void nextDeadlineMs(outcome.state, turnDefaults, 5100)) / 1000;

const { values } = parseArgs({ options: { json: { type: 'string' } } });
console.log(
  `${events.length} events of two turns: ${wholeUs.toFixed(1)} µs, ${(wholeUs / events.length).toFixed(2)} µs an event with its deadline`,
);
for (const { type, stepUs } of kinds) console.log(`  ${type.padEnd(16)} ${stepUs.toFixed(2)} µs`);
console.log(`  ${'next deadline'.padEnd(16)} ${deadlineUs.toFixed(2)} µs`);
if (values.json !== undefined)
  writeFileSync(
    values.json,
    JSON.stringify({ eventCount: events.length, wholeUs, perEventUs: wholeUs / events.length, kinds, deadlineUs }, null, 2),
  );
