/** What the timeline of a run shows: marks, bars and shaded stretches from its record and its figures. Pure. */
import { Audible, windowSamples } from '../metrics/audible.js';
import type { ScenarioFigures } from '../result.js';
import type { Placed, PlacedPart, RunRecord } from '../run-record.js';
import type { EventClass } from '../scenario.js';
import type { Bar, BarKind, Mark, Shade, SourceRun, Timeline } from './timeline.js';

const sampleRateHz = 16_000;
const perMs = sampleRateHz / 1000;
/** Both sounding for less than `talkOverMinMs` is the grain of words, not talk-over; gaps of less than 50 ms are part of it. */
const bridgeWindows = 10;
const talkOverMinMs = 60;
/** Least width of a shaded cut-in, so that one without overlap is seen. */
const cutInMinMs = 150;
/** A cut-in counts from a little before its hold to a little after (metrics, `fci`). */
const cutInMarginsMs = { before: 250, after: 200 } as const;
/** An answer may take this long before silence is dead air. */
const answerMaxMs = 1000;

export function timelineOf(record: RunRecord, figures: ScenarioFigures): Timeline {
  const { scenario } = record;
  const lengthMs = record.lanes.heard.length / perMs;
  const failed = figures.expectations.filter(({ isMet }) => !isMet);
  return {
    title: `${scenario.id}: ${scenario.title}`,
    subtitle: `${figures.channel}, ${record.playout} playout, ${record.clock} clock, profile ${record.profile}, seed ${record.seed}; ${failed.length === 0 ? 'as expected' : 'not as expected:'}`,
    complaints: failed.map(({ name, detail }) => `${name}: ${detail}`),
    lengthMs,
    sampleRateHz,
    caller: record.lanes.caller,
    heard: record.lanes.heard,
    bars: record.placed.map(barOf),
    holds: figures.holds.map(({ fromMs, durationMs }) => ({ fromMs, toMs: fromMs + durationMs })),
    replies: figures.utterances.map(({ eventId, text }) => ({ id: eventId, text, lengthMs: replyMs(record, eventId) })),
    runs: figures.utterances.flatMap(({ eventId, pieces }) =>
      pieces.map(
        ({ heardFrom, sourceFrom, count }): SourceRun => ({
          reply: eventId,
          fromMs: heardFrom / perMs,
          toMs: (heardFrom + count) / perMs,
          sourceFromMs: sourceFrom / perMs,
          sourceToMs: (sourceFrom + count) / perMs,
        }),
      ),
    ),
    shades: [...cutIns(figures), ...talkOver(record), ...deadAir(figures)],
    marks: marksOf(record, figures),
  };
}

function replyMs(record: RunRecord, eventId: number): number {
  return (record.replies.find((reply) => reply.eventId === eventId)?.samples.length ?? 0) / perMs;
}

const barKinds: Readonly<Record<EventClass, BarKind>> = {
  cough: 'body noise',
  sneeze: 'body noise',
  breath: 'body noise',
  door: 'room noise',
  keys: 'room noise',
  click: 'room noise',
  tone: 'room noise',
  ring: 'room noise',
  music: 'room noise',
  bystander: 'other talkers',
  babble: 'other talkers',
  silence: 'silence',
  hang_up: 'silence',
};

function barOf(placed: Placed): Bar {
  const place = { fromMs: placed.from / perMs, toMs: placed.to / perMs };
  if (placed.kind === 'part') return { kind: placed.role, text: placed.text, ...place };
  return { kind: barKinds[placed.class], text: placed.class, ...place };
}

function marksOf(record: RunRecord, figures: ScenarioFigures): Mark[] {
  const decided = record.whiteBox.flatMap(({ kind, at_ms: atMs, reason }): Mark[] => {
    const note = reason === undefined ? {} : { note: reason };
    switch (kind) {
      case 'commit':
      case 'cut':
      case 'resume':
      case 'drop':
        return [{ kind, atMs, ...note }];
      case 'undo':
        return [{ kind: 'resume', atMs, note: `cut undone${reason === undefined ? '' : `: ${reason}`}` }];
      case 'hold':
        return [{ kind: 'detect', atMs, note: 'audio held until a verdict' }];
      default:
        return [];
    }
  });
  return [
    ...decided,
    ...record.requests.map(({ atMs, answer }): Mark => ({ kind: 'request', atMs, note: answer === '' ? 'cancelled' : answer })),
    ...figures.utterances.map(({ onsetMs, cause }): Mark => ({ kind: 'first audio', atMs: onsetMs, note: cause })),
  ];
}

function cutIns(figures: ScenarioFigures): Shade[] {
  const shade = (fromMs: number, overlapMs: number): Shade => ({
    kind: 'cut-in',
    fromMs,
    toMs: fromMs + Math.max(cutInMinMs, overlapMs),
    note: `both audible for ${Math.round(overlapMs)} ms`,
  });
  return [
    ...figures.holds
      .filter(({ isCutIn }) => isCutIn)
      .map(({ fromMs, durationMs, overlapMs }) => {
        const earliestMs = fromMs - cutInMarginsMs.before;
        const latestMs = fromMs + durationMs + cutInMarginsMs.after;
        const onset = figures.utterances.find(({ onsetMs }) => onsetMs >= earliestMs && onsetMs <= latestMs);
        return shade(onset?.onsetMs ?? fromMs, overlapMs);
      }),
    ...figures.partCutIns.map(({ atMs, overlapMs }) => shade(atMs, overlapMs)),
  ];
}

/** Where a part of the caller's that wants the floor and the agent sound at once. */
function talkOver(record: RunRecord): Shade[] {
  const [caller, heard] = [new Audible(record.lanes.caller), new Audible(record.lanes.heard)];
  const parts = record.placed.filter((placed): placed is PlacedPart => placed.kind === 'part' && placed.role !== 'backchannel');
  return parts.flatMap(({ from, to }) => {
    const last = Math.floor(to / windowSamples);
    const spans: { from: number; to: number }[] = [];
    for (let window = Math.ceil(from / windowSamples); window < last; window++) {
      if (!caller.isWindow(window) || !heard.isWindow(window)) continue;
      const before = spans.at(-1);
      if (before !== undefined && window - before.to <= bridgeWindows) before.to = window + 1;
      else spans.push({ from: window, to: window + 1 });
    }
    const msOf = (window: number): number => (window * windowSamples) / perMs;
    return spans
      .filter((span) => msOf(span.to - span.from) >= talkOverMinMs)
      .map((span): Shade => ({ kind: 'talk-over', fromMs: msOf(span.from), toMs: msOf(span.to) }));
  });
}

function deadAir(figures: ScenarioFigures): Shade[] {
  return figures.turns.flatMap(({ endMs, deadMs }): Shade[] => {
    if (endMs === undefined || deadMs <= 0) return [];
    return [{ kind: 'dead air', fromMs: endMs + answerMaxMs, toMs: endMs + answerMaxMs + deadMs }];
  });
}
