/** Stutter and idle conduct. Pure. */
import * as z from 'zod';
import { turnDefaults } from '../../../src/turn/settings.js';
import type { IdleCheck, StutterFigures } from '../result.js';
import type { Scenario } from '../scenario.js';
import { samplesPerMs } from './audible.js';
import type { Said, Scene } from './scene.js';

const stutterMinMs = 60;
/** What happened on the caller's side up to this long before a stall may have caused it. */
const causeMs = 1500;
const promptSlackMs = 500;
/** Who was told to wait stays silent at least this long. */
const waitMs = 6000;

/** Stalls that nothing on the caller's side caused; none where the agent hears its own echo, which selectivity judges. */
export function stutterFigures(scene: Scene): StutterFigures[] {
  const { scenario, placed } = scene.record;
  if (scenario.channel.echo !== undefined) return [];
  return scene.lane.utterances.flatMap(({ eventId, breaks }) =>
    breaks
      .filter(({ from, fromMax, stallMs }) => {
        if (stallMs < stutterMinMs) return false;
        return !placed.some((item) => item.from <= fromMax && item.to >= from - causeMs * samplesPerMs);
      })
      .map(({ from, stallMs }) => ({ eventId, atMs: from / samplesPerMs, durationMs: stallMs })),
  );
}

/**
 * Family M is asked for everything that applies to it; elsewhere only what goes wrong counts, and a prompt that comes when the agent's own setting says is
 * not wrong: what kept the agent from having an answer by then is judged where it belongs.
 */
export function idleChecks(scene: Scene): IdleCheck[] {
  const { family, expect } = scene.record.scenario;
  const prompts = scene.said.filter(({ cause }) => cause === 'idle_prompt');
  const isMute = scene.said.length === 0 && scene.isSpeechDue;
  const checks: IdleCheck[] = [];
  if (expect.idle_prompt_ms !== undefined) checks.push(promptCheck(scene, prompts[0], expect.idle_prompt_ms));
  const settingMs = idleSettingMs(scene.record.scenario);
  const isUnwanted = (one: Said): boolean => {
    if (one.cause === 'unprompted') return !isByAside(scene, one.utterance.from);
    if (one.cause !== 'idle_prompt' || expect.idle_prompt_ms !== undefined) return false;
    return family === 'M' || Math.abs(offMsOf(scene, one, settingMs)) > promptSlackMs;
  };
  const unwanted = scene.said.filter(isUnwanted);
  if (family === 'M' || unwanted.length > 0) checks.push({ kind: 'nothing_unprompted', isMet: unwanted.length === 0 && !isMute });
  const waits = scene.record.placed.filter((item) => item.kind === 'part' && item.role === 'wait');
  for (const { to } of waits) {
    const next = scene.record.placed.find((item) => item.kind === 'part' && item.from > to)?.from ?? Number.POSITIVE_INFINITY;
    const until = Math.min(next, to + waitMs * samplesPerMs);
    const speaks = scene.said.some(({ utterance: { from } }) => from > to && from < until);
    checks.push({ kind: 'silent_while_waiting', isMet: !speaks && !isMute });
  }
  return checks;
}

/** Something else than the agent's own whim can have caused what began at `sample`; selectivity judges that. */
function isByAside(scene: Scene, sample: number): boolean {
  return scene.asides.some(
    (aside) =>
      !(aside.kind === 'part' && aside.role === 'wait') && aside.from < sample && aside.to > sample - 10_000 * samplesPerMs,
  );
}

function promptCheck(scene: Scene, prompt: Said | undefined, dueMs: number): IdleCheck {
  if (prompt === undefined) return { kind: 'prompt_on_time', isMet: false };
  const offMs = offMsOf(scene, prompt, dueMs);
  return { kind: 'prompt_on_time', isMet: Math.abs(offMs) <= promptSlackMs, offMs };
}

/** How much later than `dueMs` after both sides had fallen silent. */
function offMsOf(scene: Scene, { utterance: { from } }: Said, dueMs: number): number {
  const ends = [0];
  for (const { to } of scene.lane.utterances) if (to <= from) ends.push(to);
  for (const item of scene.record.placed) if (item.kind === 'part' && item.to <= from) ends.push(item.to);
  return (from - Math.max(...ends)) / samplesPerMs - dueMs;
}

const idleSetting = z.object({ conversation_config: z.object({ turn: z.object({ turn_timeout: z.number() }) }) });

/** Silence after which the scenario's agent is to prompt. */
function idleSettingMs({ config }: Scenario): number {
  const { success, data } = idleSetting.safeParse(config);
  return success ? data.conversation_config.turn.turn_timeout * 1000 : turnDefaults.idleMs;
}
