/** The figures of one call as a table for people. Pure. */
import type { Clip } from './clip.js';
import type { InterruptionTimes, Timeline, TurnTimes } from './timeline.js';

/** What the engine writes for speech of which it understood nothing. */
const unintelligible = '[unintelligible]';
/** A label this much later than the end of the voice is worth a word. */
const uncertainMs = 250;

/** "I did not catch that" is said of nothing that was understood. */
export function isUnderstood({ transcript }: TurnTimes): boolean {
  return transcript !== unintelligible;
}

/** `clips`: all that were to be said; those for which the call was too short are named. */
export function summaryOf(timeline: Timeline, clips: readonly Clip[]): string {
  const { turns, staleChunks, problems, microphoneLatenessP99Ms } = timeline;
  return [
    '',
    row('file', 'first audio', 'audible', 'cut in'),
    ...turns.flatMap(linesOf),
    ...clips.slice(turns.length).map((clip) => `${row(clip.name, '-', '-', '-')}\n    was not said: the call had ended`),
    '',
    '  first audio, audible: from the end of our speech to the first chunk received and to the first sound heard',
    `  stale chunks ${staleChunks.length}, protocol problems ${problems.length}, microphone late by ${microphoneLatenessP99Ms.toFixed(1)} ms (p99)`,
    ...problems.map((problem) => `    ${problem}`),
  ].join('\n');
}

function linesOf(turn: TurnTimes): string[] {
  const lines = [row(turn.name, inMs(turn.firstChunkAfterMs), inMs(turn.answeredAfterMs), String(turn.cutInsAtMs.length))];
  const { answer, interruption, cough } = turn;
  const uncertainByMs = turn.speechEndMs - turn.voiceEndMs;
  if (uncertainByMs > uncertainMs) {
    const sinceVoice = answer === undefined ? '' : `, audible ${inMs(answer.onsetMs - turn.voiceEndMs)} after that`;
    lines.push(`    its strong voice ends ${inMs(uncertainByMs)} before its last sound (breath, noise, click)${sinceVoice}`);
  }
  if (answer === undefined && interruption === undefined) lines.push('    was not answered');
  if (!isUnderstood(turn)) lines.push('    was not understood');
  for (const { text } of turn.unasked) lines.push(`    not an answer: “${text ?? 'something'}”`);
  if (interruption !== undefined) lines.push(`    interruption: ${outcomeOf(interruption)}`);
  if (cough !== undefined) lines.push(`    cough: ${cough.effect}, the agent stood still for ${inMs(cough.pausedMs)}`);
  return lines;
}

function outcomeOf({ silentAfterMs, noticeAfterMs, yielded }: InterruptionTimes): string {
  if (silentAfterMs < 0) return 'came after the reply had ended';
  const outcome = yielded ? 'the agent yielded' : 'the agent did not yield';
  return `${outcome}; noticed after ${inMs(noticeAfterMs)}, silent after ${inMs(silentAfterMs)}`;
}

function inMs(value: number | undefined): string {
  return value === undefined ? '-' : `${Math.round(value)} ms`;
}

function row(name: string, ...cells: readonly string[]): string {
  return `  ${name.slice(-32).padEnd(34)}${cells.map((cell) => cell.padStart(16)).join('')}`;
}
