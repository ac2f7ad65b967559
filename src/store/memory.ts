/**
 * The store that lives and dies with the process: for benches, tests and engines that are to keep nothing. API thread.
 * Bounded by `memoryLimits`: the oldest conversations (with their files) and the oldest files are forgotten first. Agents and resources are
 * written by whoever runs the engine and are not bounded.
 */
import { EngineError } from '../shared/errors.js';
import { dueAtMs } from './due.js';
import { type Place, pageOf, placeOf, rowsOfPage } from './paging.js';
import {
  type AgentQuery,
  type AgentRecord,
  type ConversationEnding,
  type ConversationHead,
  type ConversationQuery,
  type ConversationRecord,
  type ConversationStatus,
  type ConversationSummary,
  type FileRecord,
  type Json,
  type Page,
  type Resource,
  type ResourceKind,
  type Store,
  storeLimits,
  type TranscriptItem,
} from './port.js';
import {
  amendedText,
  checkFile,
  compareText,
  documentOf,
  documentText,
  folded,
  searchableText,
  storedId,
  storedText,
} from './text.js';

export const memoryLimits = {
  conversationsMax: 2000,
  /** Of the JSON of all conversations and their transcripts; the newest conversation is kept whatever its size. */
  charactersMax: 128 * 1024 * 1024,
  filesMax: 1000,
  fileBytesMax: 256 * 1024 * 1024,
} as const;
/** A test forgets sooner. */
export type MemoryLimits = { readonly [Name in keyof typeof memoryLimits]: number };

type StoredAgent = Omit<AgentRecord, 'config'> & { readonly configText: string };
type StoredItem = { readonly text: string; readonly searchable: string };
type StoredConversation = {
  readonly head: Omit<ConversationHead, 'document'>;
  text: string;
  status: ConversationStatus;
  endedAtMs: number | undefined;
  dueAtMs: number | undefined;
  tellAtMs: number | undefined;
  readonly items: Map<number, StoredItem>;
};

export class MemoryStore implements Store {
  readonly name = 'memory';
  readonly #limits: MemoryLimits;
  /** All versions of an agent, oldest first. */
  readonly #agents = new Map<string, StoredAgent[]>();
  readonly #resources = new Map<ResourceKind, Map<string, Omit<Resource, 'document'> & { readonly text: string }>>();
  /** In the order in which they began. */
  readonly #conversations = new Map<string, StoredConversation>();
  /** In the order in which they came. */
  readonly #files = new Map<string, FileRecord>();
  #characters = 0;
  #fileBytes = 0;

  constructor(limits: MemoryLimits = memoryLimits) {
    this.#limits = limits;
  }

  async open(): Promise<void> {}

  /** What was kept stays readable until the object goes. */
  async close(): Promise<void> {}

  async createAgent(agent: Omit<AgentRecord, 'version'>): Promise<AgentRecord> {
    const stored = storedAgent({ ...agent, version: 1 });
    if (this.#agents.has(stored.agentId)) {
      throw new EngineError('rejected', `There is an agent "${stored.agentId}" already.`);
    }
    this.#agents.set(stored.agentId, [stored]);
    return agentOf(stored);
  }

  async agent(agentId: string, version?: number): Promise<AgentRecord | undefined> {
    const versions = this.#agents.get(storedText(agentId));
    const stored = version === undefined ? versions?.at(-1) : versions?.find((candidate) => candidate.version === version);
    return stored && agentOf(stored);
  }

  async updateAgent(agent: Omit<AgentRecord, 'version' | 'createdAtMs'>, fromVersion: number): Promise<AgentRecord | undefined> {
    const versions = this.#agents.get(storedText(agent.agentId));
    const newest = versions?.at(-1);
    if (versions === undefined || newest?.version !== fromVersion) return undefined;
    const stored = storedAgent({ ...agent, version: fromVersion + 1, createdAtMs: newest.createdAtMs });
    versions.push(stored);
    return agentOf(stored);
  }

