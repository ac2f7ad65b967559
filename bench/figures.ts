/** The figures in the reports of benches, whatever their shape, and two sets of them side by side. Pure; no bench by itself. */

/** `ring.twoThreads.millions` → value. Items of lists are named by what tells them apart. */
export type FigureMap = Readonly<Record<string, number>>;

/** Fields that name an item of a list, the first that it has; numbers only when nothing else does. */
const namingFields = ['name', 'format', 'way', 'type', 'library', 'set', 'fromHz', 'toHz', 'rows', 'calls', 'upTo', 'together'];

/** Every finite number in `report`, by its path. */
export function figuresIn(report: unknown, path = ''): FigureMap {
  const figures: Record<string, number> = {};
  collect(report, path, figures);
  return figures;
}

function collect(value: unknown, path: string, figures: Record<string, number>): void {
  if (typeof value === 'number') {
    if (Number.isFinite(value)) figures[path] = value;
    return;
  }
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) collect(item, `${path}[${nameOf(item) ?? index}]`, figures);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, item] of Object.entries(value)) collect(item, path === '' ? key : `${path}.${key}`, figures);
}

function nameOf(item: unknown): string | undefined {
  if (typeof item !== 'object' || item === null) return undefined;
  const fields = new Map(Object.entries(item));
  const names = namingFields.filter((name) => ['string', 'number'].includes(typeof fields.get(name)));
  return names.length === 0 ? undefined : names.map((name) => `${fields.get(name)}`).join(' ');
}

/** What is better, as the name of a figure says; undefined: a count, a setting, an accuracy, which are only told when they change. */
export function betterIs(path: string): 'less' | 'more' | undefined {
  const last = path.split('.').at(-1) ?? '';
  if (/(?:perSecond|Millions|millions|PerSecond)$/i.test(last) || last === 'frameMillions') return 'more';
  if (/(?:Us|Ns|UsPerMessage|CpuUs.*|realTimeFactor|latencyMs|firstMs|allMs)$/.test(last) || /UsByRows/.test(path)) return 'less';
  return undefined;
}

export type Compared = {
  readonly path: string;
  readonly before: number;
  readonly now: number;
  /** now ÷ before. */
  readonly ratio: number;
  /** Ratios from 1 ÷ (1 + band) to 1 + band are noise. */
  readonly band: number;
  readonly verdict: 'better' | 'worse' | 'same' | 'differs';
};

/** Without rounds to judge by, less than this is noise: what two runs of one build differ by on a machine that does other things, too. */
const unknownBand = 0.1;
const leastBand = 0.03;
/** The spread of few rounds is smaller than the spread of many. */
const bandFactor = 1.5;

/** Figure → one value for each round. */
export type Rounds = Readonly<Record<string, readonly number[]>>;

export function roundsOf(reports: readonly FigureMap[]): Rounds {
  const rounds: Record<string, number[]> = {};
  for (const report of reports) for (const [path, value] of Object.entries(report)) (rounds[path] ??= []).push(value);
  return rounds;
}

/** Figures that both have, by how much they changed. Those whose better side is unknown only when they differ. */
export function compare(before: Rounds, now: Rounds): Compared[] {
  const rows = Object.keys(now).flatMap((path): Compared[] => {
    const [then, values] = [before[path], now[path]!];
    if (then === undefined) return [];
    const [old, fresh] = [medianOf(then), medianOf(values)];
    const better = betterIs(path);
    if (better === undefined) {
      const isSame = Math.abs(fresh - old) <= unknownBand * Math.abs(old);
      return isSame ? [] : [{ path, before: old, now: fresh, ratio: fresh / old, band: unknownBand, verdict: 'differs' }];
    }
    const band = bandOf(then, values);
    const ratio = fresh / old;
    const isNoise = ratio <= 1 + band && ratio >= 1 / (1 + band);
    const isBetter = better === 'less' ? ratio < 1 : ratio > 1;
    return [{ path, before: old, now: fresh, ratio, band, verdict: isNoise ? 'same' : isBetter ? 'better' : 'worse' }];
  });
  return rows.sort((a, b) => Math.abs(Math.log(b.ratio || 1)) - Math.abs(Math.log(a.ratio || 1)));
}

function bandOf(then: readonly number[], now: readonly number[]): number {
  if (then.length < 2 && now.length < 2) return unknownBand;
  const spread = (values: readonly number[]): number =>
    (Math.max(...values) - Math.min(...values)) / Math.max(1e-12, Math.abs(medianOf(values)));
  return Math.max(leastBand, bandFactor * Math.max(spread(then), spread(now)));
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** A table, the largest changes first; figures within their noise are only counted. */
export function comparedText(rows: readonly Compared[]): string {
  const shown = rows.filter(({ verdict }) => verdict !== 'same');
  const lines = shown.map(({ path, before, now, ratio, band, verdict }) => {
    const cells = [short(before), short(now), `${ratio.toFixed(2)} ×`, `± ${(band * 100).toFixed(0)} %`].map((cell) =>
      cell.padStart(12),
    );
    return `  ${verdict.padEnd(8)}${path.padEnd(70)}${cells.join('')}`;
  });
  const head = `  ${''.padEnd(8)}${'figure (median of the rounds)'.padEnd(70)}${['before', 'now', 'ratio', 'noise'].map((cell) => cell.padStart(12)).join('')}`;
  const count = (verdict: Compared['verdict']): number => rows.filter((row) => row.verdict === verdict).length;
  return [
    ...(shown.length === 0 ? [] : [head, ...lines]),
    `  ${count('better')} better, ${count('worse')} worse, ${count('same')} within the noise`,
  ].join('\n');
}

function short(value: number): string {
  return Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(4);
}
