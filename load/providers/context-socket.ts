/**
 * The ElevenLabs synthesis sockets, `multi-stream-input` and `stream-input`: contexts, buffering, generation and every rule of which a
 * breach ends the socket. Runs on the simulator's main thread.
 */
import type { WebSocket } from 'ws';
import { nowMs } from '../../src/shared/clock.js';
import { type Context, lengthToSpeak, openContext, takeText } from './context.js';
import { framesOf } from './context-audio.js';
import { type ClientMessage, hasSettings, keyOf, readMessage, type SocketQuery } from './context-messages.js';
import { type Fault, messageCutting, withFault } from './faults.js';
import type { Draws } from './profile.js';
import type { Appointment } from './schedule.js';
import { isKeyAccepted, type Services } from './services.js';
import { type Playing, play, timetableOf } from './timetable.js';

/** Contexts open or still speaking on one socket. */
export const contextsMax = 5;
/** Text that is closed within this of its arrival, before any audio, can be lost in the real service; here it always is. */
const closeRaceMs = 20;
/** A reader that lets this much pile up is waited for. */
const bufferedBytesMax = 1024 * 1024;
/** How long a peer may take to answer the closing handshake. */
const closeTimeoutMs = 2000;

/** Why a socket is ended. */
type Breach = { readonly error: string; readonly message: string; readonly contextId?: string | undefined };

function invalid(message: string, contextId?: string): Breach {
  return { error: 'invalid_input_message', message, contextId };
}

function internal(message: string): Breach {
  return { error: 'internal_error', message };
}

export type SocketOptions = {
  readonly services: Services;
  readonly mode: 'single' | 'multi';
  readonly path: string;
  readonly voiceId: string;
  readonly query: SocketQuery;
  /** A key came with the upgrade; otherwise the first message must bring one. */
  readonly hasKey: boolean;
};

export class ContextSocket {
  readonly #socket: WebSocket;
  readonly #options: SocketOptions;
  readonly #contexts = new Map<string, Context>();
  /** Closed contexts whose audio is not all delivered; they still count. */
  readonly #draining = new Set<Context>();
  readonly #playing = new Set<Playing>();
  readonly #timers = new Set<Appointment>();
  #hasKey: boolean;
  #messageAtMs = nowMs();
  #isClosing = false;
  #isOver = false;

