/**
 * The console in a real browser against the real engine on its embedded providers: a spoken conversation through the official client, an
 * interruption, typing, an agent edited, the history. The microphone is a file that the embedded voice has spoken.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { type Test, test } from 'tap';
import { resample } from '../src/audio/resample.js';
import { writeWav } from '../src/audio/wav.js';
import { readConfig } from '../src/config.js';
import { Engine } from '../src/engine.js';
import { hz } from '../src/shared/units.js';
import { defaultAgent } from '../src/store/default-agent.js';
import { fliteRateHz, loadFlite } from '../src/tts/embedded/flite.js';
import { turnDefaults } from '../src/turn/settings.js';

const names = ['chromium', 'chromium-browser', 'google-chrome'];
const candidates = (process.env['PATH'] ?? '').split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
const executablePath = process.env['CHROMIUM'] ?? candidates.find((path) => existsSync(path));
const skip = executablePath === undefined ? 'there is no Chromium here (CHROMIUM names one): the console is not tested' : false;

const microphoneRateHz = hz(48_000);
/** What the caller says, and how long after the start of the file or the phrase before. The file plays from when the microphone is opened. */
const script = [
  { afterMs: 2200, phrase: 'tell me a story' },
  { afterMs: 3200, phrase: 'stop' },
] as const;
const tailMs = 60_000;
const recognitionWaitMs = turnDefaults.sttWaitMs;

async function microphoneFile(path: string): Promise<void> {
  const flite = await loadFlite();
  const parts: Int16Array[] = [];
  for (const { afterMs, phrase } of script) {
    parts.push(new Int16Array((afterMs * fliteRateHz) / 1000), flite.synthesise(phrase, { voice: 'rms' }).audio);
  }
  parts.push(new Int16Array((tailMs * fliteRateHz) / 1000));
  const samples = new Int16Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    samples.set(part, at);
    at += part.length;
  }
  writeFileSync(path, writeWav({ channels: [resample(samples, fliteRateHz, microphoneRateHz)], rateHz: microphoneRateHz }));
}

function launch(microphone: string): Promise<Browser> {
  return chromium.launch({
    executablePath: executablePath!,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
      ...['--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
      ...['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream'],
      `--use-file-for-fake-audio-capture=${microphone}%noloop`,
    ],
  });
}

/** Runs in the page: how far it sticks out of the screen, and the controls that have no name. */
const inspection = `({
  overflowPx: document.documentElement.scrollWidth - innerWidth,
  nameless: [...document.querySelectorAll('button, input, select, textarea, a')]
    .filter((control) => {
      const labels = [...(control.labels ?? [])].map((label) => label.textContent);
      return [control.getAttribute('aria-label'), control.textContent, ...labels].join('').trim() === '';
    })
    .map((control) => control.outerHTML),
})`;

/** No view is wider than the screen, and every control has a name. */
async function looksRight(t: Test, page: Page, view: string): Promise<void> {
  const found = await page.evaluate<{ overflowPx: number; nameless: string[] }>(inspection);
  t.equal(found.overflowPx, 0, `${view}: nothing sticks out`);
  t.same(found.nameless, [], `${view}: every control has a name`);
}

