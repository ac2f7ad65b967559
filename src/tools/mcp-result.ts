/** The answer of an MCP tool as text for the model and as blocks for the client. Bytes (images, sound) are named, never passed on. Pure; API thread. */
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';

const blocksMax = 64;

type TextBlock = { readonly type: 'text'; readonly text: string };
type Content = CallToolResult['content'][number];

/** Text of all blocks, one after the other; structured content only when there is no block, as servers say it twice. */
export function mcpText(result: CallToolResult): string {
  const texts = result.content.slice(0, blocksMax).map(textOfBlock);
  if (texts.length > 0) return texts.join('\n');
  return result.structuredContent === undefined ? '' : JSON.stringify(result.structuredContent);
}

/** For the client: at most 64 blocks, together at most `charsMax` characters of text. */
export function mcpBlocks(result: CallToolResult, charsMax: number): TextBlock[] {
  let left = charsMax;
  return result.content.slice(0, blocksMax).map((content) => {
    const text = textOfBlock(content).slice(0, left);
    left -= text.length;
    return { type: 'text', text };
  });
}

function textOfBlock(content: Content): string {
  switch (content.type) {
    case 'text':
      return content.text;
    case 'image':
    case 'audio':
      return `[${content.type}, ${shortened(content.mimeType)}, ${bytesOf(content.data)} bytes, not shown]`;
    case 'resource_link':
      return `[${shortened(content.name)}: ${shortened(content.uri)}]`;
    case 'resource':
      return 'text' in content.resource
        ? content.resource.text
        : `[${shortened(content.resource.uri)}, ${bytesOf(content.resource.blob)} bytes, not shown]`;
  }
}

function shortened(text: string): string {
  return text.slice(0, 500);
}

/** Of the bytes that a base64 text stands for. */
function bytesOf(base64: string): number {
  return Math.floor((base64.length * 3) / 4);
}
