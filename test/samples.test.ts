/** The sample agents and the reference of their settings: the files are good, the agent answers, and docs/agents.md says what the code does. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { checkWritten } from '../src/api/agent-documents.js';
import { agentKeyWarnings } from '../src/api/agent-keys.js';
import { EmbeddedResponder } from '../src/llm/embedded/responder.js';
import type { ChatMessage } from '../src/llm/port.js';
import { loadAgents, parseAgent, turnSettingsOf } from '../src/store/agents.js';
import { defaultAgent } from '../src/store/default-agent.js';
import { turnDefaults, turnRanges } from '../src/turn/settings.js';

const root = new URL('../../', import.meta.url);
const folder = fileURLToPath(new URL('samples/agents/', root));

test('the sample agents are taken as they are, and nothing in them does nothing', (t) => {
  const warnings: unknown[] = [];
  const agents = loadAgents(folder, parseAgent(defaultAgent, 'built in'), {
    check: checkWritten,
    onRead: (_, document) => warnings.push(...agentKeyWarnings(document)),
  });
  t.equal(agents.size, readdirSync(folder).length + 1);
  t.same(warnings, []);
  t.match(turnSettingsOf(agents.get('bakery')!), {
    delaySpellingMs: 2000,
    idlePromptsMax: 3,
    idleMs: 10_000,
    silenceEndMs: 60_000,
  });
  t.end();
});

test('the bakery answers what its grammar knows', async (t) => {
  const { parley } = loadAgents(folder, parseAgent(defaultAgent, 'built in')).get('bakery')!;
  const responder = new EmbeddedResponder({ now: () => new Date(2026, 0, 5, 15, 5) });
  const messages: ChatMessage[] = [];
  const ask = async (content: string): Promise<{ text: string; calls: number }> => {
    messages.push({ role: 'user', content });
    const answer = { text: '', calls: 0 };
    const { signal } = new AbortController();
    const request = { messages, tools: [], model: '', temperature: 0, maxTokens: 100, grammar: parley.grammar, signal };
    for await (const delta of responder.stream(request)) {
      if (delta.type === 'text') answer.text += delta.text;
      if (delta.type === 'tool_call') answer.calls += 1;
    }
    messages.push({ role: 'assistant', content: answer.text });
    return answer;
  };
  t.match(await ask('I would like twelve rolls please'), { text: 'That is twelve rolls. What is your phone number?', calls: 0 });
  t.match(await ask('555 0199'), { text: 'I noted five five five zero one nine nine. Thank you.' });
  t.match(await ask('When are you open?'), { text: /seven to six.* three oh five p m now/ });
  t.match(await ask('say that again'), { text: /seven to six/ });
  t.match(await ask('ten thousand cakes'), { text: /did not catch/ });
  t.match(await ask('goodbye'), { text: /Goodbye/, calls: 1 });
});

test('docs/agents.md: every setting of parley.turn with its default and its range', (t) => {
  const text = readFileSync(new URL('docs/agents.md', root), 'utf8');
  const rows = [...text.matchAll(/^\| `(\w+)` \| (-?[\d.]+) \| (-?[\d.]+) \.\. (-?[\d.]+) \| (.+) \|$/gm)];
  const told = rows
    .filter(([, name]) => name! in turnRanges)
    .map(([, name, fallback, min, max]) => [name, Number(fallback), [Number(min), Number(max)]]);
  t.same(
    told,
    Object.entries(turnRanges).map(([name, range]) => [name, turnDefaults[name as keyof typeof turnRanges], range]),
  );
  for (const [name, [min, max]] of Object.entries(turnRanges)) {
    const check = (value: number): boolean => checkWritten({ agent_id: 'a', parley: { turn: { [name]: value } } }).ok;
    t.same([check(min), check(max), check(min - 0.01), check(max + 0.01)], [true, true, false, false], name);
  }
  t.end();
});
