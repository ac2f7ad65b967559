/**
 * One engine process of a fleet, started by `fleet.ts`: gets its settings from the process that leads, starts the engine, tells what its calls
 * do and hears what those of the others do. Main thread. When the leading process is gone it finishes its calls and ends.
 */
import type { Socket } from 'node:net';
import type { Config } from './config.js';
import { Engine } from './engine.js';
import type { FiguresForm, FleetState, FromMember, MemberStart, ToMember } from './fleet/links.js';
import type { Membership } from './fleet/membership.js';
import { Neighbours } from './server/neighbours.js';
import { EngineError, problemOf } from './shared/errors.js';
import type { MetricsAnswer } from './shared/links.js';

/** Ends the process however it hangs. */
const exitMaxMs = 10_000;
const crashMaxMs = 2000;
/** Until the leading process has asked everybody for figures. */
const figuresMaxMs = 3000;

type Told = { readonly text: string; readonly answers: readonly MetricsAnswer[] };

class Member {
  readonly #config: Config;
  readonly #neighbours = new Neighbours();
  readonly #asked = new Map<number, (told: Told) => void>();
  #lastId = 0;
  #state: FleetState;
  #engine: Engine | undefined;
  /** Orders that came before the engine was there. */
  #isListening = true;
  #stopping: Promise<void> | undefined;

  constructor({ settings, placesMax }: MemberStart<Config>) {
    this.#config = settings;
    this.#state = { openCount: 0, processCount: settings.processes, calls: 0, free: placesMax };
  }

  async start({ setup, spread, idlePath, placesMax }: MemberStart<Config>): Promise<void> {
    const membership: Membership = {
      ...{ setup, spread, idlePath, placesMax, neighbours: this.#neighbours },
      state: () => this.#state,
      tell: (news) => tell({ type: 'news', news }),
      onDoor: (isOpen) => tell({ type: 'door', isOpen }),
      text: async () => (await this.#ask('totals')).text,
      answers: async () => (await this.#ask('histograms')).answers,
    };
    const engine = await Engine.start(this.#config, () => this.leave(), membership);
    this.#engine = engine;
    tell({ type: 'ready', port: engine.port, says: engine.says });
    if (!this.#isListening) await engine.listen(false);
  }

  async take(message: Exclude<ToMember<Config>, { type: 'start' }>, handle: Socket | undefined): Promise<void> {
    switch (message.type) {
      case 'news':
        this.#neighbours.take(message.member, message.news);
        return;
      case 'gone':
        this.#neighbours.gone(message.member);
        return;
      case 'state':
        this.#state = message.state;
        return;
      case 'connection':
        if (handle !== undefined) this.#engine?.take(handle);
        return;
      case 'listen':
        this.#isListening = message.isListening;
        await this.#engine?.listen(message.isListening);
        return;
      case 'ask':
        await this.#tellFigures(message.id, message.form);
        return;
      case 'told': {
        const resolve = this.#asked.get(message.id);
        this.#asked.delete(message.id);
        resolve?.(message);
        return;
      }
      case 'stop':
        this.stop(message.drainMs, message.noticeMs, 0);
        return;
    }
  }

  /** A part of the engine cannot be brought back: calls that it does not concern may finish, and another process takes the place of this one. */
  leave(): void {
    tell({ type: 'leaving' });
    this.stop(this.#config.drainSeconds * 1000, 0, 1);
  }

  /** Said again without time, it ends what still goes on. */
  stop(drainMs: number, noticeMs: number, status: number): void {
    setTimeout(() => process.exit(1), drainMs + noticeMs + exitMaxMs).unref();
    const stopped = this.#engine?.stop(drainMs, noticeMs);
    this.#stopping ??= (stopped ?? Promise.resolve([])).then(
      (answers) => leaveWith({ type: 'stopped', answers }, status),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  }

  crash(error: unknown): void {
    console.error(error);
    setTimeout(() => process.exit(1), crashMaxMs).unref();
    const end = (): void => process.exit(1);
    this.#engine?.stop(0, 0, 'Internal error. Please call again.').then(end, end);
    if (this.#engine === undefined) end();
  }

  async #tellFigures(id: number, form: FiguresForm): Promise<void> {
    const engine = this.#engine;
    if (engine === undefined) return;
    const totals = engine.totals();
    const answers = form === 'histograms' ? await engine.metrics() : [];
    tell({ type: 'figures', id, totals, answers });
  }

  /** Of all processes. */
  #ask(form: FiguresForm): Promise<Told> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        reject(new EngineError('timeout', 'the process that leads the fleet has not put the figures together'));
      }, figuresMaxMs);
      this.#asked.set(id, (told) => {
        clearTimeout(timer);
        resolve(told);
      });
      tell({ type: 'ask', id, form });
    });
  }
}

function tell(message: FromMember): void {
  // Nobody is there when the leading process died: this one is about to end.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}

/** Ends the process when the last word is on its way. */
function leaveWith(message: FromMember, status: number): void {
  if (!process.connected || process.send === undefined) process.exit(status);
  process.send(message, undefined, undefined, () => process.exit(status));
}

let member: Member | undefined;
process.on('message', (message: ToMember<Config>, handle: unknown) => {
  if (message.type === 'start') {
    member = new Member(message.start);
    member.start(message.start).catch((error: unknown) => {
      const { kind, message: text } = problemOf(error);
      if (!(error instanceof EngineError)) console.error(error);
      leaveWith({ type: 'failed', kind, message: text }, 1);
    });
    return;
  }
  member?.take(message, handle as Socket | undefined).catch((error: unknown) => member?.crash(error));
});
process.on('disconnect', () => {
  if (member === undefined) process.exit(1);
  member.leave();
});
// A terminal's Ctrl-C and a service manager may reach every process: the leading one says what becomes of it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
process.on('uncaughtException', (error) => {
  if (member === undefined) process.exit(1);
  member.crash(error);
});
