/**
 * A recorded call on one hand-moved clock: the real input ring, TTS session and main's own output, with a client that keeps what it was sent
 * and when it heard it. What the recording must hold is worked out here from what arrived at the client alone.
 */
import { readWav } from '../../src/audio/wav.js';
import { CallOutput } from '../../src/server/call-output.js';
import type { Connection } from '../../src/server/port.js';
import { cellMs } from '../../src/shared/clock.js';
import { InputWriter } from '../../src/shared/ring.js';
import { Cell, claim, type Slot } from '../../src/shared/slots.js';
import { hz, ms } from '../../src/shared/units.js';
import { Recorder } from '../../src/telemetry/recorder.js';
import { pacing } from '../../src/tts/pacing.js';
import type { TtsProvider, TtsStreamOptions } from '../../src/tts/port.js';
import { type TtsAnswer, TtsSession } from '../../src/tts/session.js';
import type { SpokenPiece } from '../../src/tts/spoken.js';
import { alignmentJson } from '../../src/wire/audio-out.js';
import type { AudioFormat } from '../../src/wire/events.js';
import { describeFormat } from '../../src/wire/formats.js';

/** Each word of the scripted voice takes this long. */
export const wordMs = 300;
const chunkMs = 20;
/** Main's word on a CUT is with tts after this at the latest. */
const portDelayMaxMs = 40;

/** Speaks each written piece at once: a word every 300 ms, with its alignment. `voice`: sample `index` of a speech. */
class ScriptedVoice implements TtsProvider {
  readonly name = 'scripted';
  readonly #rateHz: number;
  readonly #voice: (index: number) => number;

  constructor(rateHz: number, voice: (index: number) => number) {
    this.#rateHz = rateHz;
    this.#voice = voice;
  }

  async warm(): Promise<void> {}
  async close(): Promise<void> {}

