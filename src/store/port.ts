/**
 * What the engine keeps: agents with their versions, resources they refer to, conversations with their transcripts, uploaded files.
 * One port, three adapters (memory, PGlite, Postgres); `test/store.test.ts` is the one conformance test of all. API thread.
 *
 * Documents are plain JSON objects, kept as they are given; what a document may hold is decided by who writes it. Instants are unix
 * milliseconds. Every method may throw `EngineError`: `unavailable` when the database is away, `timeout` when it does not answer, `broken`
 * when it answers nonsense, `rejected` for what it cannot keep (an id or a file beyond the limits) and for a cursor that is not its own.
 * Nothing here blocks a caller for longer than `storeLimits.queryMs`, but `open` may take `openMs`. In names and ids the null character and
 * half a surrogate pair become U+FFFD; documents come back as they were given.
 */

export type Json = Readonly<Record<string, unknown>>;

export const storeLimits = {
  queryMs: 10_000,
  openMs: 60_000,
  pageMax: 100,
  idCharactersMax: 512,
  fileBytesMax: 20 * 1024 * 1024,
  untoldMax: 20,
  untoldAgainMs: 60_000,
} as const;

/** One version of an agent. `config` is the public body: `conversation_config`, `platform_settings`, `workflow`, `parley`. */
export type AgentRecord = {
  readonly agentId: string;
  /** 1, 2, … : grows with each change; older versions stay readable. */
  readonly version: number;
  readonly name: string;
  readonly tags: readonly string[];
  readonly isArchived: boolean;
  readonly config: Json;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
};
export type AgentQuery = {
  readonly pageSize: number;
  readonly cursor: string | undefined;
  /** Part of the name, any case. */
  readonly search: string | undefined;
  readonly isArchived: boolean | undefined;
  /** The agent has all of them. */
  readonly tags: readonly string[];
  readonly sortBy: 'name' | 'created_at';
  readonly isDescending: boolean;
};
export type Page<Item> = { readonly items: readonly Item[]; readonly nextCursor: string | undefined };

/** Things that agents refer to by id. */
export type ResourceKind = 'tool' | 'mcp_server' | 'secret';
export type Resource = {
  readonly kind: ResourceKind;
  readonly id: string;
  readonly document: Json;
  readonly createdAtMs: number;
};

export type ConversationStatus = 'in-progress' | 'done' | 'failed';
/** The head of a conversation, written when it begins; what changes later is in `ConversationEnding`. */
export type ConversationHead = {
  readonly conversationId: string;
  readonly agentId: string;
  readonly agentVersion: number;
  readonly userId: string | undefined;
  readonly startedAtMs: number;
  /**
   * Whatever else is known at the start: formats, text only, language, source, environment, the initiation message without secrets, and
   * `privacy`, the agent's settings of that name.
   */
  readonly document: Json;
};
export type ConversationEnding = {
  readonly status: 'done' | 'failed';
  readonly endedAtMs: number;
  /** Termination reason, error, cost counters, recording facts. Merged into the head's document, shallowly. */
  readonly document: Json;
  /** Somebody has to be told of the end, and if `told` was not called by then anybody may do it. Absent: nothing changes. */
  readonly tellAtMs?: number;
};
/** One item of the transcript, in the public shape (`role`, `message`, `time_in_call_secs`, …). */
export type TranscriptItem = { readonly index: number; readonly document: Json };
export type ConversationSummary = ConversationHead & {
  readonly status: ConversationStatus;
  readonly endedAtMs: number | undefined;
  readonly messageCount: number;
};
export type ConversationRecord = ConversationSummary & { readonly items: readonly TranscriptItem[] };
export type ConversationQuery = {
  readonly pageSize: number;
  readonly cursor: string | undefined;
  readonly agentId: string | undefined;
  readonly userId: string | undefined;
  /** Both bounds are exclusive. */
  readonly startedBeforeMs: number | undefined;
  readonly startedAfterMs: number | undefined;
  /** Text that occurs in a message, any case. */
  readonly search: string | undefined;
};

export type FileRecord = {
  readonly fileId: string;
  readonly conversationId: string;
  readonly name: string;
  readonly mimeType: string;
  readonly bytes: Uint8Array;
  readonly createdAtMs: number;
};

export interface Store {
  /** For people: `memory`, `PGlite in DIR`, `Postgres at HOST`. Holds no password. */
  readonly name: string;
  /** Opens and migrates; the other methods wait for it. The first call of any method does it too. */
  open(): Promise<void>;
  close(): Promise<void>;

  /** Version 1. Fails with `config` when the id is taken. */
  createAgent(agent: Omit<AgentRecord, 'version'>): Promise<AgentRecord>;
  /** The newest version, or the one named. */
  agent(agentId: string, version?: number): Promise<AgentRecord | undefined>;
  /** Writes a new version if `fromVersion` is still the newest; undefined when it is not, or there is no such agent. */
  updateAgent(agent: Omit<AgentRecord, 'version' | 'createdAtMs'>, fromVersion: number): Promise<AgentRecord | undefined>;
  agents(query: AgentQuery): Promise<Page<AgentRecord>>;
  /** With all versions. False when there was none. Conversations stay. */
  deleteAgent(agentId: string): Promise<boolean>;

  /** Writes or replaces it. */
  putResource(resource: Resource): Promise<void>;
  resource(kind: ResourceKind, id: string): Promise<Resource | undefined>;
  /** Oldest first. */
  resources(kind: ResourceKind): Promise<readonly Resource[]>;
  deleteResource(kind: ResourceKind, id: string): Promise<boolean>;

  /**
   * The first word stands: a head for an id that is known is dropped. False when it is that of another conversation: one that has ended, or
   * that began at another instant.
   */
  beginConversation(head: ConversationHead): Promise<boolean>;
  /** Writes or replaces one item; durable when it resolves. Items of an unknown conversation are dropped. */
  putItem(conversationId: string, item: TranscriptItem): Promise<void>;
  endConversation(conversationId: string, ending: ConversationEnding): Promise<void>;
  /** Merges into the document, shallowly (feedback after the call, for one). False when there is no such conversation. */
  amendConversation(conversationId: string, change: Json): Promise<boolean>;
  conversation(conversationId: string): Promise<ConversationRecord | undefined>;
  /** Newest first. */
  conversations(query: ConversationQuery): Promise<Page<ConversationSummary>>;
  /** With its transcript and its files. False when there was none; its files go all the same. */
  deleteConversation(conversationId: string): Promise<boolean>;
  /** Conversations still in progress that began before `startedBeforeMs` and that no living process of this engine holds: ended as `failed`. Returns their ids. */
  closeAbandoned(startedBeforeMs: number, ending: ConversationEnding): Promise<readonly string[]>;
  /**
   * Conversations whose end nobody was told of and should have been by `atMs`, longest due first, at most 20. They are put off for a minute, or
   * for half of the time since their end, so that nobody else claims them meanwhile.
   */
  claimUntold(atMs: number): Promise<readonly { readonly conversationId: string; readonly endedAtMs: number }[]>;
  /** Nobody has to be told any more. */
  told(conversationId: string): Promise<void>;
  /** Ids of conversations of which, by their own documents (`due.ts`), something had to go by `atMs`, longest due first, at most 100. */
  dueConversations(atMs: number): Promise<readonly string[]>;

  /** Writes or replaces it; the conversation need not be known. */
  putFile(file: FileRecord): Promise<void>;
  file(fileId: string): Promise<FileRecord | undefined>;
  deleteFile(fileId: string): Promise<boolean>;
}
