/** The two-lane timeline: follows the call while it lasts, and can be moved and scaled by pointer and keys. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { useStore } from '../store.js';
import { coloursOf, onColoursChanged } from '../theme.js';
import { call } from './call.js';
import { clockText, drawTimeline, markLooks, timelineColours } from './timeline.js';

const spansMs = [5000, 10_000, 20_000, 60_000, 180_000] as const;

/** Where the picture ends while it does not follow: milliseconds of the page clock. */
type Held = { readonly toMs: number } | undefined;

export function TimelineView() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [spanIndex, setSpanIndex] = useState(innerWidth < 700 ? 1 : 2);
  const [held, setHeld] = useState<Held>(undefined);
  const spanMs = spansMs[spanIndex]!;
  const { phase, board, hasTurnEvents } = useStore(call.store);
  // What the picture is drawn from, without starting the drawing anew at every change.
  const shown = useRef({ held, spanMs });
  shown.current = { held, spanMs };

  useEffect(() => {
    if (phase === 'connecting') setHeld(undefined);
  }, [phase]);

  useEffect(() => {
    const target = canvas.current!;
    const context = target.getContext('2d')!;
    let colours = coloursOf(timelineColours);
    const stopColours = onColoursChanged(() => (colours = coloursOf(timelineColours)));
    let request = 0;
    const draw = (): void => {
      request = requestAnimationFrame(draw);
      call.listen();
      const { clientWidth: widthPx, clientHeight: heightPx } = target;
      const scale = devicePixelRatio;
      if (target.width !== Math.round(widthPx * scale) || target.height !== Math.round(heightPx * scale)) {
        target.width = Math.round(widthPx * scale);
        target.height = Math.round(heightPx * scale);
      }
      context.setTransform(scale, 0, 0, scale, 0, 0);
      const beganAtMs = call.beganAtMs;
      const endedAtMs = call.endedAtMs || performance.now();
      const toMs = shown.current.held?.toMs ?? Math.max(endedAtMs + 200, beganAtMs + shown.current.spanMs);
      drawTimeline(
        context,
        { widthPx, heightPx, fromMs: toMs - shown.current.spanMs, toMs, beganAtMs, endedAtMs: beganAtMs === 0 ? 0 : endedAtMs },
        { caller: call.callerLane, agent: call.agentLane },
        call.store.state.board,
        colours,
      );
    };
    draw();
    return () => {
      cancelAnimationFrame(request);
      stopColours();
    };
  }, []);

  const move = (byMs: number): void => {
    const endMs = call.endedAtMs || performance.now();
    const toMs = (held?.toMs ?? endMs + 200) + byMs;
    const firstMs = Math.min(endMs, call.beganAtMs + spanMs);
    setHeld(toMs >= endMs ? undefined : { toMs: Math.max(firstMs, toMs) });
  };
  const zoom = (by: number): void => setSpanIndex(Math.max(0, Math.min(spansMs.length - 1, spanIndex + by)));
  const onKeyDown = (event: KeyboardEvent): void => {
    const act: Record<string, () => void> = {
      ArrowLeft: () => move(-spanMs / 10),
      ArrowRight: () => move(spanMs / 10),
      Home: () => move(Number.NEGATIVE_INFINITY),
      End: () => setHeld(undefined),
      '+': () => zoom(-1),
      '-': () => zoom(1),
    };
    const chosen = act[event.key];
    if (chosen === undefined) return;
    event.preventDefault();
    chosen();
  };
  const drag = useRef<number | undefined>(undefined);
  const onPointerMove = (event: PointerEvent): void => {
    if (drag.current === undefined) return;
    const movedPx = event.clientX - drag.current;
    drag.current = event.clientX;
    move((-movedPx / canvas.current!.clientWidth) * spanMs);
  };

  const newest = board.marks.at(-1);
  return (
    <section class="timeline panel" aria-label="Timeline">
      <div class="timeline-head">
        <ul class="legend" aria-hidden="true">
          {Object.values(markLooks)
            .filter(({ label }) => label !== 'undo')
            .map(({ label, colour }) => (
              <li key={label} class={`legend-${colour}`}>
                {label}
              </li>
            ))}
        </ul>
        <div class="zoom">
          {held !== undefined && (
            <button type="button" class="small" onClick={() => setHeld(undefined)}>
              {phase === 'live' ? 'Live' : 'To the end'}
            </button>
          )}
          <button
            type="button"
            class="small icon"
            aria-label="Show less time"
            onClick={() => zoom(-1)}
            disabled={spanIndex === 0}
          >
            +
          </button>
          <span class="quiet">{spanMs / 1000} s</span>
          <button
            type="button"
            class="small icon"
            aria-label="Show more time"
            onClick={() => zoom(1)}
            disabled={spanIndex === spansMs.length - 1}
          >
            −
          </button>
        </div>
      </div>
      <div class="lanes">
        <div class="lane-names" aria-hidden="true">
          <span>caller</span>
          <span>agent</span>
        </div>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="img"
          aria-label={`Loudness of caller and agent over time. ${newest === undefined ? 'No marks yet.' : `Last mark: ${newest.kind.replace('_', ' ')}, turn ${newest.turn}, at ${clockText(newest.atMs / 1000)}.`} Arrow keys move, plus and minus scale.`}
          onKeyDown={onKeyDown}
          onPointerDown={(event) => {
            drag.current = event.clientX;
            canvas.current!.setPointerCapture(event.pointerId);
          }}
          onPointerMove={onPointerMove}
          onPointerUp={() => (drag.current = undefined)}
          onPointerCancel={() => (drag.current = undefined)}
        />
      </div>
      {phase === 'live' && !hasTurnEvents && (
        <p class="quiet note">
          Levels only: this agent sends no turn events (allow the override of client_events, or list parley_turn_event there).
        </p>
      )}
    </section>
  );
}
