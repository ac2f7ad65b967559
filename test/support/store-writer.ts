/**
 * A process that is going to be killed: opens the store of the folder in its first argument, begins conversations and writes items to all of
 * them at once without end. What the store has acknowledged is told on standard output, one `conversation index` a line.
 */
import { writeSync } from 'node:fs';
import { openStore } from '../../src/store/open.js';

const folder = process.argv[2]!;
const run = process.argv[3]!;
const store = openStore({ kind: 'pglite', folder });
await store.open();
writeSync(1, 'open\n');

async function converse(conversationId: string): Promise<void> {
  const startedAtMs = Date.now();
  await store.beginConversation({ conversationId, agentId: 'a', agentVersion: 1, userId: undefined, startedAtMs, document: {} });
  for (let index = 0; ; index += 1) {
    // Rows of many sizes, and now and then one that takes several pages.
    const message = `${conversationId} ${index} ${'x'.repeat(index % 50 === 0 ? 30_000 : (index * 37) % 900)}`;
    await store.putItem(conversationId, { index, document: { role: 'user', message } });
    writeSync(1, `${conversationId} ${index}\n`);
  }
}

await Promise.all(['one', 'two', 'three', 'four'].map((name) => converse(`conv_${run}_${name}`)));
