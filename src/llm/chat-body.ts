/** Messages and tools in the form of OpenAI's chat completions. Conversation thread. */
import type { ChatFile, ChatMessage, ToolSpec } from './port.js';

export type BodyMessage<Part> =
  | { role: 'system'; content: string }
  | { role: 'user'; content: string | (Part | TextPart)[] }
  | { role: 'assistant'; content: string | null; tool_calls?: BodyToolCall[] }
  | { role: 'tool'; content: string; tool_call_id: string };

export type TextPart = { type: 'text'; text: string };
export type ImagePart = { type: 'image_url'; image_url: { url: string } };
export type FilePart = { type: 'file'; file: { filename: string; file_data: string } };

export type BodyToolCall = { id: string; type: 'function'; function: { name: string; arguments: string } };

export type BodyTool = { type: 'function'; function: { name: string; description: string; parameters: Record<string, unknown> } };

/** `partOf`: how the server takes an uploaded file. */
export function bodyMessages<Part>(
  messages: readonly ChatMessage[],
  partOf: (file: ChatFile) => Part | TextPart,
): BodyMessage<Part>[] {
  return messages.map((message) => {
    if (message.role === 'tool') return { role: 'tool', content: message.content, tool_call_id: message.toolCallId };
    if (message.role === 'system') return { role: 'system', content: message.content };
    if (message.role === 'user')
      return { role: 'user', content: userContent(message.content, (message.files ?? []).map(partOf)) };
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

function userContent<Part>(text: string, parts: readonly (Part | TextPart)[]): string | (Part | TextPart)[] {
  return parts.length === 0 ? text : [{ type: 'text', text }, ...parts];
}

/** Pictures as such, anything else by its name and bytes. */
export function anyPart(file: ChatFile): ImagePart | FilePart {
  const image = imagePart(file);
  return image.type === 'image_url' ? image : { type: 'file', file: { filename: file.name, file_data: dataUrl(file) } };
}

/** Pictures as such; of anything else only that it is there. */
export function imagePart(file: ChatFile): ImagePart | TextPart {
  if (file.mimeType.startsWith('image/')) return { type: 'image_url', image_url: { url: dataUrl(file) } };
  return { type: 'text', text: `(The file ${file.name} cannot be read by this model.)` };
}

const dataUrl = ({ mimeType, base64 }: ChatFile): string => `data:${mimeType};base64,${base64}`;

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