  openStream(options: TtsStreamOptions): ReturnType<TtsProvider['openStream']> {
    let text = '';
    let samples = 0;
    const wordSamples = (wordMs * this.#rateHz) / 1000;
    return {
      write: (piece) => {
        for (const match of piece.matchAll(/\S+/g)) {
          const audio = Int16Array.from({ length: wordSamples }, (_, index) => this.#voice(samples + index));
          samples += audio.length;
          const { length } = match[0];
          const alignment = Array.from({ length }, (_, index) => ({
            charIndex: text.length + match.index + index,
            startMs: ms((index * wordMs) / length),
            durationMs: ms(wordMs / length),
          }));
          options.onChunk({ audio, rateHz: hz(this.#rateHz), alignment });
        }
        text += piece;
      },
      finish: () => options.onEnd(),
      abort: () => undefined,
      setPaused: () => undefined,
    };
  }
}

/** Who tells tts first, or much later than the other. */
export type CutOrder = 'main first' | 'tts first' | 'main late' | 'tts late';

type Heard = { readonly fromMs: number; readonly samples: Int16Array };

export type RecordedCallOptions = {
  readonly format?: AudioFormat;
  readonly voice?: (index: number) => number;
  readonly oneWayMs?: number;
  /** Sample `index` of what the caller says. */
  readonly caller?: (index: number) => number;
  /** How late the caller's chunk number `index` comes, at most a chunk's length. */
  readonly lateMs?: (index: number) => number;
};

const speechSample = (index: number): number => 1000 + (index % 30_000);
const callerSample = (index: number): number => ((index * 31) & 0x3fff) - 0x2000;

export class RecordedCall {
  readonly slot: Slot;
  readonly generation: number;
  readonly pieces: SpokenPiece[] = [];
  readonly answers: TtsAnswer[] = [];
  /** What the client heard, and from when. */
  readonly heard: Heard[] = [];
  readonly session: TtsSession;
  readonly rateHz: number;
  /** Instant at which the caller's microphone took sample 0. */
  readonly startedAtMs: number;
  atMs: number;
  /** Called with each piece of the agent's side. */
  onPiece: (piece: SpokenPiece) => void = () => undefined;
  readonly #output: CallOutput;
  readonly #writer: InputWriter;
  readonly #options: Required<RecordedCallOptions>;
  #chunks = 0;
  #epoch = 0;
  #speech = 0;
  #controls = 0;
  /** Main's word on a CUT, and conversation's order, while tts has not got them. */
  #cutSent: (() => void) | undefined;
  #cutOrder: (() => void) | undefined;
  #cutAtMs = 0;

  constructor(slot: Slot, options: RecordedCallOptions = {}, startsAtMs = 50_000) {
    this.#options = {
      format: 'pcm_16000',
      voice: speechSample,
      oneWayMs: 0,
      caller: callerSample,
      lateMs: () => 0,
      ...options,
    };
    const { format, voice, oneWayMs } = this.#options;
    const { rateHz, encoding } = describeFormat(format);
    this.rateHz = rateHz;
    this.slot = slot;
    this.generation = claim(slot);
    slot.store(Cell.oneWayMs, oneWayMs);
    this.atMs = startsAtMs;
    this.startedAtMs = startsAtMs - oneWayMs;
    this.#writer = new InputWriter(slot);
    const now = (): number => this.atMs;
    const counters = { staleFrames: 0, supersededFrames: 0, sentFrames: 0, heldTimes: 0 };
    const recorder = new Recorder('main');
    this.#output = new CallOutput(
      slot,
      this.generation,
      this.#client(),
      recorder,
      counters,
      { onFirstFrame: () => undefined, onEarly: () => undefined },
      now,
    );
    this.#output.begin(format, true);
    this.session = new TtsSession(
      slot,
      this.generation,
      {
        provider: new ScriptedVoice(rateHz, voice),
        voice: { voiceId: '', modelId: '', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.8 },
        rateHz,
        encoding,
        alignmentJson,
      },
      { underruns: 0, frames: 0, rewinds: 0, framesWaited: 0 },
      () => undefined,
      now,
      (answer) => {
        this.answers.push(answer);
        if (answer.type === 'resume_ready') slot.store(Cell.holdsReleased, answer.hold);
      },
      () => undefined,
      (piece) => {
        this.pieces.push(piece);
        this.onPiece(piece);
      },
    );
  }

  /** The other end of the socket: hears audio when the way is over, one chunk after the other. */
  #client(): Connection {
    return {
      sendText: (text) => {
        const message = JSON.parse(Buffer.from(text).toString()) as { audio_event?: { audio_base_64: string } };
        const base64 = message.audio_event?.audio_base_64;
        if (base64 !== undefined) this.#arrived(Buffer.from(base64, 'base64'));
        return true;
      },
      bufferedBytes: () => 0,
      ping: () => undefined,
      close: () => undefined,
      terminate: () => undefined,
      cork: (body) => body(),
      remoteAddress: '127.0.0.1',
    };
  }

  #arrived(bytes: Buffer): void {
    const samples = new Int16Array(bytes.length / 2);
    for (let index = 0; index < samples.length; index++) samples[index] = bytes.readInt16LE(2 * index);
    const last = this.heard.at(-1);
    const lastEndMs = last === undefined ? 0 : last.fromMs + (last.samples.length * 1000) / this.rateHz;
    // The way there, and what a client keeps in front of its loudspeaker.
    const soonestMs = this.atMs + this.#options.oneWayMs + 30;
    this.heard.push({ fromMs: Math.max(soonestMs, lastEndMs), samples });
  }

  /** Time passes on the pacer's grid; main looks every millisecond, as it does when a frame is due, unless it is busy elsewhere. */
  run(durationMs: number, isMainBusy = false): void {
    const endMs = this.atMs + durationMs;
    while (this.atMs < endMs) {
      for (let step = 0; step < pacing.gridMs; step += 1) {
        if (!isMainBusy) this.main();
        this.atMs += 1;
      }
      if (this.atMs - this.#cutAtMs >= portDelayMaxMs) this.deliver();
      this.#speakAsCaller();
      this.session.gridTick(this.atMs, this.atMs);
      if (!isMainBusy) this.main();
    }
  }

  main(): void {
    this.#output.obeyHold();
    this.#output.drain();
  }

  /** Chunks of 20 ms, each sent when it is complete. */
  #speakAsCaller(): void {
    const { caller, lateMs, oneWayMs } = this.#options;
    for (;;) {
      const from = this.#chunks * 16 * chunkMs;
      const dueAtMs = this.startedAtMs + (this.#chunks + 1) * chunkMs + oneWayMs + lateMs(this.#chunks);
      if (dueAtMs > this.atMs) return;
      this.#chunks += 1;
      this.slot.store(Cell.inputAtMs, cellMs(this.atMs));
      this.#writer.write(Int16Array.from({ length: 16 * chunkMs }, (_, index) => caller(from + index)));
    }
  }

  get callerSamples(): number {
    return this.#writer.written;
  }

  /** Conversation's messages come in order. */
  #to(message: object): void {
    const order = this.#cutOrder;
    this.#cutOrder = undefined;
    order?.();
    this.session.receive({ slot: this.slot.index, generation: this.generation, ...message } as never);
  }

  say(text: string): void {
    this.#speech += 1;
    const speech = this.#speech;
    this.#to({ type: 'speak', speech, isProtected: false });
    this.#to({ type: 'text', speech, delta: text });
    this.#to({ type: 'text_end', speech });
    this.#to({ type: 'release', speech, epoch: this.#epoch, eventId: speech, afterControl: this.#controls });
  }

  hold(): void {
    this.slot.store(Cell.holdsRaised, this.slot.load(Cell.holdsRaised) + 1);
  }

  /** Conversation resumes only what is held. */
  resume(): void {
    if (this.slot.held) this.#to({ type: 'resume', hold: this.slot.load(Cell.holdsRaised) });
  }

  /** CUT. Main acts on it at once, and tts learns of both in the order wanted; what is late comes with `deliver`, or after a while. */
  cut(order: CutOrder, isUndoable = false): void {
    this.#epoch += 1;
    const epoch = this.#epoch;
    this.slot.store(Cell.epoch, epoch);
    this.slot.store(Cell.holdsReleased, this.slot.load(Cell.holdsRaised));
    this.deliver();
    const speech = this.#speech;
    const tellTts = (): void => this.#to({ type: 'cut', speech, epoch, isUndoable });
    if (order === 'tts first') tellTts();
    this.#output.obeyHold();
    const { sentPosition } = this.#output;
    this.#controls += 2;
    this.#output.control({ type: 'interruption', eventId: 1000 + epoch });
    this.#output.control({ type: 'interruption', eventId: 2000 + epoch });
    this.#flushClient();
    const atMs = this.atMs;
    this.#cutAtMs = atMs;
    const playEndAtMs = this.#output.playEndAtMs(atMs);
    const { index: slot } = this.slot;
    const { generation } = this;
    this.#cutSent = () => this.session.cutSent({ type: 'cut_sent', slot, generation, epoch, sentPosition, playEndAtMs, atMs });
    if (order === 'main late') {
      tellTts();
      return;
    }
    this.deliver();
    if (order === 'tts late') this.#cutOrder = tellTts;
    else if (order === 'main first') tellTts();
  }

  /** What is said of the last CUT reaches tts. */
  deliver(): void {
    this.#cutSent?.();
    this.#cutSent = undefined;
    const order = this.#cutOrder;
    this.#cutOrder = undefined;
    order?.();
  }

  undo(): void {
    const speech = this.#speech;
    this.#speech += 1;
    this.#to({
      type: 'undo',
      speech,
      newSpeech: this.#speech,
      epoch: this.#epoch,
      eventId: this.#speech,
      afterControl: this.#controls,
    });
  }

  /** On `interruption`, and at the end, a client throws away what it has not played. */
  #flushClient(): void {
    for (const item of this.heard.splice(0)) {
      const keptSamples = Math.round(((this.atMs - item.fromMs) * this.rateHz) / 1000);
      const samples = item.samples.subarray(0, Math.max(0, keptSamples));
      if (samples.length > 0) this.heard.push({ fromMs: item.fromMs, samples });
    }
  }

  /** The socket is gone. */
  close(): void {
    this.deliver();
    this.#flushClient();
    this.session.close();
  }

  /** Everything the client heard, joined. */
  get heardSamples(): number[] {
    return this.heard.flatMap((item) => [...item.samples]);
  }

  /** The sample of the caller's microphone at `instantMs`. */
  callerSampleAt(instantMs: number): number {
    return (instantMs - this.startedAtMs) * 16;
  }

  callerSignal(): Int16Array {
    return Int16Array.from({ length: this.callerSamples }, (_, index) => this.#options.caller(index));
  }
}

/** The two sides of a recording. */
export function sidesOf(bytes: Uint8Array): { caller: Int16Array; agent: Int16Array } {
  const { channels, rateHz } = readWav(bytes);
  if (channels.length !== 2 || rateHz !== 16000) throw new Error(`${channels.length} channels at ${rateHz} Hz`);
  return { caller: channels[0]!, agent: channels[1]! };
}