  async agents(query: AgentQuery): Promise<Page<AgentRecord>> {
    const search = query.search === undefined ? '' : folded(query.search);
    const tags = query.tags.map(storedText);
    const found = [...this.#agents.values()]
      .map((versions) => versions.at(-1)!)
      .filter(
        (agent) =>
          (query.isArchived === undefined || agent.isArchived === query.isArchived) &&
          folded(agent.name).includes(search) &&
          tags.every((tag) => agent.tags.includes(tag)),
      );
    const size = rowsOfPage(query.pageSize);
    const page =
      query.sortBy === 'name'
        ? cut(found, size, query.isDescending, query.cursor === undefined ? undefined : placeOf(query.cursor, 'string'), nameOf)
        : cut(found, size, query.isDescending, query.cursor === undefined ? undefined : placeOf(query.cursor, 'number'), ageOf);
    return { ...page, items: page.items.map(agentOf) };
  }

  async deleteAgent(agentId: string): Promise<boolean> {
    return this.#agents.delete(storedText(agentId));
  }

  async putResource(resource: Resource): Promise<void> {
    const { kind, createdAtMs } = resource;
    const id = storedId(resource.id);
    this.#resourcesOf(kind).set(id, { kind, id, createdAtMs, text: documentText(resource.document) });
  }

  async resource(kind: ResourceKind, id: string): Promise<Resource | undefined> {
    const stored = this.#resourcesOf(kind).get(storedText(id));
    return stored && resourceOf(stored);
  }

  async resources(kind: ResourceKind): Promise<readonly Resource[]> {
    return [...this.#resourcesOf(kind).values()]
      .sort((left, right) => left.createdAtMs - right.createdAtMs || compareText(left.id, right.id))
      .map(resourceOf);
  }

  async deleteResource(kind: ResourceKind, id: string): Promise<boolean> {
    return this.#resourcesOf(kind).delete(storedText(id));
  }

  #resourcesOf(kind: ResourceKind): Map<string, Omit<Resource, 'document'> & { readonly text: string }> {
    const known = this.#resources.get(kind);
    if (known !== undefined) return known;
    const created = new Map<string, Omit<Resource, 'document'> & { readonly text: string }>();
    this.#resources.set(kind, created);
    return created;
  }

  async beginConversation(head: ConversationHead): Promise<boolean> {
    const conversationId = storedId(head.conversationId);
    const known = this.#conversations.get(conversationId);
    if (known !== undefined) return known.status === 'in-progress' && known.head.startedAtMs === head.startedAtMs;
    const { agentVersion, startedAtMs } = head;
    const text = documentText(head.document);
    this.#conversations.set(conversationId, {
      head: {
        conversationId,
        agentId: storedId(head.agentId),
        agentVersion,
        userId: head.userId === undefined ? undefined : storedText(head.userId),
        startedAtMs,
      },
      text,
      status: 'in-progress',
      endedAtMs: undefined,
      dueAtMs: undefined,
      tellAtMs: undefined,
      items: new Map(),
    });
    this.#characters += text.length;
    this.#forgetConversations();
    return true;
  }

  async putItem(conversationId: string, item: TranscriptItem): Promise<void> {
    const conversation = this.#conversations.get(storedText(conversationId));
    if (conversation === undefined) return;
    const text = documentText(item.document);
    this.#characters += text.length - (conversation.items.get(item.index)?.text.length ?? 0);
    conversation.items.set(item.index, { text, searchable: searchableText(item.document) });
    this.#forgetConversations();
  }

  async endConversation(conversationId: string, ending: ConversationEnding): Promise<void> {
    const conversation = this.#conversations.get(storedText(conversationId));
    if (conversation === undefined) return;
    this.#amend(conversation, ending.document, ending);
  }

  async amendConversation(conversationId: string, change: Json): Promise<boolean> {
    const conversation = this.#conversations.get(storedText(conversationId));
    if (conversation === undefined) return false;
    this.#amend(conversation, change, undefined);
    return true;
  }

  #amend(conversation: StoredConversation, change: Json, ending: ConversationEnding | undefined): void {
    const text = amendedText(conversation.text, change);
    this.#characters += text.length - conversation.text.length;
    conversation.text = text;
    conversation.status = ending?.status ?? conversation.status;
    conversation.endedAtMs = ending?.endedAtMs ?? conversation.endedAtMs;
    conversation.tellAtMs = ending?.tellAtMs ?? conversation.tellAtMs;
    conversation.dueAtMs = dueAtMs(documentOf(text), conversation.endedAtMs);
  }

  async conversation(conversationId: string): Promise<ConversationRecord | undefined> {
    const conversation = this.#conversations.get(storedText(conversationId));
    if (conversation === undefined) return undefined;
    const items = [...conversation.items]
      .sort(([left], [right]) => left - right)
      .map(([index, { text }]) => ({ index, document: documentOf(text) }));
    return { ...summaryOf(conversation), items };
  }

  async conversations(query: ConversationQuery): Promise<Page<ConversationSummary>> {
    const search = query.search === undefined ? '' : folded(query.search);
    const agentId = query.agentId === undefined ? undefined : storedText(query.agentId);
    const userId = query.userId === undefined ? undefined : storedText(query.userId);
    const found = [...this.#conversations.values()].filter(
      ({ head, items }) =>
        (agentId === undefined || head.agentId === agentId) &&
        (userId === undefined || head.userId === userId) &&
        (query.startedBeforeMs === undefined || head.startedAtMs < query.startedBeforeMs) &&
        (query.startedAfterMs === undefined || head.startedAtMs > query.startedAfterMs) &&
        (search === '' || [...items.values()].some(({ searchable }) => searchable.includes(search))),
    );
    const after = query.cursor === undefined ? undefined : placeOf(query.cursor, 'number');
    const page = cut(found, rowsOfPage(query.pageSize), true, after, ({ head }) => ({
      key: head.startedAtMs,
      id: head.conversationId,
    }));
    return { ...page, items: page.items.map(summaryOf) };
  }

  async deleteConversation(conversationId: string): Promise<boolean> {
    return this.#forget(storedText(conversationId));
  }

  /** None: a conversation here never outlives the process that holds it. */
  async closeAbandoned(): Promise<readonly string[]> {
    return [];
  }

  async claimUntold(atMs: number): Promise<readonly { readonly conversationId: string; readonly endedAtMs: number }[]> {
    const due = [...this.#conversations.values()]
      .flatMap((conversation) => {
        const { head, tellAtMs: key, endedAtMs } = conversation;
        return key !== undefined && key <= atMs && endedAtMs !== undefined
          ? [{ key, id: head.conversationId, endedAtMs, conversation }]
          : [];
      })
      .sort(comparePlaces)
      .slice(0, storeLimits.untoldMax);
    return due.map(({ id, endedAtMs, conversation }) => {
      conversation.tellAtMs = atMs + Math.max(storeLimits.untoldAgainMs, (atMs - endedAtMs) / 2);
      return { conversationId: id, endedAtMs };
    });
  }

  async told(conversationId: string): Promise<void> {
    const conversation = this.#conversations.get(storedText(conversationId));
    if (conversation !== undefined) conversation.tellAtMs = undefined;
  }

  async dueConversations(atMs: number): Promise<readonly string[]> {
    return [...this.#conversations.values()]
      .flatMap(({ head, dueAtMs: key }) => (key !== undefined && key <= atMs ? [{ key, id: head.conversationId }] : []))
      .sort(comparePlaces)
      .slice(0, storeLimits.pageMax)
      .map(({ id }) => id);
  }

  async putFile(file: FileRecord): Promise<void> {
    checkFile(file);
    const stored: FileRecord = {
      fileId: storedId(file.fileId),
      conversationId: storedId(file.conversationId),
      name: storedText(file.name),
      mimeType: storedText(file.mimeType),
      bytes: file.bytes.slice(),
      createdAtMs: file.createdAtMs,
    };
    this.#forgetFile(stored.fileId);
    this.#files.set(stored.fileId, stored);
    this.#fileBytes += stored.bytes.length;
    for (const fileId of this.#files.keys()) {
      if (this.#files.size <= this.#limits.filesMax && this.#fileBytes <= this.#limits.fileBytesMax) break;
      this.#forgetFile(fileId);
    }
  }

  async file(fileId: string): Promise<FileRecord | undefined> {
    const stored = this.#files.get(storedText(fileId));
    return stored && { ...stored, bytes: stored.bytes.slice() };
  }

  async deleteFile(fileId: string): Promise<boolean> {
    return this.#forgetFile(storedText(fileId));
  }

  #forgetConversations(): void {
    for (const conversationId of this.#conversations.keys()) {
      const isFull = this.#conversations.size > this.#limits.conversationsMax || this.#characters > this.#limits.charactersMax;
      if (!isFull || this.#conversations.size === 1) break;
      this.#forget(conversationId);
    }
  }

  #forget(conversationId: string): boolean {
    for (const file of this.#files.values()) if (file.conversationId === conversationId) this.#forgetFile(file.fileId);
    const conversation = this.#conversations.get(conversationId);
    if (conversation === undefined) return false;
    this.#characters -= conversation.text.length;
    for (const { text } of conversation.items.values()) this.#characters -= text.length;
    return this.#conversations.delete(conversationId);
  }

  #forgetFile(fileId: string): boolean {
    this.#fileBytes -= this.#files.get(fileId)?.bytes.length ?? 0;
    return this.#files.delete(fileId);
  }
}

function storedAgent(agent: AgentRecord): StoredAgent {
  const { agentId, version, name, tags, isArchived, config, createdAtMs, updatedAtMs } = agent;
  return {
    agentId: storedId(agentId),
    version,
    name: storedText(name),
    tags: tags.map(storedText),
    isArchived,
    configText: documentText(config),
    createdAtMs,
    updatedAtMs,
  };
}

function agentOf({ configText, tags, ...agent }: StoredAgent): AgentRecord {
  return { ...agent, tags: [...tags], config: documentOf(configText) };
}

function resourceOf({ text, ...resource }: Omit<Resource, 'document'> & { readonly text: string }): Resource {
  return { ...resource, document: documentOf(text) };
}

function summaryOf({ head, text, status, endedAtMs, items }: StoredConversation): ConversationSummary {
  return { ...head, document: documentOf(text), status, endedAtMs, messageCount: items.size };
}

const nameOf = (agent: StoredAgent): Place<string> => ({ key: folded(agent.name), id: agent.agentId });
const ageOf = (agent: StoredAgent): Place<number> => ({ key: agent.createdAtMs, id: agent.agentId });

function comparePlaces<Key extends string | number>(left: Place<Key>, right: Place<Key>): number {
  const byKey = typeof left.key === 'string' ? compareText(left.key, String(right.key)) : Number(left.key) - Number(right.key);
  return byKey || compareText(left.id, right.id);
}

/** The page of `rows` behind the place `after`. */
function cut<Item, Key extends string | number>(
  rows: readonly Item[],
  size: number,
  isDescending: boolean,
  after: Place<Key> | undefined,
  place: (item: Item) => Place<Key>,
): Page<Item> {
  const sign = isDescending ? -1 : 1;
  const left = rows
    .filter((row) => after === undefined || sign * comparePlaces(place(row), after) > 0)
    .sort((first, second) => sign * comparePlaces(place(first), place(second)));
  return pageOf(left.slice(0, size + 1), size, place);
}
