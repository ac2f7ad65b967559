/**
 * A learned model's word on whether the caller is done, where there is one: it takes the place of what the words say. It is asked anew in every
 * pause, and what it said of an earlier one is no evidence. Pure; conversation thread.
 */
import { mergedText } from './open-turn.js';
import type { TurnSettings } from './settings.js';
import type { Judgement, OpenTurn, TurnEvent, TurnState } from './state.js';
import { endpointDelayMs } from './words.js';
import { openWith, type Work } from './work.js';

export function modelAsked(work: Work, event: Extract<TurnEvent, { type: 'turn_asked' }>): void {
  openWith(work, { judgement: { throughMs: event.throughMs, askedAtMs: work.atMs, probability: undefined } });
}

export function modelAnswered(work: Work, event: Extract<TurnEvent, { type: 'turn_score' }>): void {
  const { judgement } = work.state.open ?? {};
  // Asked about a later pause meanwhile: that answer is waited for.
  if (judgement !== undefined && judgement.throughMs > event.throughMs) return;
  const { throughMs, probability } = event;
  openWith(work, { judgement: probability === undefined ? undefined : { throughMs, askedAtMs: work.atMs, probability } });
}

/** The judgement of the pause that goes on now. */
function currentJudgement(open: OpenTurn): Judgement | undefined {
  return open.judgement !== undefined && open.judgement.throughMs >= open.t0Ms ? open.judgement : undefined;
}

/** Silence after the last speech sample before the turn counts as over (ms). */
export function turnDelayMs(state: TurnState, open: OpenTurn, settings: TurnSettings): number {
  const probability = currentJudgement(open)?.probability;
  return probability === undefined
    ? endpointDelayMs(mergedText(open), state.agentText, settings)
    : judgedDelayMs(probability, settings);
}

/** Until when a commit waits for a model that was asked and has not answered; -Infinity: there is nothing to wait for. */
export function answerDueMs(open: OpenTurn, settings: TurnSettings): number {
  const judgement = currentJudgement(open);
  if (judgement === undefined || judgement.probability !== undefined) return Number.NEGATIVE_INFINITY;
  return judgement.askedAtMs + settings.turnModelWaitMs;
}

export function judgedDelayMs(probability: number, settings: TurnSettings): number {
  const { delayDoneMs, delayNotDoneMs, doneProbability, notDoneProbability, delayRatio, delayMinMs, delayMaxMs } = settings;
  const width = doneProbability - notDoneProbability;
  const doubt = width > 0 ? (doneProbability - probability) / width : probability >= doneProbability ? 0 : 1;
  const delayMs = delayDoneMs + Math.max(0, Math.min(1, doubt)) * (delayNotDoneMs - delayDoneMs);
  return Math.min(delayMaxMs, Math.max(delayMinMs, delayMs * delayRatio));
}
