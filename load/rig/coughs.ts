/** What a cough over an answer does to it: read from the engine's log and from what was heard. All instants `…AtMs` are monotonic. */
import type { Caller, Said } from '../caller.js';
import type { Heard } from './source.js';
import type { LogLine } from './stack.js';

const samplesPerMs = 16;
/** A break that begins this long after the cough has another cause. */
const effectMs = 1500;

export type CoughOutcome = {
  /** First, second, … cough of its answer. */
  readonly ordinal: number;
  readonly isHeld: boolean;
  readonly onsetToHoldMs: number | undefined;
  readonly verdict: string | undefined;
  /** The engine told the client of an interruption. */
  readonly isInterrupted: boolean;
  /** How long nothing was played, 0 when the sound went on without a break. */
  readonly holeMs: number;
  /** From the cough's last sample to the first sample after the (longest) hole. */
  readonly resumedAfterMs: number | undefined;
  /** Of the answer, at this break: heard twice, and never heard. */
  readonly repeatedMs: number;
  readonly skippedMs: number;
  readonly log: readonly string[];
};

/** What `cough` did to an answer, of which `heard` says when which sample was heard. */
export function coughOutcome(caller: Caller, cough: Said, ordinal: number, heard: Heard, log: readonly LogLine[]): CoughOutcome {
  const zero = caller.openedAtMonotonicMs;
  const [fromMs, untilMs] = [cough.speechStartMs - 50, cough.speechEndMs + effectMs];
  const near = log.filter((line) => at(line) - zero >= fromMs && at(line) - zero <= untilMs);
  const hold = near.find(({ event }) => event === 'turn.hold');
  const verdict = near.find(({ event }) => event === 'turn.verdict');
  let [holeMs, longestMs, repeatedMs, skippedMs] = [0, 0, 0, 0];
  let resumedAfterMs: number | undefined;
  for (const [index, run] of heard.runs.entries()) {
    const next = heard.runs[index + 1];
    const endSample = run.heardSample + run.count;
    const endMs = endSample / samplesPerMs;
    if (next === undefined || endMs < fromMs || endMs > untilMs) continue;
    const breakMs = (next.heardSample - endSample) / samplesPerMs;
    holeMs += breakMs;
    if (breakMs >= longestMs) resumedAfterMs = next.heardSample / samplesPerMs - cough.speechEndMs;
    longestMs = Math.max(longestMs, breakMs);
    const jump = next.sourceSample - (run.sourceSample + run.count);
    if (jump < 0) repeatedMs -= jump / samplesPerMs;
    else skippedMs += jump / samplesPerMs;
  }
  const isInterrupted = caller.events.some(({ type, atMs }) => type === 'interruption' && atMs >= fromMs && atMs <= untilMs);
  return {
    ordinal,
    isHeld: hold !== undefined,
    onsetToHoldMs: hold && at(hold) - zero - cough.speechStartMs,
    verdict: verdict && `${verdict['is']} ${verdict['reason']}`,
    isInterrupted,
    holeMs,
    resumedAfterMs,
    repeatedMs,
    skippedMs,
    log: near.map(
      (line) => `${(at(line) - zero - cough.speechStartMs).toFixed(0)} ${line.event} ${line['is'] ?? ''} ${line['reason'] ?? ''}`,
    ),
  };
}

const at = (line: LogLine): number => Number(line['at_ms'] ?? Number.NaN);
