/** The second view: all agents, or one of them in the editor. */
import { useEffect, useState } from 'preact/hooks';
import { type AgentRow, createAgent, deleteAgent, duplicateAgent, listAgents } from '../api/agents.js';
import { messageOf } from '../api/http.js';
import { ConfirmDialog, type Question } from '../confirm-dialog.js';
import { useListing } from '../listing.js';
import { go, pathOf } from '../route.js';
import { AgentEditor } from './agent-editor.js';
import { newAgent } from './document.js';

export function AgentsView({ agentId }: { agentId: string }) {
  return agentId === '' ? <AgentList /> : <AgentEditor key={agentId} agentId={agentId} />;
}

function AgentList() {
  const [search, setSearch] = useState('');
  const [question, setQuestion] = useState<Question | undefined>(undefined);
  const [problem, setProblem] = useState('');
  const listing = useListing<AgentRow>(search, async (cursor, signal) => {
    const page = await listAgents(search, cursor, signal);
    return { items: page.agents, nextCursor: page.has_more ? (page.next_cursor ?? '') : '' };
  });
  useEffect(() => setProblem(''), [search]);

  const attempt = (act: () => Promise<void>) => (): void => {
    setProblem('');
    act().catch((error: unknown) => setProblem(messageOf(error)));
  };
  const create = attempt(async () => go('agents', await createAgent(newAgent)));
  const duplicate = (id: string) => attempt(async () => go('agents', await duplicateAgent(id)));
  const remove = ({ agent_id, name }: AgentRow): void =>
    setQuestion({
      title: `Delete “${name || agent_id}”?`,
      text: 'The agent and all its versions are gone then. Conversations with it stay.',
      verb: 'Delete',
      act: attempt(async () => {
        await deleteAgent(agent_id);
        listing.reload();
      }),
    });

  return (
    <div class="page">
      <div class="page-head">
        <h1>Agents</h1>
        <input
          type="search"
          aria-label="Search agents by name"
          placeholder="Search"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
        <button type="button" class="primary" onClick={create}>
          New agent
        </button>
      </div>
      {(problem || listing.problem) !== '' && (
        <p class="problem" role="alert">
          {problem || listing.problem}
        </p>
      )}
      <ul class="rows" aria-busy={listing.isLoading}>
        {listing.items.map((agent) => (
          <li key={agent.agent_id} class="row">
            <a class="row-main" href={pathOf('agents', agent.agent_id)}>
              <strong>{agent.name || '(no name)'}</strong>
              <small class="quiet id">{agent.agent_id}</small>
            </a>
            <div class="row-actions">
              <a class="button small" href={pathOf('talk', agent.agent_id)} aria-label={`Talk to ${agent.name}`}>
                Talk
              </a>
              <button type="button" class="small" onClick={duplicate(agent.agent_id)} aria-label={`Duplicate ${agent.name}`}>
                Duplicate
              </button>
              <button type="button" class="small quiet-danger" onClick={() => remove(agent)} aria-label={`Delete ${agent.name}`}>
                Delete
              </button>
            </div>
          </li>
        ))}
      </ul>
      {listing.isEmpty && (
        <p class="quiet empty">{search === '' ? 'There is no agent yet.' : `No agent has “${search}” in its name.`}</p>
      )}
      {listing.hasMore && (
        <button type="button" class="more" onClick={listing.more}>
          Show more
        </button>
      )}
      <ConfirmDialog question={question} onClose={() => setQuestion(undefined)} />
    </div>
  );
}
