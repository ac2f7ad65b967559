/**
 * Everything that a run of the evaluator leaves in its folder: `report.json`, `report.html`, and for each conversation `timelines/<id>.svg`,
 * `lanes/<id>.u.wav` (what the caller said), `lanes/<id>.a.wav` (what the caller heard) and `events/<id>.jsonl`.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWav } from '../../../src/audio/wav.js';
import { hz } from '../../../src/shared/units.js';
import type { EvaluationResult, ScenarioFigures } from '../result.js';
import type { PlayoutKind, RunRecord } from '../run-record.js';
import { type Comparison, compare } from './baseline.js';
import { eventLines } from './event-lines.js';
import { type PageTimeline, reportPage } from './page.js';
import { reportJson } from './report-json.js';
import type { TrendPoint } from './score-bars.js';
import { timelineFile } from './timeline.js';
import { timelineOf } from './timeline-of-run.js';

/** Timelines on the page itself: those that went wrong, up to a size at which a browser still opens the page at once. */
const wrongMax = 20;
/** Families of which one good conversation is shown as well. */
const exampleFamilies: readonly ScenarioFigures['family'][] = ['A', 'B', 'E', 'F', 'G', 'J'];

const folders = { timelines: 'timelines', lanes: 'lanes', events: 'events' } as const;

/** Name of a run's files: the scenario's id, with the playout where a scenario was run with more than one. */
export function runName(id: string, playout: PlayoutKind, playouts: readonly PlayoutKind[]): string {
  return playouts.length > 1 ? `${id}.${playout}` : id;
}

/** The files of one conversation. Its record can be forgotten afterwards. */
export async function writeRun(
  folder: string,
  record: RunRecord,
  figures: ScenarioFigures,
  playouts: readonly PlayoutKind[] = [record.playout],
): Promise<void> {
  const name = runName(record.scenario.id, record.playout, playouts);
  await Promise.all(
    [folders.timelines, folders.lanes, folders.events].map((each) => mkdir(join(folder, each), { recursive: true })),
  );
  const wav = (lane: Int16Array): Uint8Array => writeWav({ channels: [lane], rateHz: hz(16_000) });
  await Promise.all([
    writeFile(join(folder, folders.timelines, `${name}.svg`), timelineFile(timelineOf(record, figures))),
    writeFile(join(folder, folders.lanes, `${name}.u.wav`), wav(record.lanes.caller)),
    writeFile(join(folder, folders.lanes, `${name}.a.wav`), wav(record.lanes.heard)),
    writeFile(join(folder, folders.events, `${name}.jsonl`), eventLines(record, figures)),
  ]);
}

export type ReportOptions = {
  /** A run to stand beside this one. */
  readonly baseline?: EvaluationResult;
  /** Older results for the trend, the oldest first. The baseline is added at their end when it is not among them. */
  readonly history?: readonly EvaluationResult[];
};

/**
 * Writes both reports; runs whose record is in `records` get their files first, for others `writeRun` was called before. Returns the comparison
 * with the baseline, when there is one.
 */
export async function writeReport(
  folder: string,
  result: EvaluationResult,
  records: Iterable<RunRecord>,
  options: ReportOptions = {},
): Promise<Comparison | undefined> {
  await mkdir(folder, { recursive: true });
  for (const record of records) {
    const figures = result.scenarios.find(({ id, playout }) => id === record.scenario.id && playout === record.playout);
    if (figures !== undefined) await writeRun(folder, record, figures, result.playouts);
  }
  const { baseline, history = [] } = options;
  const comparison = baseline === undefined ? undefined : compare(result, baseline);
  const older = baseline === undefined || history.includes(baseline) ? history : [...history, baseline];
  const nameOf = ({ id, playout }: ScenarioFigures): string => runName(id, playout, result.playouts);
  await writeFile(join(folder, 'report.json'), reportJson(result));
  const timelines = await Promise.all(
    shownOnPage(result.scenarios).map(async (figures): Promise<PageTimeline[]> => {
      const name = nameOf(figures);
      const svg = await pictureIn(join(folder, folders.timelines, `${name}.svg`));
      return svg === undefined ? [] : [{ name, figures, svg }];
    }),
  );
  const page = reportPage(result, { comparison, trend: [...older, result].map(trendPoint), timelines: timelines.flat(), nameOf });
  await writeFile(join(folder, 'report.html'), page);
  return comparison;
}

/** What went wrong first, then one example of each family that went well. */
function shownOnPage(scenarios: readonly ScenarioFigures[]): ScenarioFigures[] {
  const inOrder = [...scenarios].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : a.playout < b.playout ? -1 : 1));
  const wrong = inOrder.filter(({ isPassed }) => !isPassed).slice(0, wrongMax);
  const examples = exampleFamilies.flatMap(
    (family) => inOrder.find((figures) => figures.family === family && figures.isPassed) ?? [],
  );
  return [...wrong, ...examples];
}

/** The picture inside a timeline's file, without what the page has already; undefined when that run left no file. */
async function pictureIn(path: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  return text.replace(/^<\?xml[^>]*>\s*/, '').replace(/<style>.*?<\/style>/s, '');
}

function trendPoint({ engineVersion, scores }: EvaluationResult): TrendPoint {
  return {
    version: engineVersion,
    total: scores.total.raw,
    totalInterval: scores.total.rawInterval,
    dims: Object.fromEntries(scores.dims.flatMap(({ id, score }) => (score === undefined ? [] : [[id, score]]))),
  };
}
