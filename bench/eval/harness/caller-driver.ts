/**
 * A scripted caller: plays one scenario against an agent and writes down everything, on the clock of the call. Pure with regard to time: the host
 * calls `tick` every 20 ms, hands over the agent's messages with their instants, and sends what it is given at the instants that are given with it.
 *
 * The microphone is complete up to a tick's instant: what it picks up is the caller, the room, and the agent from the loudspeaker, through the
 * caller's line. Lost frames leave it empty, late ones come late and never overtake.
 */
import { strict as assert } from 'node:assert';
import { decodeAudio, frameEncoder, parseEvent } from '../../../load/client-messages.js';
import { Microphone } from '../../../load/microphone.js';
import { inputRateHz } from '../../../src/shared/units.js';
import type { AudioFormat } from '../../../src/wire/events.js';
import { describeFormat } from '../../../src/wire/formats.js';
import { Channel } from '../clips/channel.js';
import type { AudioArrival, MessageArrival, Placed, PlayedRun, PlayoutKind, RunRecord, WhiteBoxEvent } from '../run-record.js';
import type { Scenario } from '../scenario.js';
import type { ScenarioClips } from '../suite.js';
import { EchoPath } from './echo-path.js';
import { Hearing, type KnownTexts } from './hearing.js';
import { Script } from './script.js';

export const tickMs = 20;
const samplesPerMs = inputRateHz / 1000;
const frameSamples = tickMs * samplesPerMs;

export type DriverOptions = {
  readonly scenario: Scenario;
  readonly clips: ScenarioClips;
  /** Of the line and the room: noise, losses, jitter, echo. */
  readonly seed: number;
  readonly playout: PlayoutKind;
  /** Both ways; what the agent is set to. */
  readonly format: AudioFormat;
  /** What the agent may say, so that `agent.word` and what is said ahead of an end can be placed. */
  readonly known: KnownTexts;
};

/** A text frame for the agent. */
export type Outgoing = { readonly atMs: number; readonly text: string };

/** The caller's part of a `RunRecord`. */
export type CallerRecord = Pick<RunRecord, 'lanes' | 'placed' | 'audio' | 'messages' | 'closed'> & {
  readonly played: readonly PlayedRun[];
  /** On the agent's clock; `serverZeroMs` moves them. */
  readonly turnEvents: readonly WhiteBoxEvent[];
  /** Where the zero of the agent's clock lies on this one, by the event that arrived fastest; undefined without any. */
  readonly serverZeroMs: number | undefined;
  /** What was against the protocol. */
  readonly problems: readonly string[];
};

const problemsMax = 50;
/** Nobody hangs up on an agent that speaks: what it should not have said is heard to its end. */
const agentQuietMs = 500;

export class CallerDriver {
  readonly #options: DriverOptions;
  readonly #hearing: Hearing;
  readonly #script: Script;
  readonly #voice = new Microphone(0);
  readonly #room = new Microphone(0);
  readonly #channel: Channel;
  readonly #echo: EchoPath | undefined;
  readonly #encode: (frame: Int16Array | undefined) => string;
  readonly #sent: Int16Array[] = [];
  readonly #audio: AudioArrival[] = [];
  readonly #messages: MessageArrival[] = [];
  readonly #turnEvents: WhiteBoxEvent[] = [];
  readonly #problems: string[] = [];
  #serverZeroMs = Number.POSITIVE_INFINITY;
  #lastSendAtMs = 0;
  #wantsToHangUp = false;
  #closed: CallerRecord['closed'] | undefined;

  constructor(options: DriverOptions) {
    const { scenario, clips, seed, playout, format, known } = options;
    this.#options = options;
    this.#hearing = new Hearing(playout, describeFormat(format).rateHz, known);
    this.#script = new Script(scenario, clips, this.#hearing);
    this.#channel = new Channel(scenario.channel, seed, scenario.voice.level_dbfs);
    this.#echo = scenario.channel.echo && new EchoPath(scenario.channel.echo, seed);
    this.#encode = frameEncoder(format);
  }

  /** To be sent as soon as the connection is open. */
  get opening(): Outgoing {
    return { atMs: 0, text: JSON.stringify({ type: 'conversation_initiation_client_data' }) };
  }

