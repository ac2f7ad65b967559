/**
 * An agent that reads the script: it is told what the caller says and does at the instant at which it is placed, answers at once when a turn is over, stops
 * at once when it is meant to, and minds nothing else. What it can be told is what the evaluator can ask of anybody. It follows what the caller hears and
 * says with the caller's own parts.
 */
import { decodeAudio } from '../../../load/client-messages.js';
import { inputRateHz } from '../../../src/shared/units.js';
import { describeFormat } from '../../../src/wire/formats.js';
import { ClipMaker } from '../clips/clip-maker.js';
import { Hearing } from '../harness/hearing.js';
import { Script } from '../harness/script.js';
import type { PlacedPart } from '../run-record.js';
import type { Scenario } from '../scenario.js';
import { clipFolder, prepareClips, type ScenarioClips } from '../suite.js';
import type { Policy, PolicyMaker, Stage } from './proof-host.js';
import { frameMs } from './speaker.js';

const samplesPerMs = inputRateHz / 1000;
/** From the caller's last sample to the agent's first; a person's pause. */
const answerMs = 200;
/** From the caller's first sample over the agent to the agent's last. */
const stopMs = 100;
const fadeSamples = 10 * samplesPerMs;
const jitterBufferMs = 40;

let maker: Promise<ClipMaker> | undefined;

export const oracle: PolicyMaker = async (scenario, setup, { playout, voices }, _seed) => {
  maker ??= ClipMaker.open({ folder: clipFolder });
  const clips = await prepareClips(scenario, await maker, voices);
  return new Oracle(scenario, clips, new Hearing(playout, describeFormat(setup.format).rateHz, setup.known), playout === 'paced');
};

/** Something to do at an instant, once. */
type Plan = { readonly kind: 'stop' | 'answer'; readonly atMs: number; readonly run: (stage: Stage) => void };

class Oracle implements Policy {
  readonly #scenario: Scenario;
  readonly #script: Script;
  readonly #hearing: Hearing;
  /** What is sent is heard so much later. */
  readonly #delayMs: number;
  readonly #history: { role: string; content: string }[] = [];
  #plans: Plan[] = [];
  #placedTo = 0;
  #nowMs = 0;
  #stage: Stage | undefined;
  /** What is being said, and its words. */
  #saying: { readonly text: string; readonly words: readonly { readonly text: string; readonly to: number }[] } | undefined;
  #spoken = 0;
  #isPrompted = false;
  #quietSinceMs = 0;
  #partsEndMs = 0;

  constructor(scenario: Scenario, clips: ScenarioClips, hearing: Hearing, isPaced: boolean) {
    this.#scenario = scenario;
    this.#hearing = hearing;
    this.#script = new Script(scenario, clips, hearing);
    this.#delayMs = isPaced ? jitterBufferMs : 0;
  }

