/** The dashboard in a real browser while a provider fails: which breaker is open, under the name of its provider. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';
import { test } from 'tap';
import { startProviders } from '../../load/providers/server.js';
import { Client, startStack } from '../support/engine.js';

const names = ['chromium', 'chromium-browser', 'google-chrome'];
const candidates = (process.env['PATH'] ?? '').split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
const executablePath = process.env['CHROMIUM'] ?? candidates.find((path) => existsSync(path));
const skip =
  executablePath === undefined ? 'there is no Chromium here (CHROMIUM names one): the dashboard is not looked at' : false;

test('breakers on the dashboard', { skip }, async (t) => {
  const fallback = await startProviders({ profile: 'instant', port: 0 });
  const stack = await startStack({
    PARLEY_STT: 'groq,openai',
    PARLEY_LLM: 'groq,openai',
    PARLEY_TTS: 'elevenlabs,openai',
    PARLEY_HEDGE: '0',
    OPENAI_API_KEY: 'test',
    OPENAI_BASE_URL: `${fallback.url}/v1`,
  });
  t.teardown(async () => {
    await stack.stop();
    await fallback.close();
  });
  const order = await fetch(`${stack.providers.url}/_simulator/faults`, {
    method: 'POST',
    body: JSON.stringify({ faults: [{ endpoint: 'llm', kind: 'status', status: 401, times: 100 }] }),
  });
  t.equal(order.status, 200);
  const client = await Client.open(stack, 'quiet');
  client.send({ type: 'user_message', text: 'who answers?' });
  await client.event('agent_response');
  const browser = await chromium.launch({
    executablePath: executablePath!,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  });
  t.teardown(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(15_000);
  await page.goto(`${stack.http}/dashboard`);
  const row = (stage: string) => page.getByRole('row').filter({ hasText: stage }).filter({ hasText: 'openai' });
  await row('Language model')
    .filter({ hasText: /groq open/ })
    .waitFor();
  t.match(await row('Language model').textContent(), /groq openopenai closed/);
  t.match(await row('Recognition').textContent(), /groq closedopenai closed/);
  t.match(await row('Synthesis').textContent(), /elevenlabs closedopenai closed/);
  const picture = process.env['PARLEY_TEST_PICTURE'];
  if (picture !== undefined) await row('Language model').locator('xpath=ancestor::table').screenshot({ path: picture });
  await client.close();
});
