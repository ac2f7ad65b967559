/** An MCP server as a program that speaks over its standard streams. With `garbage` it says nonsense first. */
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { mcpSession, mcpTool, offering, text } from './mcp-server.js';

if (process.argv.includes('garbage')) process.stdout.write('Welcome!\n{"half":\n');
const call = () => text(JSON.stringify({ key: process.env['TEST_KEY'], path: process.env['GROQ_API_KEY'] ?? 'no key of ours' }));
await mcpSession(offering({ tools: [mcpTool('environment')], call })).connect(new StdioServerTransport());