  act(stage: Stage, atMs: number): void {
    this.#nowMs = atMs;
    if (this.#stage === undefined && this.#scenario.agent.greeting !== null) this.#say(stage, this.#scenario.agent.greeting);
    this.#stage = stage;
    const due = this.#plans.filter((plan) => plan.atMs <= atMs);
    this.#plans = this.#plans.filter((plan) => plan.atMs > atMs);
    for (const { run } of due) run(stage);
    this.#mindSilence(stage, atMs);
  }

  follow(atMs: number): void {
    this.#hearing.advanceTo(atMs);
    const from = this.#placedTo;
    const to = atMs * samplesPerMs;
    if (to <= from) return;
    this.#placedTo = to;
    for (const { placed } of this.#script.place(from, to)) {
      if (placed.kind !== 'part') continue;
      this.#partsEndMs = Math.max(this.#partsEndMs, placed.to / samplesPerMs);
      if (placed.role === 'turn' || placed.role === 'interrupt') this.#hear(placed);
    }
  }

  sent(message: object, atMs: number): void {
    const { type, ...rest } = message as { readonly type: string };
    const details = Object.values(rest)[0] as Readonly<Record<string, unknown>>;
    const eventId = Number(details['event_id']);
    if (type !== 'audio') {
      this.#hearing.note(type, eventId, details, atMs);
      return;
    }
    const samples = decodeAudio(String(details['audio_base_64']), this.#stage!.setup.format);
    if (samples !== undefined) this.#hearing.audio(eventId, samples, atMs);
  }

  #hear(part: PlacedPart): void {
    const turn = part.turn ?? `step ${part.step}`;
    const beginMs = part.from / samplesPerMs;
    const endMs = part.to / samplesPerMs;
    // What was planned as an answer would fall into what is said now.
    this.#plans = this.#plans.filter(({ kind }) => kind === 'stop');
    const isSpeaking = this.#stage?.speaker.eventId !== undefined;
    if (isSpeaking && this.#plans.length === 0) this.#plan('stop', beginMs + stopMs, (stage) => this.#stop(stage));
    if (this.#goesOn(part)) return;
    this.#plan('answer', endMs + answerMs, (stage) => this.#answer(stage, turn, endMs));
  }

  /** More of the turn will come by itself; what waits for the agent comes only if there is an answer. */
  #goesOn({ step, turn }: PlacedPart): boolean {
    const next = this.#scenario.steps[step + 1];
    return turn !== undefined && next?.turn === turn && !('after' in next.at && next.at.after.startsWith('agent.'));
  }

  /** `atMs`: when it is to be heard. */
  #plan(kind: Plan['kind'], atMs: number, run: Plan['run']): void {
    this.#plans.push({ kind, atMs: atMs - this.#delayMs, run });
  }

  #answer(stage: Stage, turn: string, endMs: number): void {
    const { answers } = this.#scenario.agent;
    const text = answers[turn] ?? answers['*'] ?? '';
    const said = this.#scenario.steps.filter((step, index) => (step.turn ?? `step ${index}`) === turn).map(({ say }) => say);
    this.#history.push({ role: 'user', content: said.join(' ') });
    const atMs = this.#nowMs;
    stage.requests.push({ atMs, messages: [...this.#history], answer: text });
    stage.tell({ kind: 'commit', isTyped: false, isAdopted: false }, Math.max(endMs, atMs - answerMs));
    this.#say(stage, text);
  }

  #say(stage: Stage, text: string): void {
    const eventId = stage.say(text);
    const reply = stage.speaker.replies.find((candidate) => candidate.eventId === eventId)!;
    this.#saying = { text, words: reply.words };
    this.#spoken = 0;
  }

  /** One more piece, fading, and what was heard is remembered. */
  #stop(stage: Stage): void {
    const atMs = this.#nowMs;
    const { eventId } = stage.speaker;
    if (eventId === undefined) return;
    stage.speaker.pause(fadeSamples, fadeSamples);
    const heard = this.#saying?.words.filter(({ to }) => to <= this.#spoken).map(({ text }) => text) ?? [];
    if (heard.length > 0) this.#history.push({ role: 'assistant', content: heard.join(' ') });
    this.#saying = undefined;
    stage.tell({ kind: 'cut', reason: 'words', eventId }, atMs);
  }

  /** The idle prompt, when it is due. */
  #mindSilence(stage: Stage, atMs: number): void {
    if (stage.speaker.eventId !== undefined) {
      this.#spoken = stage.speaker.sourceSample;
      this.#quietSinceMs = atMs + frameMs + this.#delayMs;
      return;
    }
    if (this.#saying !== undefined) {
      this.#history.push({ role: 'assistant', content: this.#saying.text });
      this.#saying = undefined;
    }
    const dueMs = this.#scenario.expect.idle_prompt_ms;
    if (dueMs === undefined || this.#isPrompted) return;
    if (atMs + this.#delayMs < Math.max(this.#quietSinceMs, this.#partsEndMs) + dueMs || this.#plans.length > 0) return;
    this.#isPrompted = true;
    this.#say(stage, 'Are you still there?');
  }
}