test('the console', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-console-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const agent = structuredClone(defaultAgent) as Record<string, unknown> & typeof defaultAgent;
  agent.conversation_config.agent.first_message = 'Hello, this is Parley.';
  const greeter = {
    agent_id: 'greeter',
    name: 'Greeter',
    conversation_config: {
      agent: {
        first_message: 'Hello {{name}} from {{city}}.',
        dynamic_variables: { dynamic_variable_placeholders: { name: 'friend' } },
      },
    },
  };
  writeFileSync(join(folder, 'agents.json'), JSON.stringify([agent, greeter]));
  const microphone = join(folder, 'microphone.wav');
  await microphoneFile(microphone);
  const config = readConfig({
    PARLEY_PORT: '0',
    PARLEY_SESSIONS_MAX: '4',
    PARLEY_LOG: 'silent',
    PARLEY_AGENTS: join(folder, 'agents.json'),
    PARLEY_STORE: 'memory',
    PARLEY_RECORDINGS: join(folder, 'recordings'),
  });
  const engine = await Engine.start(config, (error) => {
    throw error;
  });
  t.teardown(() => engine.stop(0));
  const browser = await launch(microphone);
  t.teardown(() => browser.close());
  const url = `http://127.0.0.1:${engine.port}`;
  const context = await browser.newContext({ permissions: ['microphone'], viewport: { width: 1280, height: 860 } });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const foreign: string[] = [];
  const complaints: string[] = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('blob:')) foreign.push(request.url());
  });
  page.on('console', (message) => {
    // A refused request is part of the test; the browser writes a line for each.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.stack ?? error.message));

  const lines = page.locator('.transcript li');
  const state = page.locator('.state');
  const textOf = async (selector: string): Promise<string> => (await page.locator(selector).last().textContent()) ?? '';

  await t.test('a spoken question is answered aloud, and a spoken interruption strikes out what was not heard', async (t) => {
    await page.goto(url);
    await page.locator('select option', { hasText: 'Parley' }).waitFor({ state: 'attached' });
    await looksRight(t, page, 'talk');
    await page.keyboard.press('Space');
    await lines.filter({ hasText: 'Hello, this is Parley.' }).waitFor();
    await lines.filter({ hasText: 'tell me a story' }).and(page.locator('.caller:not(.tentative)')).waitFor();
    await page.locator('.transcript .agent del').waitFor();
    await lines.filter({ hasText: 'stop' }).and(page.locator('.caller:not(.tentative)')).waitFor();
    const [heard, unheard] = [await textOf('.agent:has(del) > span:nth-child(2)'), await textOf('.agent del')];
    t.match(heard, /^(Once there was a lighthouse|There was once a clockmaker)/, 'some of the story was heard');
    t.ok(unheard.length > 20, 'most of it was not');
    await page.locator('.agent:not(:has(del))', { hasText: /quiet|Stopped/ }).waitFor();
    await page.locator('.waterfall').nth(1).waitFor();
    const stages = page.locator('.waterfall').last().locator('tr');
    await stages.filter({ hasText: 'Playing' }).waitFor();
    const rows = await stages.allTextContents();
    const endOfTurnMs = Number(rows.map((row) => /^End of turn(\d+)$/.exec(row)?.[1]).find((ms) => ms !== undefined));
    // A turn whose recognition was not done when its time was up is answered by what was heard so far, and has no such stage: busy machines.
    const isRecognised = rows.some((row) => /^Recognition\d+$/.test(row));
    t.ok(endOfTurnMs >= (isRecognised ? 0 : recognitionWaitMs), rows.join(', '));
    const marks = (await page.locator('.lanes canvas').getAttribute('aria-label')) ?? '';
    t.match(marks, /Last mark: first audio, turn \d+/);
  });

  await t.test('typing, rating, muting, ending', async (t) => {
    await page.locator('.state-listening').waitFor();
    await page.getByRole('textbox', { name: 'Message' }).fill('what is seven plus five');
    await page.keyboard.press('Enter');
    const answer = lines.filter({ hasText: 'Seven plus five is twelve' });
    await answer.waitFor();
    await page.locator('.state-speaking').waitFor();
    await answer.getByRole('button', { name: 'Good answer' }).click();
    t.equal(await answer.getByRole('button', { name: 'Good answer' }).getAttribute('aria-pressed'), 'true');
    await page.getByRole('button', { name: 'Mute' }).click();
    t.equal(await page.getByRole('button', { name: 'Unmute' }).getAttribute('aria-pressed'), 'true');
    await page.getByRole('button', { name: 'End call' }).click();
    await page.getByRole('link', { name: 'Open in history' }).waitFor();
    t.equal(await state.textContent(), 'Not connected');
  });

  await t.test('the conversation is in the history, with its sound', async (t) => {
    const address = await page.getByRole('link', { name: 'Open in history' }).getAttribute('href');
    await page.getByRole('link', { name: 'History', exact: true }).click();
    await page.locator(`.conversation-row[href="${address}"]`).click();
    const record = page.locator('.record-item');
    await record.filter({ hasText: 'tell me a story' }).waitFor();
    await page.locator('.record-item del').first().waitFor();
    await record.nth(6).waitFor(); // greeting, question, story, stop, answer, typed question, its answer
    const place = page.getByRole('slider', { name: 'Place in the recording' });
    await page.locator('[role=slider]:not([aria-valuemax="0"])').waitFor();
    t.ok(Number(await place.getAttribute('aria-valuemax')) > 8, 'the recording is as long as the call');
    await record
      .filter({ hasText: 'stop' })
      .first()
      .getByRole('button', { name: /Play from/ })
      .click();
    await page.locator('[role=slider]:not([aria-valuenow="0"])').waitFor();
    await page.locator('.record-item[aria-current]', { hasText: /stop/i }).waitFor();
    await place.focus();
    await page.keyboard.press('Home');
    t.ok(Number(await place.getAttribute('aria-valuenow')) <= 1);
    const rated = page.waitForResponse((response) => response.url().endsWith('/feedback'));
    await page.getByRole('button', { name: 'Good call' }).click();
    t.equal((await rated).status(), 200);
    await page.getByRole('button', { name: 'Good call', pressed: true }).waitFor();
    await looksRight(t, page, 'conversation');
  });

  await t.test('an agent is edited; a value that is not allowed is said at its field', async (t) => {
    await page.goto(`${url}/#/agents`);
    await page.locator('.row-main', { hasText: 'Parley' }).click();
    const speed = page.getByLabel('Speed');
    await speed.fill('9');
    await page.getByRole('button', { name: 'Save' }).click();
    const field = page.locator('.field', { has: speed });
    await field.locator('.field-problem:not(:empty)').waitFor();
    t.equal(await speed.getAttribute('aria-invalid'), 'true');
    await speed.fill('1.1');
    await page.getByLabel('Name').fill('Parley, quicker');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved.').waitFor();
    await looksRight(t, page, 'editor');
    await page.getByRole('link', { name: 'Agents' }).first().click();
    await page.locator('.row-main', { hasText: 'Parley, quicker' }).waitFor();
    await page.getByRole('button', { name: 'Duplicate Parley, quicker' }).click();
    await page.locator('.editor').waitFor();
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click();
    await page.locator('.row').first().waitFor();
    t.equal(await page.locator('.row').count(), 2, 'the copy is gone');
  });

  await t.test('text only, and every view on a phone, light and dark', async (t) => {
    await page.setViewportSize({ width: 375, height: 720 });
    await page.getByRole('link', { name: 'Talk', exact: true }).first().click();
    await page.getByRole('checkbox', { name: 'Text only' }).check();
    await page.getByRole('textbox', { name: 'Message' }).fill('goodbye');
    await page.keyboard.press('Enter');
    await lines.and(page.locator('.agent')).nth(1).waitFor();
    await page.getByRole('link', { name: 'Open in history' }).waitFor();
    await page.locator('.agent-choice select').selectOption('greeter');
    const city = page.getByLabel('city');
    await city.waitFor();
    t.equal(await page.getByLabel('name', { exact: true }).getAttribute('placeholder'), 'friend');
    await page.getByRole('button', { name: 'Start call' }).click();
    await page.locator('.problem', { hasText: 'The agent needs a value for city.' }).waitFor();
    await city.fill('Rome');
    t.equal(await page.locator('.problem').count(), 0, 'it is being seen to');
    await page.keyboard.press('Enter');
    await lines.filter({ hasText: 'Hello friend from Rome.' }).waitFor();
    await page.locator('.state', { hasText: 'Your turn' }).waitFor();
    t.notMatch(await page.locator('main').textContent(), 'Listening', 'nobody listens to what is typed');
    await looksRight(t, page, 'variables');
    await page.getByRole('button', { name: 'End call' }).click();
    await page.locator('.agent-choice select').selectOption('default');
    const ground = (): Promise<string> => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    const grounds = new Set<string>();
    for (const [index, view] of ['Talk', 'Agents', 'History'].entries()) {
      await page.getByRole('navigation').getByRole('link', { name: view }).click();
      await page.getByRole('button', { name: /^Colours:/ }).click();
      await looksRight(t, page, view);
      if (index < 2) grounds.add(await ground());
    }
    t.equal(grounds.size, 2, 'light and dark');
  });

  await t.test('an agent that only writes, and is not among the first thirty', async (t) => {
    const create = async (document: object): Promise<string> => {
      const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(document) };
      return ((await (await fetch(`${url}/v1/convai/agents/create`, options)).json()) as { agent_id: string }).agent_id;
    };
    const agent = { first_message: 'I only write.' };
    const writer = await create({ name: 'Writer', conversation_config: { agent, conversation: { text_only: true } } });
    for (let count = 0; count < 30; count += 1) await create({ name: `Agent ${count}`, conversation_config: {} });
    await page.goto(`${url}/#/talk/${writer}`);
    await page.reload();
    await page.locator('.agent-choice option', { hasText: 'Writer' }).waitFor({ state: 'attached' });
    t.equal(await page.locator('.agent-choice select').inputValue(), writer);
    await page.getByRole('button', { name: 'Start call' }).click();
    await lines.filter({ hasText: 'I only write.' }).waitFor();
    await page.locator('.state', { hasText: 'Your turn' }).waitFor();
    t.ok(await page.getByRole('checkbox', { name: 'Text only' }).isChecked(), 'as if it had been chosen');
    t.equal(await page.getByRole('button', { name: 'Mute' }).count(), 0, 'there is no microphone');
    await page.getByRole('button', { name: 'End call' }).click();
  });

  await t.test('a browser that cannot choose the rate of its microphone gets the console’s own resampler', async () => {
    await page.addInitScript('navigator.mediaDevices.getSupportedConstraints = () => ({})');
    await page.goto(`${url}/#/talk`);
    await page.reload();
    await page.locator('select option', { hasText: 'Parley' }).waitFor({ state: 'attached' });
    await page.keyboard.press('Space');
    await page.locator('.state-speaking').waitFor();
    await page.locator('.transcript .caller', { hasText: 'story' }).waitFor();
    await page.getByRole('button', { name: 'End call' }).click();
  });

  t.same(foreign, [], 'nothing was asked of another host');
  t.same(complaints, [], 'the browser had nothing to complain about');
});
