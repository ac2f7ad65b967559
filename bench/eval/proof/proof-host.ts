/**
 * A place for agents that are no engine, on the line that the engine otherwise has: a virtual clock, a speaker, and a policy that decides what to say. So
 * every scenario can be played against an agent whose conduct is known.
 */
import type { Voice } from '../../../load/providers/voice.js';
import { inputRateHz } from '../../../src/shared/units.js';
import type { TurnHappening } from '../../../src/wire/turn-event.js';
import { turnEventShape } from '../../../src/wire/turn-event.js';
import type { AgentHost, AgentTruth, HostOpener, RunSettings } from '../harness/run-scenario.js';
import type { ScenarioSetup } from '../harness/scenario-agent.js';
import type { ModelRequest, PlayoutKind, Word } from '../run-record.js';
import type { Scenario } from '../scenario.js';
import type { AgentLine } from '../virtual/virtual-engine.js';
import { voiceOfProcess } from '../virtual/voice-here.js';
import { frameMs, Speaker } from './speaker.js';

const samplesPerMs = inputRateHz / 1000;

/** What a policy is given to act with. */
export type Stage = {
  readonly scenario: Scenario;
  readonly setup: ScenarioSetup;
  readonly playout: PlayoutKind;
  readonly seed: number;
  readonly speaker: Speaker;
  /** What the model would have been asked. */
  readonly requests: ModelRequest[];
  /** Says `text` in the simulated voice. */
  say(text: string): number;
  /** Tells what the agent decided, as the engine does. */
  tell(happening: TurnHappening, atMs: number): void;
};

/** Conduct. Instants are ms since the connect; `sent` hands over every message for the caller, so that what the caller hears can be followed. */
export type Policy = {
  /** Every 20 ms, before the frame that belongs to this instant is sent. */
  act(stage: Stage, atMs: number): void;
  /** After that frame, when the caller's device has what was sent up to here. */
  follow?(atMs: number): void;
  sent?(message: object, atMs: number): void;
};

/** `seed`: of this scenario's run. */
export type PolicyMaker = (scenario: Scenario, setup: ScenarioSetup, settings: RunSettings, seed: number) => Promise<Policy>;

export function proofOpener(make: PolicyMaker, onHost?: (host: ProofHost) => void): HostOpener {
  return async (scenario, setup, settings, seed) => {
    const host = new ProofHost(
      scenario,
      setup,
      settings.playout,
      seed,
      await make(scenario, setup, settings, seed),
      await voiceOfProcess(),
    );
    onHost?.(host);
    return host;
  };
}

export class ProofHost implements AgentHost {
  readonly speaker: Speaker;
  readonly #stage: Stage;
  readonly #policy: Policy;
  readonly #line: AgentLine;
  readonly #requests: ModelRequest[] = [];
  /** Messages in the order in which they were sent; handed over while time is moved. */
  #nowMs = 0;
  #nextFrameMs = 0;
  #isOpen = false;

  constructor(scenario: Scenario, setup: ScenarioSetup, playout: PlayoutKind, seed: number, policy: Policy, voice: Voice) {
    this.#policy = policy;
    this.#line = {
      send: () => {},
      close: () => this.#close(1000),
      onMessage: () => {},
      onClose: () => {},
    };
    const send = (message: object): void => {
      policy.sent?.(message, this.#nowMs);
      this.#line.onMessage(JSON.stringify(message));
    };
    this.speaker = new Speaker(setup.format, send);
    const speaker = this.speaker;
    this.#stage = {
      scenario,
      setup,
      playout,
      seed,
      speaker,
      requests: this.#requests,
      say: (text) => {
        const { audio, words } = voice.speak(text);
        const timed = words.map(
          ({ word, startMs, endMs }): Word => ({ text: word, from: startMs * samplesPerMs, to: endMs * samplesPerMs }),
        );
        return speaker.say(text, audio, timed);
      },
      tell: (happening, atMs) =>
        send(turnEventShape({ type: 'parley_turn_event', turn: 1, atMs, sentAtMs: this.#nowMs, happening })),
    };
  }

  connect(): AgentLine {
    this.#isOpen = true;
    this.#nextFrameMs = this.#nowMs;
    return this.#line;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  async advanceTo(atMs: number): Promise<void> {
    while (this.#isOpen && this.#nextFrameMs <= atMs) {
      this.#nowMs = this.#nextFrameMs;
      this.#nextFrameMs += frameMs;
      this.#policy.act(this.#stage, this.#nowMs);
      this.speaker.frame();
      this.#policy.follow?.(this.#nowMs);
    }
    this.#nowMs = Math.max(this.#nowMs, atMs);
  }

  truth(): AgentTruth {
    return { replies: this.speaker.replies, requests: this.#requests, waits: [] };
  }

  async close(): Promise<void> {
    this.#isOpen = false;
  }

  #close(code: number): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#line.onClose(code, '');
  }
}
