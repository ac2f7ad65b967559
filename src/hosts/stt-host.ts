/** What the STT thread does, without its ports: cuts each open turn's audio out of the input ring and streams it to the recogniser. Evented. */
import { nowMs } from '../shared/clock.js';
import { guarded } from '../shared/guard.js';
import type { FromStt, FromVad, InputGap, MetricsAnswer, Released, SessionFailed, SlotOrder, ToStt } from '../shared/links.js';
import { Board, type SharedBlock, Slot } from '../shared/slots.js';
import type { SttProvider } from '../stt/port.js';
import { type Listener, SttSession } from '../stt/session.js';
import type { Recorder } from '../telemetry/recorder.js';

export type SttLinks = {
  readonly toMain: (message: Released | SessionFailed) => void;
  readonly toConversation: (message: FromStt) => void;
};

export type SttHostOptions = {
  readonly block: SharedBlock;
  readonly board: Int32Array;
  /** Stays the caller's to close. */
  readonly provider: SttProvider;
  readonly recorder: Recorder;
  readonly pullMs: number;
  /** A learned model of turn-taking that hears. */
  readonly listener?: Listener | undefined;
};

/** Before a session is configured, more than these are no caller's. */
const earlyMax = 32;
type Early = { readonly generation: number; readonly events: FromVad[] };

export class SttHost {
  readonly #links: SttLinks;
  readonly #provider: SttProvider;
  readonly #listener: Listener | undefined;
  readonly #slots: readonly Slot[];
  /** Generation of each open slot; its session exists once conversation has configured it. */
  readonly #open = new Map<number, number>();
  readonly #sessions = new Map<number, SttSession>();
  /** Generation that each slot was last closed for. */
  readonly #closed = new Map<number, number>();
  /** Ports have no order among each other: what the detector heard before conversation's settings came. */
  readonly #early = new Map<number, Early>();
  readonly #ticker: NodeJS.Timeout;
  #missedSamples = 0;

  constructor(options: SttHostOptions, links: SttLinks) {
    const { block, board, provider, recorder, pullMs, listener } = options;
    this.#links = links;
    this.#provider = provider;
    this.#listener = listener;
    this.#slots = Array.from({ length: block.slotCount }, (_, index) => new Slot(block, index));
    this.#ticker = setInterval(() => {
      for (const [slot, session] of this.#sessions) {
        guarded({ slot, generation: this.#open.get(slot) ?? 0 }, links.toMain, () => session.pull());
      }
      Atomics.add(board, Board.sttBeat, 1);
    }, pullMs);
    recorder.figures = () => this.figures();
  }

  fromMain(message: SlotOrder | InputGap): void {
    const { slot, generation } = message;
    if (message.type === 'open') {
      this.#open.set(slot, generation);
    } else if (message.type === 'gap') {
      if (this.#isOpen(message)) this.#sessions.get(slot)?.gap(message.startSample, message.endSample);
    } else {
      if (this.#isOpen(message)) {
        const session = this.#sessions.get(slot);
        this.#missedSamples += session?.missedSamples ?? 0;
        session?.close();
        this.#sessions.delete(slot);
        this.#open.delete(slot);
      }
      this.#early.delete(slot);
      this.#closed.set(slot, generation);
      this.#links.toMain({ type: 'released', slot, generation });
    }
  }

  fromConversation(message: ToStt): void {
    // The settings of a session may come before main's word that it is open.
    if (message.type === 'configure' && this.#isNewer(message)) this.#open.set(message.slot, message.generation);
    if (!this.#isOpen(message)) return;
    const { slot, generation } = message;
    if (message.type === 'close_turn') {
      guarded(message, this.#links.toMain, () => this.#sessions.get(slot)?.closeTurn(message.turn, message.throughSample));
      return;
    }
    const { language, keywords, grammar } = message;
    const known = this.#sessions.get(slot);
    if (known !== undefined) {
      known.configure({ language, keywords, grammar });
      return;
    }
    const session = new SttSession(
      this.#slots[slot]!,
      this.#provider,
      { language, keywords, grammar },
      nowMs,
      (body) => this.#links.toConversation({ slot, generation, ...body } as FromStt),
      this.#listener,
    );
    this.#sessions.set(slot, session);
    const early = this.#early.get(slot);
    this.#early.delete(slot);
    if (early?.generation === generation) for (const event of early.events) this.fromVad(event);
  }

  fromVad(message: FromVad): void {
    const session = this.#sessions.get(message.slot);
    if (this.#isOpen(message) && session !== undefined) guarded(message, this.#links.toMain, () => session.speech(message));
    else if (this.#isOpen(message) || this.#isNewer(message)) this.#keep(message);
  }

  figures(): Pick<MetricsAnswer, 'gauges' | 'counters'> {
    let missed = this.#missedSamples;
    for (const session of this.#sessions.values()) missed += session.missedSamples;
    return {
      gauges: [],
      counters: [{ name: 'parley_input_overrun_samples_total', labels: 'reader="stt"', value: missed }],
    };
  }

  /** Ends its timer and every session. */
  close(): void {
    clearInterval(this.#ticker);
    for (const session of this.#sessions.values()) session.close();
  }

  #keep(event: FromVad): void {
    const { slot, generation } = event;
    const known = this.#early.get(slot);
    const early = known?.generation === generation ? known : { generation, events: [] };
    this.#early.set(slot, early);
    if (early.events.length < earlyMax) early.events.push(event);
  }

  #isNewer({ slot, generation }: { readonly slot: number; readonly generation: number }): boolean {
    return generation > Math.max(this.#open.get(slot) ?? 0, this.#closed.get(slot) ?? 0);
  }

  #isOpen(message: { readonly slot: number; readonly generation: number }): boolean {
    return this.#open.get(message.slot) === message.generation;
  }
}
