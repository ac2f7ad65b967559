/**
 * One conversation as a picture: what the caller said above, what the caller heard below, what was meant by each piece of sound, when the engine
 * decided what, and which part of its speech was playing. Written in rows like a score, so that 20 ms can still be seen on paper. Pure.
 */

import { envelopePath } from './envelope.js';
import { grouped } from './plot.js';
import { colours, pictureStyle } from './style.js';
import { element, hint, label, levelsOf, pathOf, picture, short, textWidth } from './svg.js';

export type MarkKind = 'commit' | 'detect' | 'cut' | 'resume' | 'request' | 'first audio' | 'drop';
/** An instant, ms since the connect. `note` is shown on demand. */
export type Mark = { readonly kind: MarkKind; readonly atMs: number; readonly note?: string };

export type ShadeKind = 'cut-in' | 'talk-over' | 'dead air';
export type Shade = { readonly kind: ShadeKind; readonly fromMs: number; readonly toMs: number; readonly note?: string };

/** What a piece of the caller's lane is. */
export type BarKind =
  | 'turn'
  | 'interrupt'
  | 'backchannel'
  | 'abandon'
  | 'aside'
  | 'wait'
  | 'body noise'
  | 'room noise'
  | 'other talkers'
  | 'silence';
export type Bar = { readonly kind: BarKind; readonly text: string; readonly fromMs: number; readonly toMs: number };

/** A labelled silence of the caller: a hold inside a turn. */
export type Hold = { readonly fromMs: number; readonly toMs: number };

/** A stretch of a reply's own samples as it was heard: straight in both. */
export type SourceRun = {
  readonly reply: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly sourceFromMs: number;
  readonly sourceToMs: number;
};
export type Reply = { readonly id: number; readonly text: string; readonly lengthMs: number };

export type Timeline = {
  readonly title: string;
  readonly subtitle: string;
  /** What was expected and did not happen; empty when all went well. */
  readonly complaints: readonly string[];
  readonly lengthMs: number;
  readonly sampleRateHz: number;
  readonly caller: Int16Array;
  readonly heard: Int16Array;
  readonly bars: readonly Bar[];
  readonly holds: readonly Hold[];
  readonly replies: readonly Reply[];
  readonly runs: readonly SourceRun[];
  readonly shades: readonly Shade[];
  readonly marks: readonly Mark[];
};

/** Where things lie, in units of the picture; tests measure with it. */
export const timelineGeometry = { left: 66, right: 14, pxPerSecond: 100, rowMaxMs: 12_000, top: 40 } as const;
const { left, right, pxPerSecond, rowMaxMs, top } = timelineGeometry;
const rowMinMs = 3000;

/** Length of the rows: all of one call are alike, as few as possible. */
export function rowMsOf(lengthMs: number): number {
  const rows = Math.max(1, Math.ceil(lengthMs / rowMaxMs));
  return Math.min(rowMaxMs, Math.max(rowMinMs, Math.ceil(lengthMs / rows / 500) * 500));
}

/** Of a row, from the top of its caller's lane: bars and labels above it, the rest below. */
const row = {
  barHeight: 13,
  barStep: 15,
  markStep: 11,
  markLevels: 5,
  caller: { middle: 26, half: 26 },
  heard: { middle: 82, half: 26 },
  reply: 112,
  source: { top: 128, bottom: 150 },
  bottom: 166,
  gap: 14,
} as const;

const markColour: Readonly<Record<MarkKind, string>> = {
  commit: 'commit',
  detect: 'hold',
  cut: 'cut',
  resume: 'resume',
  request: 'request',
  'first audio': 'audio',
  drop: 'other',
};
const barColour: Readonly<Record<BarKind, string>> = {
  turn: 'caller',
  interrupt: 'cut',
  backchannel: 'resume',
  abandon: 'hold',
  aside: 'other',
  wait: 'request',
  'body noise': 'hold',
  'room noise': 'other',
  'other talkers': 'other',
  silence: 'quiet',
};
const shadeColour: Readonly<Record<ShadeKind, string>> = { 'cut-in': 'cut', 'talk-over': 'hold', 'dead air': 'quiet' };

const smallSize = 9.5;
const lineHeight = 14;
/** Room for the titles of short calls. */
const widthMin = 640;
const fileMargin = 14;
/** A jump in the source of less than this is the analysis' own grain and not marked. */
const jumpMinMs = 20;

