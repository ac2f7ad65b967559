/**
 * The store of a fleet whose setting knows one process only (`memory`, `pglite:`): it lives in the process that leads the fleet, and the engine
 * processes call it over a local link. API thread at this end; the leading process at the other.
 */
import type { LocalLink } from '../shared/local-link.js';
import { type Store, storeLimits } from './port.js';

/** Every method but `close`: the store outlives each engine process. */
const methods = [
  'open',
  'createAgent',
  'agent',
  'updateAgent',
  'agents',
  'deleteAgent',
  'putResource',
  'resource',
  'resources',
  'deleteResource',
  'beginConversation',
  'putItem',
  'endConversation',
  'amendConversation',
  'conversation',
  'conversations',
  'deleteConversation',
  'closeAbandoned',
  'claimUntold',
  'told',
  'dueConversations',
  'putFile',
  'file',
  'deleteFile',
] as const satisfies readonly (keyof Store)[];
type Method = (typeof methods)[number];
/** Fails to compile when the port has a method that is not listed. */
const everyMethod: Record<Exclude<keyof Store, 'name' | 'close'>, true> = Object.fromEntries(
  methods.map((method) => [method, true]),
) as Record<Method, true>;

/** Over what the store itself takes at most. */
const graceMs = 1000;
export const storeCall = 'store.';

/** The far end: runs the call `name`, if it is one of the store's. */
export function answerForStore(store: Store, name: string, args: readonly unknown[]): Promise<unknown> | undefined {
  const method = name.startsWith(storeCall) ? name.slice(storeCall.length) : '';
  if (!Object.hasOwn(everyMethod, method)) return undefined;
  const run = store[method as Method] as (...given: readonly unknown[]) => Promise<unknown>;
  return run.apply(store, [...args]);
}

export class HostedStore implements Store {
  readonly name: string;
  readonly #link: LocalLink;

  /** `name`: of the store at the other end. */
  constructor(name: string, link: LocalLink) {
    this.name = name;
    this.#link = link;
  }

  open: Store['open'] = () => this.#call('open');
  createAgent: Store['createAgent'] = (...args) => this.#call('createAgent', ...args);
  agent: Store['agent'] = (...args) => this.#call('agent', ...args);
  updateAgent: Store['updateAgent'] = (...args) => this.#call('updateAgent', ...args);
  agents: Store['agents'] = (...args) => this.#call('agents', ...args);
  deleteAgent: Store['deleteAgent'] = (...args) => this.#call('deleteAgent', ...args);
  putResource: Store['putResource'] = (...args) => this.#call('putResource', ...args);
  resource: Store['resource'] = (...args) => this.#call('resource', ...args);
  resources: Store['resources'] = (...args) => this.#call('resources', ...args);
  deleteResource: Store['deleteResource'] = (...args) => this.#call('deleteResource', ...args);
  beginConversation: Store['beginConversation'] = (...args) => this.#call('beginConversation', ...args);
  putItem: Store['putItem'] = (...args) => this.#call('putItem', ...args);
  endConversation: Store['endConversation'] = (...args) => this.#call('endConversation', ...args);
  amendConversation: Store['amendConversation'] = (...args) => this.#call('amendConversation', ...args);
  conversation: Store['conversation'] = (...args) => this.#call('conversation', ...args);
  conversations: Store['conversations'] = (...args) => this.#call('conversations', ...args);
  deleteConversation: Store['deleteConversation'] = (...args) => this.#call('deleteConversation', ...args);
  closeAbandoned: Store['closeAbandoned'] = (...args) => this.#call('closeAbandoned', ...args);
  claimUntold: Store['claimUntold'] = (...args) => this.#call('claimUntold', ...args);
  told: Store['told'] = (...args) => this.#call('told', ...args);
  dueConversations: Store['dueConversations'] = (...args) => this.#call('dueConversations', ...args);
  putFile: Store['putFile'] = (...args) => this.#call('putFile', ...args);
  file: Store['file'] = (...args) => this.#call('file', ...args);
  deleteFile: Store['deleteFile'] = (...args) => this.#call('deleteFile', ...args);

  /** The link is closed by whoever opened it. */
  async close(): Promise<void> {}

  async #call<Name extends Method>(name: Name, ...args: Parameters<Store[Name]>): Promise<Awaited<ReturnType<Store[Name]>>> {
    const timeoutMs = (name === 'open' ? storeLimits.openMs : storeLimits.queryMs) + graceMs;
    // The other end runs the method of this name.
    return (await this.#link.call(`${storeCall}${name}`, args, timeoutMs)) as Awaited<ReturnType<Store[Name]>>;
  }
}
