/** False cut-ins: into the pauses of a turn and into its parts (metrics fci and pcm). Pure. */
import type { HoldFigures, HoldStratum, PartCutIn } from '../result.js';
import { type Span, samplesPerMs } from './audible.js';
import { type CallerTurn, commitsOf, type Scene } from './scene.js';

const holdMinMs = 200;
/** An onset counts from this long before a hold, where the caller's last sound may fade out, until this long after it: nobody can react sooner. */
const beforeMs = 250;
const afterMs = 200;
/** The agent spoke already when most of the second before a hold was full of it. */
const speakingWindowMs = 1000;
const speakingRatio = 0.8;

export type TurnHolds = { readonly holds: readonly HoldFigures[]; readonly partCutIns: readonly PartCutIn[] };

export function holdFigures(scene: Scene, turn: CallerTurn): TurnHolds {
  const isPhone = scene.record.scenario.channel.kind === 'phone';
  const onsets = scene.said.map(({ utterance }) => utterance.from);
  const end = turn.to ?? turn.parts.at(-1)?.to ?? 0;
  const overlapMs = (onset: number | undefined): number =>
    onset === undefined ? 0 : scene.lane.audible.msWith(scene.caller, onset, end);
  const spans = holdsOf(turn);
  const holds = spans.map((span): HoldFigures => {
    const onset = onsets.find((at) => at >= span.from - beforeMs * samplesPerMs && at <= span.to + afterMs * samplesPerMs);
    const durationMs = (span.to - span.from) / samplesPerMs;
    const commit = commitsOf(scene.record).find(
      ({ at_ms: atMs }) => atMs * samplesPerMs >= span.from && atMs * samplesPerMs <= span.to + afterMs * samplesPerMs,
    );
    return {
      turn: turn.name,
      fromMs: span.from / samplesPerMs,
      durationMs,
      stratum: stratumOf(durationMs),
      isCutIn: onset !== undefined,
      overlapMs: overlapMs(onset),
      isPrematureCommit: commit !== undefined,
      isMeasured: isMeasured(scene, turn, span),
      isPhone,
    };
  });
  const partCutIns = turn.parts.flatMap((part): PartCutIn[] => {
    const onset = onsets.find(
      (at) =>
        at > part.from + afterMs * samplesPerMs &&
        at < part.to - beforeMs * samplesPerMs &&
        !spans.some(({ from, to }) => at >= from - beforeMs * samplesPerMs && at <= to + afterMs * samplesPerMs),
    );
    return onset === undefined ? [] : [{ turn: turn.name, atMs: onset / samplesPerMs, overlapMs: overlapMs(onset), isPhone }];
  });
  return { holds, partCutIns };
}

/** Silences of at least 200 ms between the turn's parts and inside them, in order. */
function holdsOf({ parts }: CallerTurn): Span[] {
  const spans: Span[] = [];
  for (const [index, part] of parts.entries()) {
    const before = parts[index - 1];
    if (before !== undefined) spans.push({ from: before.to, to: part.from });
    spans.push(...part.silences);
  }
  return spans.filter(({ from, to }) => to - from >= holdMinMs * samplesPerMs);
}

function stratumOf(durationMs: number): HoldStratum {
  if (durationMs < 500) return '200-499';
  if (durationMs < 800) return '500-799';
  return durationMs < 1200 ? '800-1199' : '1200+';
}

function isMeasured(scene: Scene, turn: CallerTurn, { from }: Span): boolean {
  if (scene.said.length === 0 && scene.isSpeechDue) return false;
  const since = Math.max(turn.from ?? 0, from - speakingWindowMs * samplesPerMs);
  const isSpeaking = scene.lane.audible.msIn(since, from) > (speakingRatio * (from - since)) / samplesPerMs;
  const isOnsetInTurn = scene.said.some(({ utterance }) => utterance.from > (turn.from ?? 0) && utterance.from < from);
  return !isSpeaking || isOnsetInTurn;
}