type Piece = { readonly row: number; readonly from: number; readonly to: number };

/** Row and x of an instant. */
export function placeOf(atMs: number, rowMs: number): { readonly row: number; readonly x: number } {
  const index = Math.max(0, Math.floor(atMs / rowMs));
  return { row: index, x: left + ((atMs - index * rowMs) * pxPerSecond) / 1000 };
}

/** The parts of [`fromMs`, `toMs`) row by row, in x. */
function piecesOf(fromMs: number, toMs: number, lengthMs: number): Piece[] {
  const rowMs = rowMsOf(lengthMs);
  const [first, last] = [Math.max(0, fromMs), Math.min(toMs, lengthMs)];
  const pieces: Piece[] = [];
  for (let index = Math.floor(first / rowMs); index * rowMs < last; index++) {
    const [start, end] = [Math.max(first, index * rowMs), Math.min(last, (index + 1) * rowMs)];
    const xOf = (atMs: number): number => left + ((atMs - index * rowMs) * pxPerSecond) / 1000;
    if (end > start) pieces.push({ row: index, from: xOf(start), to: xOf(end) });
  }
  return pieces;
}

/** What stands above the lanes of a row, and where its lanes begin. */
type RowPlace = { readonly lanesTop: number; readonly hasSounds: boolean };
type Marked = Mark & { readonly row: number; readonly x: number; readonly isLate: boolean; readonly level: number };
type Layout = {
  readonly rows: readonly RowPlace[];
  readonly marks: readonly Marked[];
  /** The complaints, broken where they would not fit. */
  readonly complaints: readonly string[];
  readonly width: number;
  readonly height: number;
};

/** A row is as high as what it holds: sounds and labels of marks take room only where there are some. */
function layoutOf(timeline: Timeline): Layout {
  const rowMs = rowMsOf(timeline.lengthMs);
  const marks = markedOf(timeline);
  const width = Math.max(widthMin, left + (rowMs * pxPerSecond) / 1000 + right);
  const complaints = timeline.complaints.flatMap((text) => broken(text, width));
  const rows: RowPlace[] = [];
  let y = top + complaints.length * lineHeight + lineHeight;
  for (let index = 0; index < Math.max(1, Math.ceil(timeline.lengthMs / rowMs)); index++) {
    const hasSounds = timeline.bars.some(
      ({ kind, fromMs, toMs }) => isSound(kind) && piecesOf(fromMs, toMs, timeline.lengthMs).some((piece) => piece.row === index),
    );
    const levels = Math.max(0, ...marks.filter((mark) => mark.row === index).map(({ level }) => level + 1));
    const lanesTop = y + levels * row.markStep + (hasSounds ? 2 : 1) * row.barStep;
    rows.push({ lanesTop, hasSounds });
    y = lanesTop + row.bottom + row.gap;
  }
  return { rows, marks, complaints, width, height: y - row.gap };
}

function markedOf({ marks, lengthMs }: Timeline): Marked[] {
  const rowMs = rowMsOf(lengthMs);
  const shown = marks.filter(({ atMs }) => atMs >= 0 && atMs < lengthMs).sort((a, b) => a.atMs - b.atMs);
  const labelMs = (kind: MarkKind): number => ((textWidth(kind, smallSize) + 8) * 1000) / pxPerSecond;
  const levels = levelsOf(
    shown.map(({ kind, atMs }) =>
      isLate(atMs, rowMs) ? { from: atMs - labelMs(kind), to: atMs } : { from: atMs, to: atMs + labelMs(kind) },
    ),
    row.markLevels,
  );
  return shown.map((mark, index) => ({
    ...mark,
    ...placeOf(mark.atMs, rowMs),
    isLate: isLate(mark.atMs, rowMs),
    level: levels[index]!,
  }));
}

/** So near the end of its row that a label has to stand on the left. */
function isLate(atMs: number, rowMs: number): boolean {
  return atMs % rowMs > rowMs - 600;
}

function isSound(kind: BarKind): boolean {
  return kind === 'body noise' || kind === 'room noise' || kind === 'other talkers' || kind === 'silence';
}

