/** Whether a scenario went as its file expects. Pure. */
import type {
  EventFigures,
  ExpectationCheck,
  HoldFigures,
  IdleCheck,
  InterruptionFigures,
  PartCutIn,
  TurnFigures,
} from '../result.js';
import type { Scenario } from '../scenario.js';

export type Measured = {
  readonly turns: readonly TurnFigures[];
  readonly holds: readonly HoldFigures[];
  readonly partCutIns: readonly PartCutIn[];
  readonly interruptions: readonly InterruptionFigures[];
  readonly events: readonly EventFigures[];
  readonly idle: readonly IdleCheck[];
  readonly idlePrompts: number;
};

/** Share of a turn's words that recognition may have lost on a bad line. */
const misheardMax = 0.6;

function isClean({ channel }: Scenario): boolean {
  return channel.kind !== 'phone' && channel.noise_snr_db === undefined && channel.loss === 0 && channel.gain_db === 0;
}

export function expectationChecks(scenario: Scenario, measured: Measured): ExpectationCheck[] {
  const { turns, holds, partCutIns, interruptions, events, idle, idlePrompts } = measured;
  const { expect } = scenario;
  const checks: ExpectationCheck[] = [];
  const add = (name: string, isMet: boolean, detail: string): void => {
    checks.push({ name, isMet, detail });
  };
  const answered = turns.filter(({ isAnswerDue, isMissed }) => isAnswerDue && !isMissed).length;
  add('answers', answered === expect.answers, `${answered} of ${expect.answers}`);
  for (const name of expect.merge) {
    const turn = turns.find((candidate) => candidate.turn === name);
    const lostMax = turn === undefined || isClean(scenario) ? 0 : misheardMax * turn.wordCount;
    const isMerged = turn !== undefined && !turn.isMissed && turn.answerCount <= 1 && (turn.lostWords ?? 0) <= lostMax;
    add(`merge ${name}`, isMerged, `${turn?.answerCount ?? 0} answers, ${turn?.lostWords ?? 'unknown'} words lost`);
    add(`${name} told as one`, turn?.messageCount === 1, `${turn?.messageCount ?? 'no'} messages`);
  }
  const cutIns = holds.filter(({ isCutIn }) => isCutIn).length + partCutIns.length;
  const doubles = turns.filter(({ answerCount }) => answerCount > 1).length;
  const spurious = events.filter(({ isSpurious }) => isSpurious).length;
  const stopped = events.filter(({ effect }) => effect === 'stopped' || effect === 'absent').length;
  const counts = { cut_in: cutIns, double_answer: doubles, spurious, stop: stopped, idle_prompt: idlePrompts };
  for (const name of expect.forbid) add(`no ${name}`, counts[name] === 0, `${counts[name]}`);
  for (const { turn, isYielded, stopMs } of interruptions) {
    add(`yield to ${turn}`, isYielded, stopMs === undefined ? 'not at all' : `after ${Math.round(stopMs)} ms`);
  }
  for (const { id, expect: expected, effect, stallMs } of events) {
    const isMet = expected === 'ignore' ? effect === 'ignored' : effect === 'ignored' || effect === 'paused';
    add(`${expected} ${id}`, isMet, `${effect}, ${Math.round(stallMs)} ms of silence`);
  }
  for (const { kind, isMet, offMs } of idle) add(kind, isMet, offMs === undefined ? '' : `${Math.round(offMs)} ms off`);
  return checks;
}