  constructor(socket: WebSocket, options: SocketOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#hasKey = options.hasKey;
    socket.on('message', (data, isBinary) => {
      if (this.#isOver) return;
      this.#messageAtMs = nowMs();
      const breach = isBinary ? invalid('binary messages are not supported') : this.#receive(data.toString());
      if (breach !== undefined) this.#refuse(breach);
    });
    socket.on('close', () => this.stop());
    // What goes wrong on the connection is followed by `close`.
    socket.on('error', () => undefined);
    this.#watchSocket();
  }

  /** Ends all work for this socket; the connection itself is left alone. */
  stop(): void {
    this.#isOver = true;
    for (const playing of this.#playing) playing.stop();
    for (const timer of this.#timers) this.#options.services.schedule.cancel(timer);
    this.#playing.clear();
    this.#timers.clear();
    this.#contexts.clear();
    this.#draining.clear();
  }

  #receive(frame: string): Breach | undefined {
    const message = readMessage(frame, this.#options.mode);
    if ('problem' in message) return invalid(message.problem);
    if (!this.#hasKey) {
      const key = keyOf(message);
      if (key === undefined || !isKeyAccepted(key)) {
        return { error: 'invalid_api_key', message: 'the socket has no valid API key: send xi-api-key with the upgrade' };
      }
      this.#hasKey = true;
    }
    if (this.#isClosing) return invalid('the client has closed this socket', message.context_id);
    return this.#options.mode === 'single' ? this.#receiveSingle(message) : this.#receiveMulti(message);
  }

  #receiveMulti(message: ClientMessage): Breach | undefined {
    if (message.close_socket === true) {
      this.#isClosing = true;
      for (const context of [...this.#contexts.values()]) this.#close(context);
      this.#closeWhenDone();
      return undefined;
    }
    // An empty text without a context keeps the socket alive and opens nothing.
    if (message.context_id === undefined && message.text === '' && message.flush !== true && message.close_context !== true) {
      return hasSettings(message) ? invalid('settings need a context') : undefined;
    }
    const id = message.context_id ?? 'default';
    const known = this.#contexts.get(id);
    if (known === undefined && message.close_context === true && (message.text ?? '') === '') return undefined;
    if (known !== undefined && hasSettings(message)) {
      return invalid('settings are allowed only in the first message of a context', id);
    }
    if (known === undefined && this.#contexts.size + this.#draining.size >= contextsMax) {
      const text = `Maximum simultaneous contexts per WebSocket connection exceeded (${contextsMax}). Please close an existing context before opening a new one.`;
      return { error: 'max_active_conversations', message: text, contextId: id };
    }
    const context = known ?? this.#open(id, id, message);
    this.#take(context, message);
    if (message.close_context === true) this.#close(context);
    return undefined;
  }

  #receiveSingle(message: ClientMessage): Breach | undefined {
    const known = this.#contexts.get('');
    if (known === undefined) {
      if (message.text !== ' ') return invalid('the first message must have the text " "');
      this.#open('', undefined, message);
      return undefined;
    }
    if (hasSettings(message)) return invalid('settings are allowed only in the first message');
    this.#take(known, message);
    if (message.text !== '') return undefined;
    this.#isClosing = true;
    this.#close(known);
    this.#closeWhenDone();
    return undefined;
  }

  #open(key: string, id: string | undefined, message: ClientMessage): Context {
    const context = openContext(id, this.#options.voiceId, message);
    this.#contexts.set(key, context);
    if (this.#options.mode === 'multi') this.#watch(context);
    return context;
  }

  #take(context: Context, message: ClientMessage): void {
    takeText(context, message);
    this.#speakBuffer(context, lengthToSpeak(context, message, this.#options.query.isAuto));
  }

  #speakBuffer(context: Context, length: number): void {
    const text = context.buffer.slice(0, length);
    context.buffer = context.buffer.slice(length);
    if (text.trim() === '') return;
    context.generations += 1;
    context.open += 1;
    const receivedAtMs = nowMs();
    const before = context.last;
    context.last = this.#speak(context, text, receivedAtMs, before).catch((error: unknown) => {
      this.#refuse({ ...internal(error instanceof Error ? error.message : String(error)), contextId: context.id });
    });
  }

  async #speak(context: Context, text: string, receivedAtMs: number, before: Promise<void>): Promise<void> {
    const { services, path, query } = this.#options;
    const draws = services.dealer.deal('tts');
    const fault = services.faults.take('tts', draws.random) ?? draws.fault;
    const entry = services.journal.open('tts', path, receivedAtMs);
    if (context.id !== undefined) entry.contextId = context.id;
    if (fault !== undefined) entry.fault = fault.kind;
    entry.text = text;

    const speech = await services.voice.speak(text, context.style);
    await before;
    if (this.#isOver || context.isLost) {
      entry.isAborted = true;
      context.open -= 1;
      if (!this.#isOver) this.#finishWhenDone(context, undefined);
      return;
    }
    const { profile } = services.dealer;
    const messages = services.memory.of(speech, context.style, query.format);
    const readyAtMs = receivedAtMs + draws.uplinkMs + draws.durationMs(profile.ttsFirstByte);
    const ratio = profile.ttsRealTimeRatio;
    const firstMs = messages[0]?.untilMs ?? 0;
    // A generation that follows another one begins when that is made.
    const startAtMs = Math.max(readyAtMs, context.busyUntilMs + (ratio === 0 ? 0 : firstMs / ratio));
    const madeAtMs = (untilMs: number): number => startAtMs + (ratio === 0 ? 0 : (untilMs - firstMs) / ratio);
    context.busyUntilMs = madeAtMs(speech.durationMs);
    if (fault?.kind === 'missing_final') context.isFinalMissing = true;
    const pieces = framesOf(messages, context.id, fault).map((data, index) => ({
      atMs: madeAtMs(messages[index]!.untilMs) + draws.downlinkMs,
      data,
    }));
    const timetable = withFault(timetableOf(pieces, startAtMs + draws.downlinkMs), fault, messageCutting);
    entry.atMonotonicMs.planned = timetable.pieces[0]?.atMs ?? timetable.endAtMs;
    await this.#deliver(context, timetable, fault, draws, (played) => {
      if (played.firstAtMs !== undefined) entry.atMonotonicMs.firstByte = played.firstAtMs;
      if (played.isWhole) entry.atMonotonicMs.lastByte = played.lastAtMs;
      else entry.isAborted = this.#isOver;
    });
  }

  #deliver(
    context: Context,
    timetable: Parameters<typeof play<string>>[1],
    fault: Fault | undefined,
    draws: Draws,
    onPlayed: Parameters<typeof play<string>>[3],
  ): Promise<void> {
    return new Promise((resolve) => {
      const playing = play(
        this.#options.services.schedule,
        timetable,
        {
          write: (frame) => {
            context.hasSpoken = true;
            this.#socket.send(frame);
            if (fault?.kind === 'error_event') this.#refuse({ ...internal('an error on purpose'), contextId: context.id });
          },
          isFull: () => this.#socket.bufferedAmount > bufferedBytesMax,
          end: () => undefined,
          cut: () => this.#socket.terminate(),
        },
        (played) => {
          this.#playing.delete(playing);
          onPlayed(played);
          resolve();
          if (this.#isOver || !played.isWhole) return;
          context.open -= 1;
          this.#finishWhenDone(context, draws);
        },
      );
      this.#playing.add(playing);
    });
  }

  /** No more text: what is buffered is spoken, and when all is delivered the context is final. */
  #close(context: Context): void {
    const isRaced = this.#options.mode === 'multi' && !this.#isClosing && nowMs() - context.textAtMs < closeRaceMs;
    context.isLost = isRaced && !context.hasSpoken;
    if (context.isLost) context.buffer = '';
    this.#speakBuffer(context, context.buffer.length);
    context.isClosing = true;
    this.#contexts.delete(context.id ?? '');
    this.#draining.add(context);
    this.#finishWhenDone(context, undefined);
  }

  #finishWhenDone(context: Context, draws: Draws | undefined): void {
    if (!context.isClosing || context.open > 0) return;
    const { schedule, dealer } = this.#options.services;
    // A context that never spoke is answered after the way there and back.
    const waitMs = draws === undefined ? 2 * dealer.profile.linkMs : 0;
    this.#after(nowMs() + waitMs, schedule, () => {
      this.#draining.delete(context);
      if (!context.isFinalMissing) {
        const final = this.#options.mode === 'multi' ? { contextId: context.id, isFinal: true } : finalOfSingle;
        this.#socket.send(JSON.stringify(final));
      }
      this.#closeWhenDone();
    });
  }

  #closeWhenDone(): void {
    if (!this.#isClosing || this.#contexts.size + this.#draining.size > 0) return;
    this.#end(1000, '');
  }

  #refuse(breach: Breach): void {
    if (this.#isOver) return;
    const { message, error, contextId } = breach;
    this.#socket.send(JSON.stringify({ message, error, code: 1008, ...(contextId === undefined ? {} : { contextId }) }));
    // The reason of a close frame has room for 123 bytes.
    this.#end(1008, Buffer.from(message).subarray(0, 120).toString('latin1'));
  }

  #end(code: number, reason: string): void {
    this.stop();
    this.#socket.close(code, reason);
    const { schedule } = this.#options.services;
    schedule.at(nowMs() + closeTimeoutMs, () => this.#socket.terminate());
  }

  #after(atMs: number, schedule: Services['schedule'], run: () => void): void {
    const timer = schedule.at(atMs, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }

  /** A socket on which nothing is said for the agreed time is closed with an error. */
  #watchSocket(): void {
    const { services, query } = this.#options;
    this.#after(this.#messageAtMs + query.inactivityMs, services.schedule, () => {
      if (nowMs() < this.#messageAtMs + query.inactivityMs - 1) return this.#watchSocket();
      const seconds = query.inactivityMs / 1000;
      this.#refuse({ error: 'input_timeout_exceeded', message: `No message was received for ${seconds} seconds.` });
    });
  }

  /** A context without a message of its own for the agreed time is closed; what it had buffered is dropped. */
  #watch(context: Context): void {
    const { services, query } = this.#options;
    this.#after(context.messageAtMs + query.inactivityMs, services.schedule, () => {
      if (context.isClosing) return;
      if (nowMs() < context.messageAtMs + query.inactivityMs - 1) return this.#watch(context);
      context.buffer = '';
      this.#close(context);
    });
  }
}

const finalOfSingle = { audio: null, isFinal: true, alignment: null, normalizedAlignment: null };