/** The picture for a page. */
export function timelinePicture(timeline: Timeline): string {
  const layout = layoutOf(timeline);
  const { rows, complaints, width, height } = layout;
  const topOf = (index: number): number => rows[index]!.lanesTop;
  return picture(
    `Timeline: ${timeline.title}`,
    width,
    height,
    label(timeline.title, { x: 0, y: 15, class: 'strong' }),
    label(timeline.subtitle, { x: 0, y: 31, class: 'tick' }),
    ...complaints.map((text, index) => label(text, { x: 0, y: top + 8 + index * lineHeight, class: 'small f-bad' })),
    legend(timeline, top + 8 + complaints.length * lineHeight),
    ...rows.map((_, index) => frame(timeline, index, topOf(index))),
    ...timeline.shades.map((shade) => shadeArea(shade, timeline.lengthMs, topOf)),
    ...timeline.holds.map((hold) => holdArea(hold, timeline.lengthMs, topOf)),
    ...rows.map((_, index) => lanes(timeline, index, topOf(index))),
    ...layout.marks.map((mark) => markLine(mark, rows[mark.row]!)),
    ...bars(timeline, layout),
    ...replies(timeline, topOf),
    ...sourceStrip(timeline, topOf),
    ...layout.marks.map((mark) => markLabel(mark, rows[mark.row]!)),
  );
}

