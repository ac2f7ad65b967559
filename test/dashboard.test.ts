/** The dashboard in a real browser against the real engine, with two calls on its embedded providers. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Response } from 'playwright-core';
import { test } from 'tap';
import { Beat } from '../load/beat.js';
import { Caller } from '../load/caller.js';
import { clipOf } from '../load/clip.js';
import { resample } from '../src/audio/resample.js';
import { readConfig } from '../src/config.js';
import { Engine } from '../src/engine.js';
import { inputRateHz } from '../src/shared/units.js';
import type { SeriesAnswer } from '../src/telemetry/series-bucket.js';
import { loadFlite } from '../src/tts/embedded/flite.js';
import { SeriesLog } from '../web/src/dashboard/series-log.js';
import { merged } from '../web/src/dashboard/windows.js';

const names = ['chromium', 'chromium-browser', 'google-chrome'];
const candidates = (process.env['PATH'] ?? '').split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
const executablePath = process.env['CHROMIUM'] ?? candidates.find((path) => existsSync(path));
const skip = executablePath === undefined ? 'there is no Chromium here (CHROMIUM names one): the dashboard is not tested' : false;

const key = 'a key for the dashboard';

test('the dashboard', { skip }, async (t) => {
  const config = readConfig({
    PARLEY_PORT: '0',
    PARLEY_SESSIONS_MAX: '4',
    PARLEY_LOG: 'silent',
    PARLEY_STORE: 'memory',
    PARLEY_API_KEY: key,
  });
  const engine = await Engine.start(config, (error) => {
    throw error;
  });
  t.teardown(() => engine.stop(0));
  const browser = await chromium.launch({
    executablePath: executablePath!,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-sync',
    ],
  });
  t.teardown(() => browser.close());
  const url = `http://127.0.0.1:${engine.port}`;
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(30_000);
  const complaints: string[] = [];
  page.on('console', (message) => {
    // A refused request is part of the test; the browser writes a line for each.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.stack ?? error.message));
  const seqs: number[] = [];
  const note = async (response: Response): Promise<void> => {
    if (!response.url().includes('/v1/parley/series') || response.status() !== 200) return;
    const { buckets } = (await response.json()) as SeriesAnswer;
    seqs.push(...buckets.map(({ seq }) => seq));
  };
  page.on('response', note);

  const beat = new Beat();
  const { audio, rateHz } = (await loadFlite()).synthesise('what is seven plus five');
  const clip = clipOf('question', resample(audio, rateHz, inputRateHz));
  const callers = await Promise.all(
    [1, 2].map(() => Caller.connect({ url: url.replace('http', 'ws'), beat, keepsLanes: false, initiation: { user_id: 'x' } })),
  );
  for (const caller of callers) caller.say(clip, caller.nowMs + 500);

  await page.goto(`${url}/dashboard`);
  await page.getByRole('textbox', { name: 'Key' }).fill(key);
  await page.getByRole('button', { name: 'Continue' }).click();
  const tile = (label: string) => page.locator('.tile', { hasText: label });
  await tile('Calls').filter({ hasText: '2 of 4' }).waitFor();
  const row = (label: string) => page.locator('.stages tr', { has: page.getByRole('button', { name: label, exact: true }) });

  await t.test('what the calls do is seen without a reload', async (t) => {
    await row('Speech end → first audio sent')
      .locator('td', { hasText: /^[1-9]/ })
      .first()
      .waitFor();
    const cells = await row('VAD lag').locator('td').allTextContents();
    t.ok(Number(cells[0]) > 10, cells.join(' '));
    t.ok(
      cells.slice(1).every((cell) => /^[\d.]+ m?s$/.test(cell)),
      cells.join(' '),
    );
    const label = (title: string) => page.locator(`[role=img][aria-label^="${title}"]`).first().getAttribute('aria-label');
    t.match(await label('Calls.'), /calls 2, conversations 2, detected 2/);
    if (process.platform === 'linux') {
      t.match(
        await label('CPU per thread'),
        /main [\d.]+ %, vad [\d.]+ %, stt [\d.]+ %, conversation [\d.]+ %, tts [\d.]+ %, api [\d.]+ %, others/,
      );
    }
    await page.locator('tr', { hasText: 'Language model' }).filter({ hasText: 'well' }).waitFor();
  });

  await t.test('everything by keyboard', async (t) => {
    await row('Pacing jitter').getByRole('button').focus();
    await page.keyboard.press('Enter');
    await page.locator('.chart h2', { hasText: 'Heat map: Pacing jitter' }).waitFor();
    t.equal(await page.getByRole('combobox', { name: 'Over time' }).inputValue(), 'pacing_jitter');
    const heat = page.locator('canvas.heat');
    await heat.focus();
    await page.keyboard.press('End');
    await page.locator('.heat-note', { hasText: /^\d\d:\d\d:\d\d: / }).waitFor();
    const lag = page.locator('.chart', { has: page.getByRole('heading', { name: 'VAD lag', exact: true }) });
    await lag.locator('.plot').focus();
    await page.keyboard.press('ArrowLeft');
    await lag.locator('.time', { hasText: /^\d\d:\d\d:\d\d$/ }).waitFor();
    await lag.getByRole('button', { name: /^p99/ }).click();
    // The page draws it in its own time.
    await lag.getByRole('button', { name: /^p99/, pressed: false }).waitFor();
    await page.getByRole('button', { name: 'Hold still' }).click();
    await page.locator('.feed', { hasText: 'Held at' }).waitFor();
    await page.getByRole('button', { name: 'Hold still' }).click();
    await page.getByRole('button', { name: '15 min' }).click();
    await page.locator('.chart-head', { hasText: '6 s a column' }).waitFor();
  });

  await t.test('a page that could not ask for a while asks for what it missed', async (t) => {
    await page.route('**/v1/parley/series*', (route) => route.abort());
    await page.locator('.feed-lost').waitFor();
    const before = seqs.at(-1)!;
    await page.waitForRequest(/series/);
    await page.unroute('**/v1/parley/series*');
    await page.locator('.feed', { hasText: 'Live' }).waitFor();
    await page.waitForResponse(/series/);
    t.ok(seqs.at(-1)! > before + 1, `${before} → ${seqs.at(-1)}`);
    t.same(
      seqs,
      seqs.map((_, index) => index + seqs[0]!),
      'no number is missing, none comes twice',
    );
    page.off('response', note);
    t.equal(await page.locator('.problem').count(), 0);
  });

  await t.test('on a phone, light and dark', async (t) => {
    await page.setViewportSize({ width: 375, height: 720 });
    const grounds = new Set<string>();
    for (let count = 0; count < 2; count += 1) {
      await page.getByRole('button', { name: /^Colours:/ }).click();
      grounds.add(await page.evaluate<string>('getComputedStyle(document.body).backgroundColor'));
      t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, 'nothing sticks out');
    }
    t.equal(grounds.size, 2, 'light and dark');
    await page.locator('.chart .plot canvas').first().waitFor();
  });

  await Promise.all(callers.map((caller) => caller.hangUp()));
  await tile('Calls').filter({ hasText: '0 of 4' }).waitFor();

  await t.test('nothing is lost on the way from the threads', async (t) => {
    // Their calls are over: these two do not grow any more.
    const metrics = await (await fetch(`${url}/metrics`)).text();
    for (let count = 0; count < 2; count += 1) await page.waitForResponse(/series/);
    const log = new SeriesLog();
    for (let isMore = true; isMore; ) {
      const response = await fetch(`${url}/v1/parley/series?${log.query}`, { headers: { 'xi-api-key': key } });
      isMore = log.take((await response.json()) as SeriesAnswer);
    }
    for (const [thread, stage] of [
      ['vad', 'vad_lag'],
      ['main', 'pacing_jitter'],
    ] as const) {
      const [, expected] = new RegExp(`_count\\{thread="${thread}",stage="${stage}"\\} (\\d+)`).exec(metrics) ?? [];
      t.equal(merged(log.buckets, stage).count, Number(expected), stage);
    }
  });

  t.same(complaints, [], 'the browser had nothing to complain about');
});
