/** Where the time went between the caller's last word and the first sound of the answer, turn by turn. */
import { useStore } from '../store.js';
import { call } from './call.js';
import { type Turn, type Waterfall, waterfallOf } from './turns.js';

/** Bars of all turns share one scale, at least this long, so that a slow turn looks slow. */
const scaleMinMs = 1000;

export function WaterfallView() {
  const { board, phase } = useStore(call.store);
  const known = board.turns.flatMap((turn) => {
    const waterfall = waterfallOf(turn);
    return waterfall === undefined ? [] : [{ turn, waterfall }];
  });
  const scaleMs = Math.max(
    scaleMinMs,
    ...known.map(({ waterfall }) => Math.max(waterfall.totalMs, ...waterfall.stages.map((stage) => stage.endMs))),
  );
  return (
    <section class="waterfalls" aria-label="Latency of each turn">
      <h2>Latency</h2>
      {known.length === 0 && (
        <p class="quiet">
          {phase === 'live'
            ? 'Each answered turn shows here where its time went.'
            : 'After a turn: where the time went, from the last word to the first sound.'}
        </p>
      )}
      {known.toReversed().map(({ turn, waterfall }) => (
        <TurnTable key={turn.turn} turn={turn} waterfall={waterfall} scaleMs={scaleMs} />
      ))}
    </section>
  );
}

function TurnTable({ turn, waterfall, scaleMs }: { turn: Turn; waterfall: Waterfall; scaleMs: number }) {
  const percent = (ms: number): string => `${(Math.max(0, ms) / scaleMs) * 100}%`;
  return (
    <table class="waterfall">
      <caption>
        <span>Turn {turn.turn}</span>
        <strong>{Math.round(waterfall.totalMs)} ms</strong>
        <span class="quiet">
          from {waterfall.from}
          {turn.isAdopted ? ', begun early' : ''}
        </span>
      </caption>
      <thead class="unseen">
        <tr>
          <th scope="col">Stage</th>
          <th scope="col">When</th>
          <th scope="col">Milliseconds</th>
        </tr>
      </thead>
      <tbody>
        {waterfall.stages.map(({ name, startMs, endMs, means, place }) => (
          <tr key={name} title={means}>
            <th scope="row">{name}</th>
            <td class="track">
              <span
                class={`bar bar-${place}`}
                style={{ left: percent(startMs), width: `max(2px, ${percent(endMs - Math.max(0, startMs))})` }}
              />
            </td>
            <td class="number">{Math.round(endMs - startMs)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
