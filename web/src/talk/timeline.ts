/** Draws the two lanes on a canvas: how loud caller and agent were, and what the turn machine saw and decided. Pure but for the canvas. */
import { type Lane, levelStepMs } from './levels.js';
import type { Board, Mark, MarkKind } from './turns.js';

export const timelineColours = [
  'ground',
  'surface',
  'line',
  'ink',
  'quiet',
  'caller',
  'agent',
  'hold',
  'cut',
  'resume',
  'commit',
  'first-audio',
] as const;
export type TimelineColours = Record<(typeof timelineColours)[number], string>;

export type TimelineView = {
  readonly widthPx: number;
  readonly heightPx: number;
  /** Page clock. */
  readonly fromMs: number;
  readonly toMs: number;
  /** The call's start and end, page clock; nothing is drawn outside. */
  readonly beganAtMs: number;
  readonly endedAtMs: number;
};

/** How a mark looks. Those that are not named here are not drawn. */
export const markLooks: Readonly<
  Partial<Record<MarkKind, { label: string; colour: keyof TimelineColours; lane: 'caller' | 'agent' }>>
> = {
  hold: { label: 'HOLD', colour: 'hold', lane: 'agent' },
  cut: { label: 'CUT', colour: 'cut', lane: 'agent' },
  resume: { label: 'resume', colour: 'resume', lane: 'agent' },
  undo: { label: 'undo', colour: 'resume', lane: 'agent' },
  commit: { label: 'commit', colour: 'commit', lane: 'caller' },
  first_audio: { label: 'first audio', colour: 'first-audio', lane: 'agent' },
};

const axisPx = 16;
const labelPx = 14;
const barPx = 3;
const font = '11px system-ui, sans-serif';
/** Quiet speech is drawn nearly as high as loud: what matters is when, not how loud. */
const heightOf = (peak: number): number => Math.min(1, Math.sqrt(peak) * 1.15);

export function drawTimeline(
  context: CanvasRenderingContext2D,
  view: TimelineView,
  lanes: { readonly caller: Lane; readonly agent: Lane },
  board: Board,
  colours: TimelineColours,
): void {
  const { widthPx, heightPx, fromMs, toMs } = view;
  const laneHeightPx = (heightPx - axisPx) / 2;
  const xOf = (atMs: number): number => ((atMs - fromMs) / (toMs - fromMs)) * widthPx;
  context.clearRect(0, 0, widthPx, heightPx);
  context.font = font;
  context.textBaseline = 'middle';
  drawHolds(context, board, view, colours, xOf, laneHeightPx);
  drawLane(context, lanes.caller, view, colours.caller, 0, laneHeightPx);
  drawLane(context, lanes.agent, view, colours.agent, laneHeightPx, laneHeightPx);
  context.fillStyle = colours.line;
  context.fillRect(0, laneHeightPx, widthPx, 1);
  context.fillRect(0, 2 * laneHeightPx, widthPx, 1);
  drawAxis(context, view, colours, xOf);
  drawMarks(context, board, view, colours, xOf, laneHeightPx);
}

function drawLane(
  context: CanvasRenderingContext2D,
  lane: Lane,
  view: TimelineView,
  colour: string,
  topPx: number,
  heightPx: number,
): void {
  const { widthPx, fromMs, toMs, beganAtMs, endedAtMs } = view;
  const middle = topPx + labelPx + (heightPx - labelPx) / 2;
  const half = (heightPx - labelPx) / 2 - 3;
  const msPerBar = ((toMs - fromMs) / widthPx) * barPx;
  // Bars stand at fixed instants, so that they move with the picture and do not flicker.
  const first = Math.floor(fromMs / msPerBar) * msPerBar;
  context.fillStyle = colour;
  for (let atMs = first; atMs < toMs; atMs += msPerBar) {
    if (beganAtMs === 0 || atMs < beganAtMs || atMs > endedAtMs) continue;
    let peak = 0;
    for (let step = atMs; step < atMs + msPerBar; step += levelStepMs) peak = Math.max(peak, lane.at(step));
    const height = Math.max(0.5, heightOf(peak) * half);
    context.fillRect(((atMs - fromMs) / (toMs - fromMs)) * widthPx, middle - height, barPx - 1, 2 * height);
  }
}

