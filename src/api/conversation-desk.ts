/**
 * What the conversation threads tell and ask: begin, items and end are written down; agents, tools and files are looked up and answered.
 * API thread. Whatever fails here is answered or counted; the call goes on in any case.
 */
import { problemOf } from '../shared/errors.js';
import type { ConversationEnding, Store, TranscriptItem } from '../store/port.js';
import { systemToolNames } from '../store/tool-config.js';
import { checkMcpServer, type McpServerConfig } from '../tools/mcp-config.js';
import type { ToolOutcome } from '../tools/port.js';
import type { ToolRunner } from '../tools/runner.js';
import { checkWebhook } from '../tools/webhook-config.js';
import type { AgentDirectory } from './agent-directory.js';
import type { ConversationBook } from './conversation-book.js';
import type { FromApi, ToApi } from './links.js';
import type { Recordings } from './recording.js';
import type { ToolUsage } from './tool-usage.js';

/** Files of one message that go to the language model. */
const filesMax = 10;
/** An agent that takes longer to look up (a store is opened within seconds at the first start) is said to be unavailable for now. */
const lookupPatienceMs = 300;

export type DeskParts = {
  readonly store: Store;
  readonly directory: AgentDirectory;
  readonly conversations: ConversationBook;
  readonly tools: ToolRunner;
  readonly toolUsage: ToolUsage;
  /** Undefined: nothing is recorded here. */
  readonly recordings: Recordings | undefined;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  /** When, at the latest, somebody else is to tell of a conversation that is over now; undefined: nobody has to be told. */
  readonly tellAtMs?: () => number | undefined;
  /** A conversation is over and everything of it is written. */
  readonly onOver: (conversationId: string, agentId: string) => Promise<void>;
  readonly log: (event: string, fields: Record<string, string | number>) => void;
};

export class ConversationDesk {
  readonly #parts: DeskParts;
  /** Last acts of conversations, by id. */
  readonly #endings = new Map<string, Promise<void>>();

  constructor(parts: DeskParts) {
    this.#parts = parts;
  }

