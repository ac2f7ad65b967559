/** Everything of a run that is not sound, one JSON object a line in order of time: for those who want to count for themselves. Pure. */
import type { ScenarioFigures } from '../result.js';
import type { RunRecord } from '../run-record.js';
import { rounded } from './stable-json.js';

const perMs = 16;

type Line = { readonly atMs: number; readonly source: string } & Readonly<Record<string, unknown>>;

/** The first line says what was run; instants are ms since the connect. */
export function eventLines(record: RunRecord, figures: ScenarioFigures): string {
  const { scenario, seed, profile, clock, playout } = record;
  const head = {
    source: 'run',
    scenario: scenario.id,
    family: scenario.family,
    title: scenario.title,
    seed,
    profile,
    clock,
    playout,
  };
  const lines: Line[] = [
    ...record.placed.map((placed): Line => {
      const { from, to, ...rest } = placed;
      const place = { atMs: from / perMs, source: 'caller', toMs: to / perMs };
      if (rest.kind === 'event') return { ...place, ...rest };
      const { words, silences, ...part } = rest;
      return {
        ...place,
        ...part,
        words: words.map((word) => ({ text: word.text, fromMs: word.from / perMs, toMs: word.to / perMs })),
        silences: silences.map((silence) => ({ fromMs: silence.from / perMs, toMs: silence.to / perMs })),
      };
    }),
    ...record.audio.map(
      ({ atMs, eventId, sampleCount }): Line => ({ atMs, source: 'wire', type: 'audio', eventId, sampleCount }),
    ),
    ...record.messages
      .filter(({ type }) => type !== 'parley_turn_event')
      .map(({ atMs, type, payload }): Line => ({ atMs, source: 'wire', type, payload })),
    ...record.whiteBox.map(({ at_ms: atMs, ...rest }): Line => ({ atMs, source: 'engine', ...rest })),
    ...record.requests.map(({ atMs, messages, answer }): Line => ({ atMs, source: 'model', messages, answer })),
    ...record.waits.map(({ stage, fromMs, toMs }): Line => ({ atMs: fromMs, source: 'provider', stage, toMs })),
    ...figures.utterances.map(
      ({ onsetMs, endMs, eventId, cause, turn, text, isComplete }): Line => ({
        atMs: onsetMs,
        source: 'heard',
        toMs: endMs,
        eventId,
        cause,
        turn,
        text,
        isComplete,
      }),
    ),
    { source: 'closed', ...record.closed },
  ];
  const inOrder = lines.map((line, index) => ({ line, index })).sort((a, b) => a.line.atMs - b.line.atMs || a.index - b.index);
  const written = [head, ...inOrder.map(({ line }) => line)].map((line) =>
    JSON.stringify(line, (_, value: unknown) => (typeof value === 'number' ? rounded(value) : value)),
  );
  return `${written.join('\n')}\n`;
}
