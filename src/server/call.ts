/** One call: its socket, its slot, its two directions. Main thread; every method returns at once. */
import type { FromConversation, HandshakeFacts, ToConversation } from '../conversation/links.js';
import type { CutSent } from '../shared/links.js';
import { Cell, type Slot } from '../shared/slots.js';
import type { Recorder } from '../telemetry/recorder.js';
import { CallInput } from './call-input.js';
import { CallOutput, type OutputCounters } from './call-output.js';
import type { Connection } from './port.js';

export const callLimits = {
  /** A voice call from which nothing at all arrives for this long has lost its client. */
  silentMaxMs: 30_000,
  reasonBytesMax: 120,
} as const;

/** Where a call hands on what it does not do itself. */
export type CallLinks = {
  readonly toConversation: (message: ToConversation) => void;
  readonly toTts: (message: CutSent) => void;
  /** The input ring has new samples. */
  readonly audio: () => void;
  readonly gap: (startSample: number, endSample: number) => void;
  /** A frame waits that is due then: `ring` is to be called. */
  readonly early: (dueAtMs: number) => void;
};

export class Call {
  readonly slot: Slot;
  readonly generation: number;
  readonly facts: HandshakeFacts;
  readonly #links: CallLinks;
  readonly #recorder: Recorder;
  readonly #counters: OutputCounters;
  readonly #now: () => number;
  readonly #said = new Set<string>();
  #connection: Connection | undefined;
  #input: CallInput | undefined;
  #output: CallOutput | undefined;
  #hasBegun = false;
  #isTextOnly = false;
  #isOver = false;
  /** Ordered while the quiet after the metadata lasted. */
  #ending: { readonly code: number; readonly reason: string } | undefined;
  #quietTimer: NodeJS.Timeout | undefined;

  constructor(
    slot: Slot,
    generation: number,
    facts: HandshakeFacts,
    links: CallLinks,
    recorder: Recorder,
    counters: OutputCounters,
    now: () => number,
  ) {
    this.slot = slot;
    this.generation = generation;
    this.facts = facts;
    this.#links = links;
    this.#recorder = recorder;
    this.#counters = counters;
    this.#now = now;
  }

