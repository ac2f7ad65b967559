/**
 * What the engine processes of a fleet share, in the process that leads it: the store where its setting knows one process only, the series of
 * figures, and who holds which conversation. Their API threads come here over a local link.
 */

import type { Live } from '../api/conversation-book.js';
import { type FleetNews, type FleetNote, type FleetSetup, fleetCalls } from '../api/fleet-link.js';
import { type SeriesFacts, SeriesHistory, type SeriesQuery } from '../api/series-history.js';
import { abandonedEnding, lastHeardOfAtMs } from '../api/start-up.js';
import { LocalDoor, type LocalLink } from '../shared/local-link.js';
import { randomId } from '../shared/random-id.js';
import { answerForStore } from '../store/hosted.js';
import { openStore, type StoreSetting } from '../store/open.js';
import type { Store } from '../store/port.js';
import { type FleetGauges, FleetSeries } from './fleet-series.js';

export type DeskFacts = {
  readonly store: StoreSetting;
  /** Ends of conversations are told to somebody. */
  readonly hasWebhook: boolean;
  readonly series: SeriesFacts;
  readonly gauges: FleetGauges;
  /** Engine processes that are up, by number. */
  readonly members: () => ReadonlySet<number>;
  /** Unix. */
  readonly nowMs: () => number;
  readonly onProblem: (error: unknown) => void;
};

/** A database server is for every process; what is in one process's memory or folder is hosted here. */
export function isHosted({ kind }: StoreSetting): boolean {
  return kind !== 'postgres';
}

/** A conversation that begins before it is known who ended it; more would be a leak of ours. */
const liveMax = 100_000;
/** How often it is looked whether a second is complete. */
const lookMs = 250;

export class FleetDesk {
  readonly #facts: DeskFacts;
  readonly #store: Store;
  readonly #door: LocalDoor;
  readonly #history = new SeriesHistory(randomId());
  readonly #series: FleetSeries;
  readonly #timer: NodeJS.Timeout;
  readonly #memberOf: Map<LocalLink, number>;
  readonly #live = new Map<string, Live & { readonly member: number }>();
  /** Numbers never come again, so it grows by one for each process that was lost. */
  readonly #dead = new Set<number>();

  static async open(facts: DeskFacts): Promise<FleetDesk> {
    const desk: { current: FleetDesk | undefined } = { current: undefined };
    const memberOf = new Map<LocalLink, number>();
    const door = await LocalDoor.open({
      onCall: async (name, args) => desk.current?.answer(name, args),
      onNote: (note, link) => desk.current?.note(note as FleetNote, link),
      onGone: (link) => desk.current?.left(link),
    });
    desk.current = new FleetDesk(facts, door, memberOf);
    return desk.current;
  }

  private constructor(facts: DeskFacts, door: LocalDoor, memberOf: Map<LocalLink, number>) {
    this.#facts = facts;
    this.#door = door;
    this.#memberOf = memberOf;
    this.#store = openStore(facts.store, facts.onProblem);
    this.#series = new FleetSeries((bucket) => this.#history.add(bucket), facts.gauges);
    this.#timer = setInterval(() => this.#series.look(facts.members(), facts.nowMs()), lookMs);
    this.#timer.unref();
  }

  /** For the engine process of this number. */
  setupFor(member: number): FleetSetup {
    return { path: this.#door.path, member, storeName: isHosted(this.#facts.store) ? this.#store.name : undefined };
  }

  async answer(name: string, args: readonly unknown[]): Promise<unknown> {
    if (name === fleetCalls.series) return this.#history.answer(args[0] as SeriesQuery, this.#facts.series);
    if (name === fleetCalls.live) {
      const live = this.#live.get(String(args[0]));
      return live === undefined ? undefined : { ...live, member: undefined };
    }
    const answer = answerForStore(this.#store, name, args);
    if (answer === undefined) throw new Error(`nobody answers ${name} here`);
    return answer;
  }

  note(note: FleetNote, link: LocalLink): void {
    if (note.type === 'hello') {
      this.#memberOf.set(link, note.member);
      return;
    }
    const member = this.#memberOf.get(link);
    if (member === undefined) return;
    if (note.type === 'bucket') this.#series.add(member, note.bucket, this.#facts.members(), this.#facts.nowMs());
    else if (note.type === 'agent_changed') this.#door.tell(note satisfies FleetNews, link);
    // A second conversation of one id is refused by the store; the first keeps its place.
    else if (note.type === 'begin') {
      if (!this.#live.has(note.conversationId) && this.#live.size < liveMax)
        this.#live.set(note.conversationId, { ...note.live, member });
    } else if (this.#live.get(note.conversationId)?.member === member) this.#live.delete(note.conversationId);
  }

  /** That engine process has ended: what it held and did not end is ended, and told by another one. */
  gone(member: number): void {
    this.#dead.add(member);
    // What it sent before its end may still be on its way.
    if (![...this.#memberOf.values()].includes(member)) void this.#endHeld(member);
  }

  /** All that came over the link has been read. An API thread may be started anew in a process that lives. */
  left(link: LocalLink): void {
    const member = this.#memberOf.get(link);
    this.#memberOf.delete(link);
    if (member !== undefined && this.#dead.has(member)) void this.#endHeld(member);
  }

  /** Never rejects. */
  async #endHeld(member: number): Promise<void> {
    const held = [...this.#live].filter(([, live]) => live.member === member).map(([conversationId]) => conversationId);
    for (const conversationId of held) this.#live.delete(conversationId);
    let endedCount = 0;
    for (const conversationId of held) {
      try {
        const record = await this.#store.conversation(conversationId);
        if (record?.status !== 'in-progress') continue;
        const tellAtMs = this.#facts.hasWebhook ? this.#facts.nowMs() : undefined;
        await this.#store.endConversation(conversationId, abandonedEnding(lastHeardOfAtMs(record), tellAtMs));
        endedCount += 1;
      } catch (error) {
        this.#facts.onProblem(error);
      }
    }
    if (endedCount > 0) this.#door.tell({ type: 'untold' } satisfies FleetNews);
  }

  /** After all engine processes have ended. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#door.close();
    await this.#store.close();
  }
}
