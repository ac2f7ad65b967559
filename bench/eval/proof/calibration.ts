/**
 * The calibration agent: it begins, stops, skips, repeats and goes on at random and knows the samples; what the evaluator measures must agree. Also
 * what the comparison gives.
 */
import { randomOf } from '../../../load/providers/seeded.js';
import { Audible } from '../metrics/audible.js';
import type { Piece } from '../metrics/source-match.js';
import { templateOf } from '../metrics/template.js';
import { breakBetween, heardLaneOf } from '../metrics/utterances.js';
import type { RunRecord } from '../run-record.js';
import { type Scenario, scenarioSchema } from '../scenario.js';
import { ascending, quantile } from '../statistics.js';
import type { Policy, Stage } from './proof-host.js';
import type { SentRun } from './speaker.js';

const samplesPerMs = 16;

const texts = [
  'Your order was packed in our warehouse on Monday, it left the depot in Denver on Tuesday night, and it should reach you on Friday morning.',
  'The museum opens at ten every day but Monday. Tickets are twelve dollars for adults and free for children under six.',
  'I can see your reservation for two nights, and there is a room with a view of the lake for forty dollars more.',
  'First mix the flour with the salt, then add the water and the oil, and leave it in a warm place for an hour.',
];

/** Nobody says anything in it. */
export function calibrationScenario(channel: 'wide' | 'phone', seed: number, seconds = 45): Scenario {
  return scenarioSchema.parse({
    id: `calibration-${channel}-${seed}`,
    family: 'M',
    title: 'The agent stops and goes on at random',
    seed,
    part: 'open',
    voice: { name: 'caller-m1' },
    channel,
    agent: {
      greeting: null,
      answers: { '*': texts[0]!, ...Object.fromEntries(texts.map((text, index) => [`t${index}`, text])) },
    },
    steps: [],
    end: { after: 'agent.end#99', ms: 0, max: 1000 * seconds },
    expect: { answers: 0 },
  });
}

const fadesMs = [0, 5, 10] as const;

/** Stops, goes on, leaves out, repeats. */
export function calibrationAgent(seed: number): Policy {
  const random = randomOf(seed, 'calibration');
  const between = (min: number, max: number): number => min + random() * (max - min);
  let changesAtMs = between(200, 600);
  let said = 0;
  let paused: { readonly eventId: number; readonly next: number } | undefined;
  let rounds = 0;
  const fade = (): number => fadesMs[Math.floor(random() * fadesMs.length)]! * samplesPerMs;
  const pause = (stage: Stage, atMs: number): void => {
    const { speaker } = stage;
    const eventId = speaker.eventId!;
    speaker.pause(Math.floor(between(0, 320)), fade());
    const next = speaker.nextOf(eventId);
    rounds += 1;
    // The third time it is for good.
    paused = rounds < 4 ? { eventId, next } : undefined;
    if (paused === undefined) speaker.interrupt();
    changesAtMs = atMs + between(80, 900);
  };
  return {
    act: (stage, atMs) => {
      const { speaker } = stage;
      if (atMs < changesAtMs) return;
      if (speaker.eventId !== undefined) {
        pause(stage, atMs);
      } else if (paused !== undefined) {
        const jump = random() < 0.4 ? 0 : between(-8000, 3000);
        speaker.resume(paused.eventId, Math.floor(paused.next + jump), fade());
        paused = undefined;
        changesAtMs = atMs + between(300, 3000);
      } else {
        stage.say(texts[said % texts.length]!);
        said += 1;
        rounds = 0;
        changesAtMs = atMs + between(300, 3000);
      }
    },
  };
}

/** Errors in ms, without sign; of skips and repeats as well. `unmatched`: pieces that were played and not found, or found otherwise. */
export type CalibrationErrors = {
  readonly onsetMs: number[];
  readonly stopMs: number[];
  readonly resumeMs: number[];
  readonly skipMs: number[];
  readonly repeatMs: number[];
  pieces: number;
  unmatched: number;
};