/** The picture as a file of its own. */
export function timelineFile(timeline: Timeline): string {
  const style = `<style>${colours('svg')}svg{background:var(--surface)}${pictureStyle}</style>`;
  const body = timelinePicture(timeline)
    .replace(/^<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"/, (_, width: string, height: string) => {
      const [outerWidth, outerHeight] = [Number(width) + 2 * fileMargin, Number(height) + 2 * fileMargin];
      return `<svg xmlns="http://www.w3.org/2000/svg" width="${outerWidth}" height="${outerHeight}" viewBox="${-fileMargin} ${-fileMargin} ${outerWidth} ${outerHeight}"`;
    })
    .replace('>', `>${style}`);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${body}\n`;
}

function frame(timeline: Timeline, index: number, y: number): string {
  const rowMs = rowMsOf(timeline.lengthMs);
  const fromMs = index * rowMs;
  const toMs = Math.min(timeline.lengthMs, fromMs + rowMs);
  const end = left + ((toMs - fromMs) * pxPerSecond) / 1000;
  const lane = ({ middle, half }: { middle: number; half: number }): string =>
    element('rect', { class: 'frame', x: left, y: y + middle - half, width: end - left, height: 2 * half });
  const seconds: string[] = [];
  for (let atMs = Math.ceil(fromMs / 1000) * 1000; atMs <= toMs; atMs += 1000) {
    const x = left + ((atMs - fromMs) * pxPerSecond) / 1000;
    seconds.push(
      element('line', {
        class: 'grid',
        x1: x,
        x2: x,
        y1: y + row.caller.middle - row.caller.half,
        y2: y + row.source.bottom + 3,
      }),
      label(`${atMs / 1000} s`, { class: 'tick', x, y: y + row.source.bottom + 14, 'text-anchor': 'middle' }),
    );
  }
  const name = (text: string, middle: number): string =>
    label(text, { class: 'tick', x: left - 8, y: y + middle + 3.5, 'text-anchor': 'end' });
  return element(
    'g',
    {},
    lane(row.caller),
    lane(row.heard),
    ...seconds,
    name('caller', row.caller.middle),
    name('heard', row.heard.middle),
    name('source', (row.source.top + row.source.bottom) / 2),
  );
}

function lanes(timeline: Timeline, index: number, y: number): string {
  const rowMs = rowMsOf(timeline.lengthMs);
  const fromMs = index * rowMs;
  const toMs = Math.min(timeline.lengthMs, fromMs + rowMs);
  const perMs = timeline.sampleRateHz / 1000;
  const wave = (samples: Int16Array, { middle, half }: { middle: number; half: number }, colour: string): string =>
    envelopePath(
      samples,
      fromMs * perMs,
      toMs * perMs,
      { left, width: ((toMs - fromMs) * pxPerSecond) / 1000, middle: y + middle, halfHeight: half - 2 },
      `wave f-${colour}`,
    );
  return wave(timeline.caller, row.caller, 'caller') + wave(timeline.heard, row.heard, 'agent');
}

function shadeArea({ kind, fromMs, toMs, note }: Shade, lengthMs: number, topOf: (row: number) => number): string {
  const height = row.heard.middle + row.heard.half;
  return piecesOf(fromMs, toMs, lengthMs)
    .map((piece) =>
      element(
        'rect',
        {
          class: `shade f-${shadeColour[kind]}`,
          'data-kind': kind,
          x: piece.from,
          y: topOf(piece.row),
          width: Math.max(1, piece.to - piece.from),
          height,
        },
        hint(`${kind}, ${ms(fromMs)} to ${ms(toMs)} (${ms(toMs - fromMs)})${note === undefined ? '' : `: ${note}`}`),
      ),
    )
    .join('');
}

/** A bracket under the caller's lane, with its length when there is room. */
function holdArea({ fromMs, toMs }: Hold, lengthMs: number, topOf: (row: number) => number): string {
  return piecesOf(fromMs, toMs, lengthMs)
    .map((piece) => {
      const y = topOf(piece.row) + 2 * row.caller.half - 5;
      const text = String(Math.round(toMs - fromMs));
      const isRoomy = piece.to - piece.from > textWidth(text, smallSize) + 6;
      return element(
        'g',
        {},
        hint(`pause of ${ms(toMs - fromMs)}`),
        element('path', {
          class: 'line s-quiet',
          style: 'stroke-width:1',
          d: `M${short(piece.from)} ${short(y)}v3H${short(piece.to)}v-3`,
        }),
        isRoomy
          ? label(text, { class: 'tick small halo', x: (piece.from + piece.to) / 2, y: y - 1, 'text-anchor': 'middle' })
          : '',
      );
    })
    .join('');
}

function barRect(piece: Piece, y: number, colour: string, text: string, full: string): string {
  const width = Math.max(1.5, piece.to - piece.from);
  return element(
    'g',
    {},
    hint(full),
    element('rect', { class: `f-${colour} faint`, x: piece.from, y, width, height: row.barHeight, rx: 2 }),
    element('rect', { class: `f-${colour}`, x: piece.from, y, width: Math.min(width, 2.5), height: row.barHeight, rx: 1 }),
    label(fitted(text, width - 8, smallSize), { class: 'small', x: piece.from + 5, y: y + 9.8 }),
  );
}

/** Speech right above the lanes, sounds above the speech. */
function bars(timeline: Timeline, { rows }: Layout): string[] {
  return timeline.bars.flatMap(({ kind, text, fromMs, toMs }) =>
    piecesOf(fromMs, toMs, timeline.lengthMs).map((piece) =>
      barRect(
        piece,
        rows[piece.row]!.lanesTop - (isSound(kind) ? 2 : 1) * row.barStep,
        barColour[kind],
        text,
        `${kind}: ${text} (${ms(fromMs)} to ${ms(toMs)})`,
      ),
    ),
  );
}

/** Under the heard lane: what each reply says, from its first heard sample to its last. */
function replies(timeline: Timeline, topOf: (row: number) => number): string[] {
  return timeline.replies.flatMap(({ id, text }) => {
    const runs = timeline.runs.filter(({ reply }) => reply === id);
    if (runs.length === 0) return [];
    const fromMs = Math.min(...runs.map((run) => run.fromMs));
    const toMs = Math.max(...runs.map((run) => run.toMs));
    return piecesOf(fromMs, toMs, timeline.lengthMs).map((piece) =>
      barRect(piece, topOf(piece.row) + row.reply, 'agent', text, `reply ${id}: ${text} (${ms(fromMs)} to ${ms(toMs)})`),
    );
  });
}

/**
 * Position in the reply's own speech against time: a straight rising line is undisturbed speech, a flat dotted one a pause; a step up is speech
 * that nobody heard, a step down speech heard twice.
 */
function sourceStrip(timeline: Timeline, topOf: (row: number) => number): string[] {
  const rowMs = rowMsOf(timeline.lengthMs);
  const height = row.source.bottom - row.source.top;
  const drawn: string[] = [];
  for (const { id, lengthMs: replyMs } of timeline.replies) {
    const runs = timeline.runs.filter(({ reply }) => reply === id).sort((a, b) => a.fromMs - b.fromMs);
    const yOf = (rowIndex: number, sourceMs: number): number =>
      topOf(rowIndex) + row.source.bottom - (replyMs > 0 ? Math.max(0, Math.min(1, sourceMs / replyMs)) : 0) * height;
    for (const [index, run] of runs.entries()) {
      for (const piece of piecesOf(run.fromMs, run.toMs, timeline.lengthMs)) {
        const base = piece.row * rowMs;
        const sourceAt = (x: number): number => run.sourceFromMs + (base + ((x - left) * 1000) / pxPerSecond - run.fromMs);
        drawn.push(
          element('path', {
            class: 'line s-agent',
            d: pathOf([
              [piece.from, yOf(piece.row, sourceAt(piece.from))],
              [piece.to, yOf(piece.row, sourceAt(piece.to))],
            ]),
          }),
        );
      }
      const next = runs[index + 1];
      if (next === undefined) continue;
      for (const piece of piecesOf(run.toMs, next.fromMs, timeline.lengthMs)) {
        const y = yOf(piece.row, run.sourceToMs);
        drawn.push(element('line', { class: 's-agent dash', x1: piece.from, x2: piece.to, y1: y, y2: y }));
      }
      drawn.push(jump(next.sourceFromMs - run.sourceToMs, placeOf(next.fromMs, rowMs), topOf));
    }
  }
  return drawn;
}

function jump(jumpMs: number, { row: index, x }: ReturnType<typeof placeOf>, topOf: (row: number) => number): string {
  if (Math.abs(jumpMs) < jumpMinMs) return '';
  const y = topOf(index);
  const isSkip = jumpMs > 0;
  const colour = isSkip ? 'cut' : 'request';
  const text = `${isSkip ? 'skipped' : 'repeated'} ${Math.round(Math.abs(jumpMs))}`;
  return element(
    'g',
    { 'data-kind': isSkip ? 'skip' : 'repeat' },
    hint(`${text} ms`),
    element('line', {
      class: `s-${colour}`,
      'stroke-width': 2.5,
      x1: x,
      x2: x,
      y1: y + row.source.bottom,
      y2: y + row.source.top,
    }),
    label(text, { class: `small halo f-${colour}`, x: x + 4, y: y + row.source.top + 8 }),
  );
}

function markY(level: number, { lanesTop, hasSounds }: RowPlace): number {
  return lanesTop - (hasSounds ? 2 : 1) * row.barStep - 3 - level * row.markStep;
}

function markLine({ kind, atMs, note, x, level }: Marked, place: RowPlace): string {
  return element(
    'g',
    { 'data-kind': kind },
    hint(`${kind} at ${ms(atMs)}${note === undefined ? '' : `: ${note}`}`),
    element('line', {
      class: `s-${markColour[kind]} dash`,
      x1: x,
      x2: x,
      y1: markY(level, place) - 7,
      y2: place.lanesTop + row.heard.middle + row.heard.half,
    }),
  );
}

/** Drawn after all lines, so that none of them crosses a word. */
function markLabel({ kind, x, isLate: isLeft, level }: Marked, place: RowPlace): string {
  const side = isLeft ? { x: x - 3, 'text-anchor': 'end' } : { x: x + 3 };
  return label(kind, { class: `small halo f-${markColour[kind]}`, ...side, y: markY(level, place) });
}

function legend(timeline: Timeline, y: number): string {
  const entries: string[] = [];
  let x = 0;
  const add = (swatch: (at: number) => string, text: string): void => {
    entries.push(swatch(x), label(text, { class: 'tick small', x: x + 15, y }));
    x += 15 + textWidth(text, smallSize) + 14;
  };
  const box = (className: string) => (at: number) =>
    element('rect', { class: className, x: at, y: y - 8, width: 11, height: 9, rx: 1.5 });
  for (const kind of new Set(timeline.bars.map((bar) => bar.kind))) add(box(`f-${barColour[kind]} faint`), kind);
  for (const kind of new Set(timeline.shades.map((shade) => shade.kind)))
    add(box(`shade f-${shadeColour[kind]}`), `${kind} (shaded)`);
  return entries.join('');
}

/** `text` in lines that fit, broken between words. */
function broken(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && textWidth(`${last} ${word}`, smallSize) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** As much of `text` as fits, with an ellipsis where it was cut; nothing when not even a few letters fit. */
function fitted(text: string, width: number, size: number): string {
  const room = Math.floor(width / textWidth('n', size));
  if (text.length <= room) return text;
  return room < 3 ? '' : `${text.slice(0, room - 1).trimEnd()}…`;
}

function ms(value: number): string {
  return `${grouped(value)} ms`;
}
