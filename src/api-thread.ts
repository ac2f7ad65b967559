/**
 * The API thread as main sees it: one a process, linked to every lane. When it dies the calls go on without it (no REST, nothing stored, no
 * server tools) and it is started again, a bounded number of times. Main thread.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { FromApiToMain, ToApiFromMain } from './api/links.js';
import type { LaneApiPorts, Thread } from './lane.js';
import type { LaneRenewed } from './thread-start.js';

export type ApiThreadEvents = {
  readonly onMessage: (message: FromApiToMain) => void;
  /** It died. `restartsInMs`: when the next one is started; undefined: it is given up. */
  readonly onDeath: (error: Error, restartsInMs: number | undefined) => void;
};

/** The ends of the links that the thread gets. */
export type ApiEnds = {
  readonly main: MessagePort;
  readonly conversations: readonly MessagePort[];
  readonly voices: readonly MessagePort[];
};

export type RestartRule = { readonly delayMs: number; readonly max: number; readonly windowMs: number };

type Born = {
  readonly thread: Thread;
  readonly main: MessagePort;
  readonly conversations: readonly MessagePort[];
  readonly voices: readonly MessagePort[];
};

export class ApiThread {
  readonly #laneCount: number;
  readonly #spawn: (ends: ApiEnds) => Thread;
  readonly #rule: RestartRule;
  /** Hands the other ends of new links to the lanes. */
  readonly #relink: (conversations: readonly MessagePort[], voices: readonly MessagePort[]) => void;
  readonly #events: ApiThreadEvents;
  readonly #restartsAtMs: number[] = [];
  #thread: Thread;
  #main: MessagePort;
  #restart: NodeJS.Timeout | undefined;
  #isDown = false;
  #isStopping = false;

  /** `born`: the first one, made by `beget` so that the lanes could be started with their ends. */
  constructor(
    born: Born,
    spawn: (ends: ApiEnds) => Thread,
    rule: RestartRule,
    relink: (conversations: readonly MessagePort[], voices: readonly MessagePort[]) => void,
    events: ApiThreadEvents,
  ) {
    this.#laneCount = born.conversations.length;
    this.#spawn = spawn;
    this.#rule = rule;
    this.#relink = relink;
    this.#events = events;
    this.#thread = born.thread;
    this.#main = born.main;
    this.#watch();
  }

  /** Undefined while there is none. */
  get current(): Thread | undefined {
    return this.#isDown ? undefined : this.#thread;
  }

  /** False while there is none. The body of a request is given away. */
  send(message: ToApiFromMain): boolean {
    if (this.#isDown) return false;
    const transfer = message.type === 'http' ? [message.body.buffer as ArrayBuffer] : [];
    this.#main.postMessage(message, transfer);
    return true;
  }

  /** New links for a lane that is started anew; while there is no thread they lead nowhere, and are renewed when there is one. */
  linkLane(lane: number): LaneApiPorts {
    const conversation = new MessageChannel();
    const voice = new MessageChannel();
    const far: LaneRenewed = { type: 'lane_renewed', lane, conversation: conversation.port2, voice: voice.port2 };
    if (!this.#isDown) this.#thread.control.postMessage(far, [far.conversation, far.voice]);
    return { conversation: conversation.port1, voice: voice.port1 };
  }

  /** No new one is started from now on. */
  stop(): void {
    this.#isStopping = true;
    clearTimeout(this.#restart);
  }

  close(): void {
    this.#main.close();
    this.#thread.control.close();
  }

  #watch(): void {
    const { worker } = this.#thread;
    let failure: Error | undefined;
    worker.once('error', (error: Error) => {
      failure = error;
    });
    // After an error the thread ends too.
    worker.once('exit', (code) => this.#died(failure ?? new Error(`the api thread ended with code ${code}`)));
    this.#main.on('message', this.#events.onMessage);
  }

  #died(error: Error): void {
    if (this.#isStopping) return;
    this.#isDown = true;
    this.close();
    const nowMs = performance.now();
    while (this.#restartsAtMs.length > 0 && nowMs - this.#restartsAtMs[0]! > this.#rule.windowMs) this.#restartsAtMs.shift();
    if (this.#restartsAtMs.length >= this.#rule.max) {
      this.#events.onDeath(error, undefined);
      return;
    }
    this.#restartsAtMs.push(nowMs);
    this.#restart = setTimeout(() => this.#begin(), this.#rule.delayMs);
    this.#events.onDeath(error, this.#rule.delayMs);
  }

  #begin(): void {
    const born = beget(this.#laneCount, this.#spawn);
    this.#thread = born.thread;
    this.#main = born.main;
    this.#isDown = false;
    this.#relink(born.conversations, born.voices);
    this.#watch();
  }
}

/** Starts one with fresh links; the result holds their near ends. */
export function beget(laneCount: number, spawn: (ends: ApiEnds) => Thread): Born {
  const links = (count: number): MessageChannel[] => Array.from({ length: count }, () => new MessageChannel());
  const main = new MessageChannel();
  const conversations = links(laneCount);
  const voices = links(laneCount);
  const thread = spawn({
    main: main.port2,
    conversations: conversations.map((link) => link.port2),
    voices: voices.map((link) => link.port2),
  });
  return {
    thread,
    main: main.port1,
    conversations: conversations.map((link) => link.port1),
    voices: voices.map((link) => link.port1),
  };
}
