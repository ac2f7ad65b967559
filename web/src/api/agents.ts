/** The engine's agents, over REST. */
import type { AgentDocument } from '../agents/document.js';
import { request } from './http.js';

export type AgentRow = { readonly agent_id: string; readonly name: string };
export type AgentPage = {
  readonly agents: readonly AgentRow[];
  readonly has_more: boolean;
  readonly next_cursor?: string | null;
};

/** Of a key that is unknown or without effect; told by whoever wrote it. */
type Warning = { readonly loc: readonly (string | number)[]; readonly msg: string };
export type AgentBody = AgentDocument & { readonly agent_id: string; readonly warnings?: readonly Warning[] };

const base = '/v1/convai/agents';
const at = (agentId: string): string => `${base}/${encodeURIComponent(agentId)}`;

export function listAgents(search: string, cursor: string, signal?: AbortSignal): Promise<AgentPage> {
  const query = new URLSearchParams({ page_size: '30' });
  if (search !== '') query.set('search', search);
  if (cursor !== '') query.set('cursor', cursor);
  return request(`${base}?${query}`, { signal });
}

export function readAgent(agentId: string, signal?: AbortSignal): Promise<AgentBody> {
  return request(at(agentId), { signal });
}

export async function createAgent(document: AgentDocument): Promise<string> {
  const { agent_id } = await request<{ agent_id: string }>(`${base}/create`, { method: 'POST', body: document });
  return agent_id;
}

export function updateAgent(agentId: string, document: AgentDocument): Promise<AgentBody> {
  return request(at(agentId), { method: 'PATCH', body: document });
}

export async function duplicateAgent(agentId: string): Promise<string> {
  const { agent_id } = await request<{ agent_id: string }>(`${at(agentId)}/duplicate`, { method: 'POST', body: {} });
  return agent_id;
}

export function deleteAgent(agentId: string): Promise<void> {
  return request(at(agentId), { method: 'DELETE' });
}

/** An address that opens one conversation, for agents that are not open to everybody. */
export async function signedUrl(agentId: string): Promise<string> {
  const query = new URLSearchParams({ agent_id: agentId });
  const { signed_url } = await request<{ signed_url: string }>(`/v1/convai/conversation/get-signed-url?${query}`);
  return signed_url;
}
