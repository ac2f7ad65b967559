/** What must hold of a scenario beyond the shape of its file: names that refer to something, roles with their expectations, texts that end as they should. Pure. */
import { callerVoices, isCallerVoice } from './clips/caller-voices.js';
import { espeakVoices, isEspeakVoice } from './clips/espeak.js';
import type { Expectation, Instant, Role, Scenario, ScenarioEvent } from './scenario.js';

/** `path` as in `steps.2.at`; `rule`: what should hold there. */
export type BrokenRule = { readonly path: string; readonly rule: string };

const expectationsOf: Readonly<Record<Role, readonly (Expectation | undefined)[]>> = {
  turn: [undefined],
  interrupt: ['yield'],
  backchannel: ['ignore'],
  abandon: ['ignore', 'resume'],
  aside: ['ignore'],
  wait: ['wait'],
};
const endAnchor = /^(?:prev\.(?:start|end)|agent\.(?:onset|end)#[1-9]\d*|agent\.word#[1-9]\d*:[1-9]\d*|event:[\w-]+\.end)$/;
const durationless: ReadonlySet<string> = new Set(['cough', 'sneeze', 'door', 'click', 'bystander', 'hang_up']);

/** Every rule that `scenario`, read from the file called `fileName`, breaks. */
export function brokenRules(scenario: Scenario, fileName: string): BrokenRule[] {
  return [
    ...brokenFacts(scenario, fileName),
    ...brokenTurns(scenario),
    ...scenario.steps.flatMap((_, index) => brokenStep(scenario, index)),
    ...scenario.events.flatMap((event, index) => brokenEvent(scenario, event, index)),
  ];
}

/** Names of the turns in the order of their first parts. */
export function turnNames(scenario: Scenario): string[] {
  return [...new Set(scenario.steps.flatMap(({ turn }) => (turn === undefined ? [] : [turn])))];
}

const voiceNames = [callerVoices, espeakVoices].flatMap((voices) => Object.keys(voices)).join(', ');

function brokenFacts(scenario: Scenario, fileName: string): BrokenRule[] {
  const broken: BrokenRule[] = [];
  const { id, voice, agent, expect, end, steps, events } = scenario;
  const turns = turnNames(scenario);
  if (fileName !== `${id}.json`) broken.push({ path: 'id', rule: `the file of "${id}" is called ${id}.json` });
  if (!isCallerVoice(voice.name) && !isEspeakVoice(voice.name))
    broken.push({ path: 'voice.name', rule: `"${voice.name}" is one of ${voiceNames}` });
  if (steps.length === 0 && events.length === 0)
    broken.push({ path: 'steps', rule: 'something happens: there is a step or an event' });
  for (const name of Object.keys(agent.answers)) {
    if (name !== '*' && !turns.includes(name))
      broken.push({ path: `agent.answers.${name}`, rule: 'an answer belongs to a turn of the steps, or is "*"' });
  }
  for (const [index, name] of expect.merge.entries()) {
    if (!turns.includes(name)) broken.push({ path: `expect.merge.${index}`, rule: `"${name}" is a turn of the steps` });
  }
  if (expect.answers > turns.length)
    broken.push({ path: 'expect.answers', rule: `no more answers are due than there are turns (${turns.length})` });
  if (!endAnchor.test(end.after)) broken.push({ path: 'end.after', rule: 'an anchor as of `at`; `prev` is the last step' });
  else broken.push(...brokenAnchor(scenario, end, 'end', steps.length, events.length));
  return broken;
}

function brokenTurns(scenario: Scenario): BrokenRule[] {
  const broken: BrokenRule[] = [];
  for (const name of turnNames(scenario)) {
    const places = scenario.steps.flatMap((step, index) => (step.turn === name ? [index] : []));
    const last = places.at(-1)!;
    for (const place of places) {
      if (scenario.steps[place]!.final !== (place === last)) {
        broken.push({ path: `steps.${place}.final`, rule: `the last part of turn "${name}", and no other, is final` });
      }
    }
    const isAnswered = name in scenario.agent.answers || '*' in scenario.agent.answers;
    if (!isAnswered) broken.push({ path: 'agent.answers', rule: `there is an answer to turn "${name}", or one for "*"` });
  }
  return broken;
}

function brokenStep(scenario: Scenario, index: number): BrokenRule[] {
  const broken: BrokenRule[] = [];
  const step = scenario.steps[index]!;
  const path = `steps.${index}`;
  const isContribution = step.role === 'turn' || step.role === 'interrupt';
  if (isContribution !== (step.turn !== undefined)) {
    broken.push({ path: `${path}.turn`, rule: 'parts with the role turn or interrupt belong to a turn, others do not' });
  }
  if (!expectationsOf[step.role].includes(step.expect)) {
    const wanted = expectationsOf[step.role].map((one) => one ?? 'nothing').join(' or ');
    broken.push({ path: `${path}.expect`, rule: `the role ${step.role} expects ${wanted}` });
  }
  if (!/[.?!,…]$/.test(step.say)) broken.push({ path: `${path}.say`, rule: 'ends with one of . ? ! , …' });
  if (step.final && !/[.?!]$/.test(step.say))
    broken.push({ path: `${path}.say`, rule: 'the last part of a turn ends with one of . ? !' });
  return [...broken, ...brokenAnchor(scenario, step.at, `${path}.at`, index, scenario.events.length)];
}

function brokenEvent(scenario: Scenario, event: ScenarioEvent, index: number): BrokenRule[] {
  const broken: BrokenRule[] = [];
  const path = `events.${index}`;
  const rule = (name: string, what: string): void => void broken.push({ path: `${path}.${name}`, rule: what });
  if (scenario.events.findIndex(({ id }) => id === event.id) !== index) rule('id', `"${event.id}" is the name of one event only`);
  if (!isPlaceless(event) && (event.level_dbfs === undefined) === (event.snr_db === undefined)) {
    rule('level_dbfs', 'a sound has either a level_dbfs or an snr_db');
  }
  if ((event.class === 'bystander') !== (event.say !== undefined)) rule('say', 'a bystander, and nobody else, says something');
  if (durationless.has(event.class) && event.dur !== undefined) rule('dur', `a ${event.class} lasts as long as it lasts`);
  if (event.class === 'silence' && event.dur === undefined) rule('dur', 'a silence has a duration');
  return [...broken, ...brokenAnchor(scenario, event.at, `${path}.at`, scenario.steps.length, index)];
}

function isPlaceless(event: ScenarioEvent): boolean {
  return event.class === 'silence' || event.class === 'hang_up';
}

/** So many `steps` and `events` stand before the place of `at`, which may refer to them alone; for events and the end `prev` is the last step. */
function brokenAnchor(
  scenario: Scenario,
  at: Instant | { after: string },
  path: string,
  steps: number,
  events: number,
): BrokenRule[] {
  if ('abs' in at) return [];
  if (at.after.startsWith('prev.') && steps === 0) return [{ path: `${path}.after`, rule: 'there is a step before it' }];
  const event = /^event:([\w-]+)\.end$/.exec(at.after)?.[1];
  if (event !== undefined && !scenario.events.slice(0, events).some(({ id }) => id === event)) {
    return [{ path: `${path}.after`, rule: `"${event}" is an event (an earlier one, for events)` }];
  }
  return [];
}
