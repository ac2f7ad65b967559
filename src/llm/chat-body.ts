/** Messages and tools in the form of OpenAI's chat completions. Conversation thread. */
import type { ChatMessage, ToolSpec } from './port.js';

export type BodyMessage =
  | { role: 'system' | 'user'; content: string }
  | { role: 'assistant'; content: string | null; tool_calls?: BodyToolCall[] }
  | { role: 'tool'; content: string; tool_call_id: string };

export type BodyToolCall = { id: string; type: 'function'; function: { name: string; arguments: string } };

export type BodyTool = { type: 'function'; function: { name: string; description: string; parameters: Record<string, unknown> } };

export function bodyMessages(messages: readonly ChatMessage[]): BodyMessage[] {
  return messages.map((message) => {
    if (message.role === 'tool') return { role: 'tool', content: message.content, tool_call_id: message.toolCallId };
    if (message.role !== 'assistant') return { role: message.role, content: message.content };
    const calls = message.toolCalls ?? [];
    if (calls.length === 0) return { role: 'assistant', content: message.content };
    return {
      role: 'assistant',
      // Some servers refuse an empty text beside tool calls; none refuses that there is none.
      content: message.content === '' ? null : message.content,
      tool_calls: calls.map(({ id, name, argumentsJson }) => ({
        id,
        type: 'function',
        function: { name, arguments: argumentsJson },
      })),
    };
  });
}

/** `tools` as a part of the body; nothing when there are none, because some servers refuse an empty list. */
export function bodyTools(tools: readonly ToolSpec[]): { tools?: BodyTool[] } {
  if (tools.length === 0) return {};
  return {
    tools: tools.map(({ name, description, parameters }) => ({
      type: 'function',
      function: { name, description, parameters: { ...parameters } },
    })),
  };
}