  /** Instant of the tick to come. */
  get nextTickMs(): number {
    return (this.#sent.length + 1) * tickMs;
  }

  /** The caller has nothing more to say or to hear: the host closes the connection. */
  get wantsToHangUp(): boolean {
    return this.#wantsToHangUp;
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** `atMs` is `nextTickMs`. Speaks and hears up to it. */
  tick(atMs: number): readonly Outgoing[] {
    assert(atMs === this.nextTickMs, 'ticks come every 20 ms');
    const index = this.#sent.length;
    const from = index * frameSamples;
    const to = from + frameSamples;
    this.#hearing.advanceTo(atMs);
    for (const { placed, samples } of this.#script.place(from, to)) {
      if (samples !== undefined) (placed.kind === 'part' ? this.#voice : this.#room).place(samples, placed.from);
    }
    const frame = this.#channel.process(this.#pickUp(from));
    this.#wantsToHangUp = this.#isOver(atMs);
    const isLost = this.#channel.isLost(index);
    this.#sent.push(isLost ? new Int16Array(frameSamples) : frame);
    return isLost ? [] : [{ atMs: this.#sendAt(atMs, index), text: this.#encode(frame) }];
  }

  /** A message of the agent. */
  receive(text: string, atMs: number): readonly Outgoing[] {
    if (this.#closed !== undefined) return [];
    const event = parseEvent(text);
    if (event === undefined) {
      this.#problem(atMs, `not an event: ${text.slice(0, 100)}`);
      return [];
    }
    const { type, details, eventId } = event;
    if (type === 'audio') {
      this.#hear(details, eventId, atMs);
      return [];
    }
    this.#hearing.note(type, eventId, details, atMs);
    if (type === 'parley_turn_event') {
      const happening = details as unknown as WhiteBoxEvent;
      this.#turnEvents.push(happening);
      this.#serverZeroMs = Math.min(this.#serverZeroMs, atMs - happening.sent_at_ms);
      return [];
    }
    this.#messages.push({ atMs, type, payload: details });
    if (type !== 'ping') return [];
    return [{ atMs: this.#sendAt(atMs, this.#sent.length), text: JSON.stringify({ type: 'pong', event_id: eventId }) }];
  }

  /** The connection is closed, by whomever. */
  close(code: number, atMs: number, isByCaller: boolean): void {
    if (this.#closed !== undefined) return;
    this.#closed = { atMs, code, isByCaller };
    this.#channel.close();
  }

  record(): CallerRecord {
    const length = this.#sent.length * frameSamples;
    this.#hearing.advanceTo(this.#sent.length * tickMs);
    const microphone = new Int16Array(length);
    for (const [index, frame] of this.#sent.entries()) microphone.set(frame, index * frameSamples);
    return {
      lanes: { caller: this.#voice.lane(), microphone, heard: this.#hearing.ear.lane().slice(0, length) },
      placed: this.#placed(length),
      played: this.#hearing.ear.runs,
      audio: this.#audio,
      messages: this.#messages,
      turnEvents: this.#turnEvents,
      serverZeroMs: Number.isFinite(this.#serverZeroMs) ? this.#serverZeroMs : undefined,
      closed: this.#closed ?? { atMs: length / samplesPerMs, code: 1006, isByCaller: false },
      problems: this.#problems,
    };
  }

  #isOver(atMs: number): boolean {
    const { max } = this.#options.scenario.end;
    if (atMs >= Math.min(max, this.#script.hangUpMs ?? max)) return true;
    return atMs >= this.#script.endMs(atMs) && !this.#hearing.isSpeaking(atMs, agentQuietMs);
  }

  /** What was begun before the call was over. */
  #placed(length: number): Placed[] {
    return this.#script.placed.filter(({ from }) => from < length);
  }

  /** What reaches the microphone in the 20 ms from `from` on. */
  #pickUp(from: number): Int16Array {
    const sum = new Float64Array(frameSamples);
    for (const frame of [this.#voice.takeFrame(), this.#room.takeFrame()]) {
      for (let index = 0; frame !== undefined && index < frameSamples; index += 1) sum[index]! += frame[index]!;
    }
    this.#echo?.addTo(sum, from, this.#hearing.ear.lane());
    return Int16Array.from(sum, (value) => Math.max(-32768, Math.min(32767, Math.round(value))));
  }

  #hear(details: Readonly<Record<string, unknown>>, eventId: number | undefined, atMs: number): void {
    const base64 = details['audio_base_64'];
    const samples = typeof base64 === 'string' ? decodeAudio(base64, this.#options.format) : undefined;
    if (samples === undefined || samples.length === 0 || eventId === undefined) {
      this.#problem(atMs, 'audio without whole samples or without an event id');
      return;
    }
    this.#audio.push({ atMs, eventId, sampleCount: samples.length });
    this.#hearing.audio(eventId, samples, atMs);
  }

  /** What is sent now arrives with the delay of its frame, after everything that was sent before. */
  #sendAt(atMs: number, frame: number): number {
    this.#lastSendAtMs = Math.max(this.#lastSendAtMs, atMs + this.#channel.delayMs(frame));
    return this.#lastSendAtMs;
  }

  #problem(atMs: number, what: string): void {
    if (this.#problems.length < problemsMax) this.#problems.push(`${atMs.toFixed(0)} ms: ${what}`);
  }
}
