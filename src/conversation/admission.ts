/** Whether a caller is let in to an agent: what the agent demands against what the caller showed at the door. Pure; conversation thread. */
import type { AgentConfig } from '../store/agents.js';
import type { HandshakeFacts } from './links.js';

/** Told by a close frame before any event; `reason` has at most 123 bytes. */
export type Refused = { readonly code: 3000 | 3008; readonly reason: string };

export const unknownAgent: Refused = { code: 3000, reason: 'Unknown agent. Check agent_id.' };

/** Undefined: welcome. `agent` is undefined when nobody knows one of that name. */
export function admit(
  agent: AgentConfig | undefined,
  facts: Pick<HandshakeFacts, 'access' | 'origin' | 'agentCalls'>,
): Refused | undefined {
  const { access, origin, agentCalls } = facts;
  if (access.kind === 'refused') return { code: 3000, reason: access.reason };
  if (agent === undefined) return unknownAgent;
  const { auth, call_limits: limits } = agent.platform_settings;
  if (access.kind === 'signed' && access.agentId !== agent.agent_id) {
    return { code: 3000, reason: 'The signed URL is for another agent.' };
  }
  if (auth.enable_auth && access.kind === 'none') {
    return { code: 3000, reason: 'This agent needs authorization: open a signed URL.' };
  }
  if (origin === '' && auth.require_origin_header) {
    return { code: 3000, reason: 'This agent is for browsers only: no Origin was sent.' };
  }
  const allowlist = auth.allowlist.map(({ hostname }) => hostname);
  if (origin !== '' && allowlist.length > 0 && !allowlist.some((entry) => matches(entry, origin))) {
    return { code: 3000, reason: 'This web page is not allowed to talk to the agent.' };
  }
  const { agent_concurrency_limit: callsMax } = limits;
  if (callsMax >= 0 && agentCalls > callsMax) {
    return { code: 3008, reason: 'Too many conversations with this agent. Please try again later.' };
  }
  return undefined;
}

/** `entry`: `example.org` (any port), `localhost:5173`, or with a scheme, `https://example.org`. The `Origin` of a sandbox is `null`: no match. */
function matches(entry: string, origin: string): boolean {
  if (!URL.canParse(origin)) return false;
  const from = new URL(origin);
  const wanted = entry.trim().toLowerCase().replace(/\/+$/, '');
  return wanted.includes('://') ? wanted === from.origin : wanted === from.hostname || wanted === from.host;
}
