/** Tables whose cells are shaded by what they hold: selectivity by class and channel, mutants by dimension. Pure. */
import { element, hint, label, picture, textWidth, trace } from './svg.js';

export type Cell = {
  readonly text: string;
  readonly below?: string;
  readonly note?: string;
  /** -1 (bad) to 1 (good): how strongly it is shaded; absent: nothing was measured. */
  readonly shade: number | undefined;
  /** What this row is about. */
  readonly isTarget?: boolean;
};
export type MatrixRow = {
  readonly name: string;
  readonly cells: readonly Cell[];
  readonly mark?: 'good' | 'bad';
  readonly isHead?: boolean;
};

export const matrixGeometry = { top: 26, headStep: 11, rowHeight: 30, cellWidth: 74, gap: 2 } as const;

/** Names of columns are broken at their commas. */
function headLines(column: string): string[] {
  return column.split(/(?<=,) /);
}

/** The left edge of the cells: as wide as the longest row name. */
export function matrixLeft(rows: readonly MatrixRow[]): number {
  return Math.ceil(Math.max(40, ...rows.map(({ name }) => textWidth(name, 11))) + 30);
}

export function matrix(name: string, columns: readonly string[], rows: readonly MatrixRow[]): string {
  const { headStep, rowHeight, cellWidth, gap } = matrixGeometry;
  const lineCount = Math.max(1, ...columns.map((column) => headLines(column).length));
  const top = matrixGeometry.top + (lineCount - 1) * headStep;
  const left = matrixLeft(rows);
  const heads = columns.flatMap((column, index) => {
    const lines = headLines(column);
    const x = left + index * cellWidth + cellWidth / 2 - gap / 2;
    return lines.map((line, at) =>
      label(line, { class: 'tick', x, y: top - 9 - (lines.length - 1 - at) * headStep, 'text-anchor': 'middle' }),
    );
  });
  const body = rows.map((row, rowIndex) => {
    const y = top + rowIndex * rowHeight;
    const sign =
      row.mark === undefined
        ? ''
        : label(row.mark === 'good' ? '✓' : '✗', { class: `strong f-${row.mark}`, x: left - 9, y: y + 19, 'text-anchor': 'end' });
    const cells = row.cells.map((cell, index) => {
      const x = left + index * cellWidth;
      const middle = x + cellWidth / 2 - gap / 2;
      const box = { x, y, width: cellWidth - gap, height: rowHeight - gap, rx: 2 };
      const isShaded = cell.shade !== undefined;
      return element(
        'g',
        {},
        cell.note === undefined ? '' : hint(cell.note),
        element('rect', { class: 'frame', ...box }),
        isShaded
          ? element('rect', {
              class: cell.shade < 0 ? 'f-bad' : 'f-good',
              'fill-opacity': Math.min(1, Math.abs(cell.shade)) * 0.5,
              ...box,
            })
          : element('path', {
              class: 'grid',
              d: trace`M${x + 3} ${y + rowHeight - gap - 3}L${x + cellWidth - gap - 3} ${y + 3}`,
            }),
        cell.isTarget === true
          ? element('rect', { class: 's-ink', stroke: 'var(--ink)', 'stroke-width': 1.4, fill: 'none', ...box })
          : '',
        label(cell.text, {
          x: middle,
          y: y + (cell.below === undefined ? 18 : 13),
          'text-anchor': 'middle',
          class: cell.isTarget === true ? 'strong' : undefined,
        }),
        cell.below === undefined ? '' : label(cell.below, { class: 'tick small', x: middle, y: y + 24, 'text-anchor': 'middle' }),
      );
    });
    return element(
      'g',
      {},
      label(row.name, { class: row.isHead === true ? 'strong' : undefined, x: 0, y: y + 19 }),
      sign,
      ...cells,
    );
  });
  return picture(name, left + columns.length * cellWidth, top + rows.length * rowHeight, ...heads, ...body);
}