/** From HOLD to its end the agent is silent because the caller made a sound. */
function drawHolds(
  context: CanvasRenderingContext2D,
  board: Board,
  view: TimelineView,
  colours: TimelineColours,
  xOf: (atMs: number) => number,
  laneHeightPx: number,
): void {
  context.fillStyle = colours.hold;
  context.globalAlpha = 0.22;
  let heldSinceMs: number | undefined;
  const band = (toMs: number): void => {
    if (heldSinceMs === undefined) return;
    const x = xOf(heldSinceMs);
    context.fillRect(x, laneHeightPx, Math.max(2, xOf(toMs) - x), laneHeightPx);
    heldSinceMs = undefined;
  };
  for (const { kind, atMs } of board.marks) {
    const pageMs = atMs + (board.offsetMs ?? 0);
    if (kind === 'hold') heldSinceMs ??= pageMs;
    else if (kind === 'resume' || kind === 'cut' || kind === 'release') band(pageMs);
  }
  band(Math.min(view.toMs, view.endedAtMs));
  context.globalAlpha = 1;
}

function drawMarks(
  context: CanvasRenderingContext2D,
  board: Board,
  view: TimelineView,
  colours: TimelineColours,
  xOf: (atMs: number) => number,
  laneHeightPx: number,
): void {
  // Where the next label fits, in each of the two rows of a lane.
  const freeFromPx = { caller: [0, 0], agent: [0, 0] };
  const shown = board.marks.filter(({ atMs }) => isBetween(atMs + (board.offsetMs ?? 0), view.fromMs - 1000, view.toMs));
  for (const mark of shown.toSorted((one, other) => one.atMs - other.atMs)) {
    const look = markLooks[mark.kind];
    if (look === undefined) continue;
    const x = Math.round(xOf(mark.atMs + (board.offsetMs ?? 0)));
    const topPx = look.lane === 'caller' ? 0 : laneHeightPx;
    context.fillStyle = colours[look.colour];
    context.fillRect(x, topPx, 2, laneHeightPx);
    const text = labelOf(mark, look.label);
    const rows = freeFromPx[look.lane];
    const row = rows.findIndex((freePx) => x >= freePx);
    if (row < 0) continue; // the line alone says it where marks are dense
    const width = context.measureText(text).width;
    const rowPx = topPx + 1 + row * labelPx;
    context.fillStyle = colours.surface;
    context.fillRect(x + 2, rowPx, width + 6, labelPx);
    context.fillStyle = colours[look.colour];
    context.fillText(text, x + 5, rowPx + labelPx / 2);
    rows[row] = x + width + 8;
  }
}

function labelOf(mark: Mark, label: string): string {
  return mark.kind === 'commit' ? `${label} ${mark.turn}` : label;
}

function drawAxis(
  context: CanvasRenderingContext2D,
  view: TimelineView,
  colours: TimelineColours,
  xOf: (atMs: number) => number,
): void {
  const { fromMs, toMs, beganAtMs, widthPx, heightPx } = view;
  const stepMs =
    [500, 1000, 2000, 5000, 10_000, 30_000, 60_000].find((step) => ((toMs - fromMs) / step) * 56 < widthPx) ?? 60_000;
  const first = Math.max(0, Math.ceil((fromMs - beganAtMs) / stepMs));
  context.fillStyle = colours.quiet;
  for (let tick = first; beganAtMs + tick * stepMs < toMs; tick++) {
    const x = xOf(beganAtMs + tick * stepMs);
    context.fillRect(x, heightPx - axisPx, 1, 4);
    context.fillText(clockText((tick * stepMs) / 1000), x + 4, heightPx - axisPx / 2 + 1);
  }
}

/** `1:05`, with tenths where the time has them. */
export function clockText(seconds: number): string {
  const whole = Math.floor(seconds);
  const tenths = Math.round((seconds - whole) * 10);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}${tenths > 0 && tenths < 10 ? `.${tenths}` : ''}`;
}

function isBetween(value: number, low: number, high: number): boolean {
  return value >= low && value <= high;
}
