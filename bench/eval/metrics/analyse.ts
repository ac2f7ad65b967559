/** All raw figures of one run. Pure, and the same for the same record. */

import type { HeardPiece, ScenarioFigures, UtteranceFigures } from '../result.js';
import type { RunRecord } from '../run-record.js';
import type { ChannelSetting } from '../scenario.js';
import { samplesPerMs } from './audible.js';
import { eventFigures } from './events.js';
import { expectationChecks } from './expectations.js';
import { idleChecks, stutterFigures } from './flow.js';
import { holdFigures } from './holds.js';
import { interruptionFigures } from './interruptions.js';
import { type Said, sceneOf } from './scene.js';
import type { Piece } from './source-match.js';
import { turnFigures } from './turns.js';
import type { Break } from './utterances.js';

export function analyse(record: RunRecord): ScenarioFigures {
  const scene = sceneOf(record);
  const { scenario } = record;
  const perTurn = scene.turns.map((turn) => {
    const { holds, partCutIns } = holdFigures(scene, turn);
    const isCutInto = partCutIns.length > 0 || holds.some(({ isCutIn }) => isCutIn);
    return { turn: turnFigures(scene, turn, isCutInto), holds, partCutIns };
  });
  const turns = perTurn.map(({ turn }) => turn);
  const holds = perTurn.flatMap((one) => one.holds);
  const partCutIns = perTurn.flatMap((one) => one.partCutIns);
  const interruptions = scene.turns
    .filter(({ role }) => role === 'interrupt')
    .flatMap((turn) => interruptionFigures(scene, turn) ?? []);
  const events = eventFigures(scene);
  const idle = idleChecks(scene);
  const idlePrompts = scene.said.filter(({ cause }) => cause === 'idle_prompt').length;
  const expectations = expectationChecks(scenario, { turns, holds, partCutIns, interruptions, events, idle, idlePrompts });
  return {
    id: scenario.id,
    family: scenario.family,
    title: scenario.title,
    part: scenario.part,
    channel: channelName(scenario.channel),
    playout: record.playout,
    durationMs: scene.length / samplesPerMs,
    turns,
    holds,
    partCutIns,
    interruptions,
    events,
    stutters: stutterFigures(scene),
    edges: scene.lane.edges.map(({ eventId, kind, at, edgeMs }) => ({ eventId, kind, atMs: at / samplesPerMs, edgeMs })),
    idle,
    utterances: scene.said.map(utteranceFigures),
    agentSpeechMs: scene.lane.audible.msIn(0, scene.length),
    bothAudibleMs: scene.lane.audible.msWith(scene.caller, 0, scene.length),
    deadMs: turns.reduce((sum, { deadMs }) => sum + deadMs, 0),
    matchedRatio: scene.lane.matchedRatio,
    isFallback: scene.lane.isFallback,
    expectations,
    isPassed: expectations.every(({ isMet }) => isMet),
    timing: record.timing,
    cost: record.cost,
  };
}

function utteranceFigures({ utterance, cause, turn }: Said): UtteranceFigures {
  const { eventId, text, from, to, pieces, breaks, isComplete } = utterance;
  return {
    eventId,
    text,
    onsetMs: from / samplesPerMs,
    endMs: to / samplesPerMs,
    pieces: pieces.map((piece, index) => ({ eventId, ...shownPiece(piece, breaks[index]) })),
    isComplete,
    cause,
    turn: turn?.name,
  };
}

/** Silence of the reply's own at which it stopped and went on counts as heard: nobody can tell otherwise. */
function shownPiece({ heardFrom, sourceFrom, count }: Piece, after: Break | undefined): Omit<HeardPiece, 'eventId'> {
  const silence = after === undefined ? 0 : Math.min(after.fromMax, after.to) - after.from;
  const isWhole = after !== undefined && after.skipMs === 0 && after.sourceJump > 0 && after.sourceJump <= silence;
  return { heardFrom, sourceFrom, count: count + (isWhole ? after.sourceJump : 0) };
}

/** `wide`, or what makes it harder: `phone`, `wide, noise 10 dB`. */
export function channelName(setting: ChannelSetting): string {
  const names: string[] = [setting.kind];
  if (setting.noise_snr_db !== undefined) names.push(`noise ${setting.noise_snr_db} dB`);
  if (setting.loss > 0) names.push(`loss ${Math.round(setting.loss * 100)} %`);
  if (setting.jitter_ms > 0) names.push(`jitter ${setting.jitter_ms} ms`);
  if (setting.gain_db !== 0) names.push(`gain ${setting.gain_db} dB`);
  if (setting.echo !== undefined) names.push(`echo ${setting.echo.db} dB`);
  return names.join(', ');
}