  get #address(): { slot: number; generation: number } {
    return { slot: this.slot.index, generation: this.generation };
  }

  opened(connection: Connection): void {
    this.#connection = connection;
    this.#output = new CallOutput(
      this.slot,
      this.generation,
      connection,
      this.#recorder,
      this.#counters,
      {
        onFirstFrame: (speech, atMs) => this.#links.toConversation({ type: 'first_frame', ...this.#address, speech, atMs }),
        onEarly: this.#links.early,
      },
      this.#now,
    );
    this.#input = new CallInput(this.slot, this.#now(), {
      onEvent: (event) => this.#links.toConversation({ type: 'client_event', ...this.#address, event }),
      onEarlyAudio: () => this.#links.toConversation({ type: 'early_audio', ...this.#address }),
      onFault: (kind, errorType, message) => this.#fault(kind, errorType, message),
      onHopeless: (reason) => this.#hopeless(reason),
      onAudio: this.#links.audio,
      onGap: (startSample, endSample) => this.#links.gap(startSample, endSample),
    });
    this.#links.toConversation({ type: 'open', ...this.#address, ...this.facts });
  }

  message(bytes: Uint8Array, isBinary: boolean): void {
    if (!this.#isOver && this.#ending === undefined) this.#input?.message(bytes, isBinary, this.#now());
  }

  /**
   * Whether `ring` may have anything to do: the bell is one for all calls. Plain loads, a sixth of what `Atomics.load` costs here: whoever stores
   * rings afterwards, and the message of the bell comes behind both.
   */
  get isRung(): boolean {
    const { cells } = this.slot;
    const hasFrames = cells[Cell.outputWritten] !== cells[Cell.outputRead] && this.#output?.isEarly !== true;
    return hasFrames || cells[Cell.holdsRaised]! > cells[Cell.holdsReleased]!;
  }

  /** Frames are waiting, one is due, or a HOLD was raised. */
  ring(): void {
    if (this.#isOver) return;
    this.#output?.obeyHold();
    this.#output?.drain();
  }

  fromConversation(message: FromConversation): void {
    if (this.#isOver || this.#ending !== undefined) return;
    switch (message.type) {
      case 'begin':
        this.#hasBegun = true;
        this.#isTextOnly = message.isTextOnly;
        this.#input?.begin(message.inputFormat, message.isTextOnly, this.#now());
        this.#output?.begin(message.outputFormat, message.sendsAudio);
        return;
      case 'control':
        this.#output?.control(message.event);
        this.#armQuiet();
        return;
      case 'interruption':
        this.#interrupt(message);
        return;
      case 'ring':
        this.ring();
        return;
      case 'end':
        this.end(message.code, message.reason);
        return;
      case 'released':
      case 'session_failed':
        return;
    }
  }

  /** Looks at the clock: gaps, slow and vanished clients. Called about every 40 ms. */
  sweep(atMs: number): void {
    const input = this.#input;
    const quietUntilMs = this.#output?.quietUntilMs;
    if (quietUntilMs !== undefined && atMs >= quietUntilMs) this.#endQuiet();
    if (this.#isOver || input === undefined || !this.#hasBegun) return;
    input.fillGap(atMs);
    this.#output?.drain();
    if (this.#output?.isGivenUp(atMs) === true) {
      this.#recorder.count('parley_errors_total', 'stage="client",error_type="slow"');
      this.end(1002, 'The connection is too slow for audio.');
    } else if (!this.#isTextOnly && atMs - input.heardAtMs > callLimits.silentMaxMs) {
      this.#recorder.count('parley_errors_total', 'stage="client",error_type="transport_receive_timeout"');
      this.end(1002, 'Nothing was received for 30 seconds.');
    }
  }

  /**
   * Sends a close frame; `closed` follows when the socket is gone. What waits for the quiet after the metadata to end is said before, and heard:
   * a client that attaches its listeners late would miss what comes in the quiet.
   */
  end(code: number, reason: string): void {
    if (this.#isOver || this.#ending !== undefined) return;
    this.#ending = { code, reason };
    const untilMs = this.#output?.quietUntilMs;
    if (untilMs === undefined || this.#now() >= untilMs) this.#endQuiet();
  }

  /** It was told to end. */
  get isEnding(): boolean {
    return this.#isOver || this.#ending !== undefined;
  }

  #finish(code: number, reason: string): void {
    this.#isOver = true;
    this.#connection?.close(code, shortReason(reason));
  }

  /** The socket is gone. */
  closed(): void {
    this.#isOver = true;
    clearTimeout(this.#quietTimer);
    this.#connection = undefined;
  }

  #interrupt(message: Extract<FromConversation, { type: 'interruption' }>): void {
    const output = this.#output;
    const connection = this.#connection;
    if (output === undefined || connection === undefined) return;
    output.obeyHold();
    const sentPosition = output.sentPosition;
    const lastFrameAtMs = output.lastFrameAtMs;
    connection.cork(() => {
      if (message.event === undefined) output.skip();
      else output.control(message.event);
      output.control(message.flush);
    });
    const atMs = this.#now();
    const playEndAtMs = output.playEndAtMs(atMs);
    const { epoch, decidedAtMs } = message;
    this.#links.toTts({ type: 'cut_sent', ...this.#address, epoch, sentPosition, playEndAtMs, atMs });
    this.#recorder.record('decision_to_last_frame', Math.max(0, lastFrameAtMs - decidedAtMs));
    this.#recorder.record('decision_to_interruption_sent', atMs - decidedAtMs);
    // The client has silence when its queue is flushed, or when it has played all there was, whichever is first.
    const flushedAtMs = atMs + this.slot.load(Cell.oneWayMs);
    this.#recorder.record('estimated_tail', Math.min(flushedAtMs, playEndAtMs) - decidedAtMs);
  }

  #armQuiet(): void {
    const untilMs = this.#output?.quietUntilMs;
    if (untilMs === undefined || this.#quietTimer !== undefined) return;
    // A timer of Node's may fire up to a millisecond early.
    this.#quietTimer = setTimeout(() => this.#endQuiet(), Math.ceil(untilMs - this.#now()) + 1);
  }

  #endQuiet(): void {
    if (this.#output?.quietUntilMs !== undefined) this.#output.endQuiet();
    if (this.#ending !== undefined && !this.#isOver) this.#finish(this.#ending.code, this.#ending.reason);
  }

  #fault(kind: string, errorType: 'invalid_message' | 'value_error' | 'missing_fields', message: string): void {
    this.#recorder.count('parley_errors_total', `stage="client",error_type="${errorType}"`);
    if (!this.#hasBegun) {
      // Before the metadata a client understands no event.
      if (errorType === 'invalid_message') this.end(1008, message);
      return;
    }
    if (this.#said.has(kind) || this.#said.size >= kindsMax) return;
    this.#said.add(kind);
    this.#output?.notice({ type: 'error', code: 1008, errorType, message });
  }

  #hopeless(reason: string): void {
    this.#recorder.count('parley_errors_total', 'stage="client",error_type="invalid_message"');
    if (this.#hasBegun) this.#output?.notice({ type: 'error', code: 1008, errorType: 'invalid_message', message: reason });
    this.end(1008, reason);
  }
}

const kindsMax = 32;

/** Close reasons have at most 123 bytes on the wire; ours have at most 120, cut between characters. */
function shortReason(reason: string): string {
  let text = reason;
  while (Buffer.byteLength(text) > callLimits.reasonBytesMax) text = text.slice(0, -1);
  return text;
}