  /** `answer` goes to the thread that asked. Never throws. */
  receive(message: ToApi, answer: (message: FromApi) => void): void {
    const { conversationId } = message;
    const { conversations, recordings, tools } = this.#parts;
    switch (message.type) {
      case 'begin':
        conversations.begin(message.head, () => {
          recordings?.discard(conversationId);
          answer({ conversationId, type: 'begin_refused' });
        });
        if (message.recording !== undefined) recordings?.begin(conversationId, message.recording);
        return;
      case 'item':
        conversations.item(conversationId, stamped(message.item, this.#parts.nowMs()));
        return;
      case 'feedback_item':
        conversations.feedback(conversationId, message.eventId, message.feedback);
        return;
      case 'end':
        this.#end(conversationId, message.ending);
        return;
      case 'cancel_tool':
        tools.cancel(conversationId, message.toolCallId);
        return;
      case 'find_agent':
        this.#try(conversationId, () => this.#findAgent(conversationId, message.agentId, answer));
        return;
      case 'run_tool':
        this.#try(conversationId, () => this.#runTool(message, answer));
        return;
      case 'open_mcp':
        this.#try(conversationId, () => this.#openMcp(message, answer));
        return;
      case 'get_files':
        this.#try(conversationId, () => this.#getFiles(conversationId, message.fileIds, answer));
        return;
    }
  }

  /** Resolves when the conversations that are over have had their last acts. */
  async settled(): Promise<void> {
    await Promise.all(this.#endings.values());
  }

  /** Whether the conversation is over, but not yet done with. */
  isEnding(conversationId: string): boolean {
    return this.#endings.has(conversationId);
  }

  #end(conversationId: string, ending: ConversationEnding): void {
    const { conversations, recordings, tools, store, onOver } = this.#parts;
    const agentId = conversations.live(conversationId)?.agentId ?? '';
    const tellAtMs = this.#parts.tellAtMs?.();
    tools.release(conversationId);
    const last = async (): Promise<void> => {
      const recorded = recordings?.end(conversationId);
      const isOurs = await conversations.end(conversationId, tellAtMs === undefined ? ending : { ...ending, tellAtMs });
      const facts = await recorded;
      if (!isOurs) return;
      if (facts !== undefined) {
        const recording = {
          duration_secs: Math.round(facts.durationMs / 100) / 10,
          has_user_audio: facts.hasCallerAudio,
          has_response_audio: facts.hasAgentAudio,
          missed_samples: facts.missedSamples,
          problem: facts.problem?.message ?? null,
        };
        await this.#try(conversationId, async () => void (await store.amendConversation(conversationId, { recording })));
      }
      await onOver(conversationId, agentId);
    };
    const ended = this.#try(conversationId, last).finally(() => {
      if (this.#endings.get(conversationId) === ended) this.#endings.delete(conversationId);
    });
    this.#endings.set(conversationId, ended);
  }

  async #findAgent(conversationId: string, agentId: string, answer: (message: FromApi) => void): Promise<void> {
    const unavailable = (): void => answer({ conversationId, type: 'agent_unavailable', agentId });
    const patience = setTimeout(unavailable, lookupPatienceMs);
    try {
      await this.#parts.directory.find(agentId, (found) => {
        answer({ conversationId, type: 'agent', agentId, agent: found?.agent, version: found?.version ?? 0 });
      });
    } catch (error) {
      unavailable();
      throw error;
    } finally {
      clearTimeout(patience);
    }
  }

  async #runTool(ask: Extract<ToApi, { type: 'run_tool' }>, answer: (message: FromApi) => void): Promise<void> {
    const { conversationId, run, agent, variables } = ask;
    const { tools, toolUsage } = this.#parts;
    const config = agent.conversation_config.agent.prompt.tools.find(({ name, type }) => type === 'webhook' && name === run.name);
    const webhook = config === undefined ? undefined : checkWebhook(config);
    const outcome: ToolOutcome =
      webhook?.ok === false
        ? { isError: true, result: `the tool is not set up: ${webhook.issues[0].message}`, isTruncated: false, elapsedMs: 0 }
        : await tools.run({ conversationId, run, webhook: webhook?.value, variables });
    toolUsage.add(run.name, outcome.elapsedMs);
    answer({ conversationId, type: 'tool_outcome', toolCallId: run.toolCallId, outcome });
  }

  async #openMcp(ask: Extract<ToApi, { type: 'open_mcp' }>, answer: (message: FromApi) => void): Promise<void> {
    const { conversationId, agent, variables = {} } = ask;
    const { store, tools, conversations } = this.#parts;
    const { prompt } = agent.conversation_config.agent;
    const servers: McpServerConfig[] = [];
    for (const serverId of prompt.mcp_server_ids) {
      const checked = checkMcpServer(serverId, (await store.resource('mcp_server', serverId))?.document['config']);
      if (checked.ok) servers.push(checked.value);
      else
        this.#parts.log('mcp.problem', {
          conversation_id: conversationId,
          server_id: serverId,
          message: checked.issues[0].message,
        });
    }
    // It may be over by now; nobody would give the servers back.
    if (!conversations.isLive(conversationId)) return;
    tools.openMcp({
      conversationId,
      servers,
      variables,
      takenNames: [...prompt.tools.map(({ name }) => name), ...systemToolNames],
      onOffer: (offer) => answer({ conversationId, type: 'mcp_tools', tools: offer.tools, servers: offer.servers }),
    });
  }

  async #getFiles(conversationId: string, fileIds: readonly string[], answer: (message: FromApi) => void): Promise<void> {
    const found: Extract<FromApi, { type: 'files' }>['files'][number][] = [];
    for (const fileId of fileIds.slice(0, filesMax)) {
      const file = await this.#parts.store.file(fileId);
      // Files of other conversations are nobody's business here.
      if (file?.conversationId !== conversationId) continue;
      found.push({ fileId, name: file.name, mimeType: file.mimeType, base64: Buffer.from(file.bytes).toString('base64') });
    }
    answer({ conversationId, type: 'files', files: found });
  }

  async #try(conversationId: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#problem(conversationId, error);
    }
  }

  #problem(conversationId: string, error: unknown): void {
    const { kind, message } = problemOf(error);
    this.#parts.log('api.problem', { conversation_id: conversationId, kind, message });
  }
}

/** With the instant at which it was told: after a crash, that is how long the call is known to have lasted. */
function stamped({ index, document }: TranscriptItem, toldAtMs: number): TranscriptItem {
  return { index, document: { ...document, told_at_ms: toldAtMs } };
}