export function noErrors(): CalibrationErrors {
  return { onsetMs: [], stopMs: [], resumeMs: [], skipMs: [], repeatMs: [], pieces: 0, unmatched: 0 };
}

/** A sound shorter than this may be lost in a codec. */
const pieceMinMs = 20;

/** Adds how far what is measured of `record` is from what the agent (`runs`) and the caller's device did. */
export function addErrors(errors: CalibrationErrors, record: RunRecord, runs: readonly SentRun[]): void {
  const isPhone = record.scenario.channel.kind === 'phone';
  const audible = new Audible(record.lanes.heard);
  const lane = heardLaneOf(record);
  for (const reply of record.replies) {
    const template = templateOf(reply, isPhone);
    const truth = playedPieces(record, runs, reply.eventId)
      .map((piece): Piece => ({ ...piece, template }))
      .filter(({ heardFrom, count }) => audible.msIn(heardFrom, heardFrom + count) >= pieceMinMs);
    const found = lane.utterances.find(({ eventId }) => eventId === reply.eventId)?.pieces ?? [];
    let before: { readonly truth: Piece; readonly found: Piece } | undefined;
    for (const piece of truth) {
      errors.pieces += 1;
      const sounding = trimmed(piece, audible);
      const match = found.find((candidate) => overlap(candidate, sounding) > sounding.count / 2);
      if (match === undefined) {
        errors.unmatched += 1;
        before = undefined;
        continue;
      }
      const [trueFrom, trueTo] = audibleEnds(audible, piece);
      const [from, to] = audibleEnds(audible, match);
      (piece === truth[0] ? errors.onsetMs : errors.resumeMs).push(Math.abs(from - trueFrom) / samplesPerMs);
      errors.stopMs.push(Math.abs(to - trueTo) / samplesPerMs);
      if (before !== undefined && before.found !== match) {
        const truly = breakBetween(before.truth, piece);
        const seen = breakBetween(before.found, match);
        errors.skipMs.push(Math.abs(seen.skipMs - truly.skipMs));
        errors.repeatMs.push(Math.abs(seen.repeatMs - truly.repeatMs));
      }
      before = { truth: piece, found: match };
    }
  }
}

export function quantileText(values: readonly number[]): string {
  const sorted = ascending(values);
  const [p50, p95] = [quantile(sorted, 0.5), quantile(sorted, 0.95)];
  return `p50 ${p50?.toFixed(2)}, p95 ${p95?.toFixed(2)}, max ${sorted.at(-1)?.toFixed(2)} (n ${sorted.length})`;
}

/** What the device played of reply `eventId`, in samples of the reply. */
function playedPieces(record: RunRecord, runs: readonly SentRun[], eventId: number): Omit<Piece, 'template'>[] {
  const sent = runs.filter((run) => run.eventId === eventId);
  return record.played
    .filter((run) => run.eventId === eventId)
    .flatMap(({ sourceSample, heardSample, count }) =>
      sent.flatMap((run) => {
        const from = Math.max(sourceSample, run.sentFrom);
        const to = Math.min(sourceSample + count, run.sentFrom + run.count);
        return to <= from
          ? []
          : [
              {
                heardFrom: heardSample + from - sourceSample,
                sourceFrom: run.sourceFrom + from - run.sentFrom,
                count: to - from,
              },
            ];
      }),
    );
}

/** Up to its last audible sample. */
function trimmed(piece: Piece, audible: Audible): Piece {
  const end = audible.lastIn(piece.heardFrom, piece.heardFrom + piece.count) ?? piece.heardFrom;
  return { ...piece, count: end + 1 - piece.heardFrom };
}

function overlap(left: Piece, right: Piece): number {
  return Math.min(left.heardFrom + left.count, right.heardFrom + right.count) - Math.max(left.heardFrom, right.heardFrom);
}

function audibleEnds(audible: Audible, { heardFrom, count }: Piece): [number, number] {
  const end = heardFrom + count;
  return [audible.firstIn(heardFrom, end) ?? heardFrom, audible.lastIn(heardFrom, end) ?? end];
}
