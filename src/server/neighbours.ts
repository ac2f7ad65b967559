/**
 * What the other engine processes of a fleet are busy with, as the process that leads it tells: so that limits count calls of the whole fleet and
 * any process knows whether a conversation goes on. A word of a call may come some milliseconds late. Main thread.
 */

export type NeighbourCall = { readonly conversationId: string; readonly agentId: string; readonly address: string };

/** `closed`: the call at this process is over. */
export type CallNews =
  | { readonly type: 'opened'; readonly call: NeighbourCall }
  | { readonly type: 'closed'; readonly conversationId: string };

export class Neighbours {
  readonly #calls = new Map<string, NeighbourCall & { readonly member: number }>();
  readonly #byAgent = new Map<string, number>();
  readonly #byAddress = new Map<string, number>();

  get count(): number {
    return this.#calls.size;
  }

  /** `member`: number of the process that has news. */
  take(member: number, news: CallNews): void {
    const id = news.type === 'opened' ? news.call.conversationId : news.conversationId;
    const known = this.#calls.get(id);
    if (known !== undefined) this.#forget(known);
    if (news.type === 'closed') return;
    const { agentId, address } = news.call;
    this.#calls.set(id, { ...news.call, member });
    this.#byAgent.set(agentId, (this.#byAgent.get(agentId) ?? 0) + 1);
    this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1);
  }

  /** That process is no more, and so are its calls. */
  gone(member: number): void {
    for (const call of [...this.#calls.values()]) if (call.member === member) this.#forget(call);
  }

  has(conversationId: string): boolean {
    return this.#calls.has(conversationId);
  }

  withAgent(agentId: string): number {
    return this.#byAgent.get(agentId) ?? 0;
  }

  from(address: string): number {
    return this.#byAddress.get(address) ?? 0;
  }

  #forget({ conversationId, agentId, address }: NeighbourCall): void {
    this.#calls.delete(conversationId);
    lessOne(this.#byAgent, agentId);
    lessOne(this.#byAddress, address);
  }
}

function lessOne(counts: Map<string, number>, key: string): void {
  const count = (counts.get(key) ?? 0) - 1;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
