/** A real browser without a screen, whose microphone is a file, and the page it looks at. It may talk to this machine only. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { loadVoice } from '../../load/providers/voice.js';
import { resample } from '../../src/audio/resample.js';
import { writeWav } from '../../src/audio/wav.js';
import { hz, inputRateHz } from '../../src/shared/units.js';

const microphoneRateHz = hz(48_000);
const names = ['chromium', 'chromium-browser', 'google-chrome'];

/** `CHROMIUM`, else the first that is installed. */
export function chromiumPath(): string | undefined {
  const { CHROMIUM: chosen, PATH: path = '' } = process.env;
  if (chosen !== undefined) return chosen;
  return path
    .split(delimiter)
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((file) => existsSync(file));
}

/** What is said into the microphone, each phrase at its second after the device was opened. */
export type Spoken = readonly (readonly [atSeconds: number, text: string])[];

async function microphoneFile(path: string, spoken: Spoken): Promise<void> {
  const voice = await loadVoice();
  const clips = spoken.map(([atSeconds, text]) => ({
    at: Math.round(atSeconds * inputRateHz),
    audio: voice.speak(text, { voice: 'awb', speed: 1 }).audio,
  }));
  const samples = new Int16Array(Math.max(...clips.map(({ at, audio }) => at + audio.length)) + inputRateHz);
  for (const { at, audio } of clips) samples.set(audio, at);
  writeFileSync(path, writeWav({ channels: [resample(samples, inputRateHz, microphoneRateHz)], rateHz: microphoneRateHz }));
}

export type Browser = {
  readonly page: Page;
  /** Requests to any host but this machine; they were not let through. */
  readonly foreign: readonly string[];
  /** Errors of the page, and what it wrote as such. */
  readonly complaints: readonly string[];
  close(): Promise<void>;
};

export async function openBrowser(executablePath: string, spoken: Spoken): Promise<Browser> {
  const folder = mkdtempSync(join(tmpdir(), 'parley-chromium-'));
  const wav = join(folder, 'microphone.wav');
  await microphoneFile(wav, spoken);
  const files: Readonly<Record<string, readonly [type: string, path: string]>> = {
    '/': ['text/html', fileURLToPath(new URL('../../../test/conformance/page.html', import.meta.url))],
    '/client.js': ['text/javascript', fileURLToPath(new URL('lib.iife.js', import.meta.resolve('@elevenlabs/client')))],
  };
  const server = createServer((request, response) => {
    const found = files[request.url ?? ''];
    if (found === undefined) {
      response.writeHead(404).end();
      return;
    }
    readFile(found[1]).then(
      (body) => response.writeHead(200, { 'content-type': found[0] }).end(body),
      (error: unknown) => response.destroy(error as Error),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  let context: BrowserContext | undefined;
  const close = async (): Promise<void> => {
    await context?.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    context = await chromium.launchPersistentContext(join(folder, 'profile'), {
      executablePath,
      headless: true,
      permissions: ['microphone'],
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
        '--use-fake-ui-for-media-stream',
        '--use-fake-device-for-media-stream',
        `--use-file-for-fake-audio-capture=${wav}%noloop`,
        '--autoplay-policy=no-user-gesture-required',
      ],
    });
    const foreign: string[] = [];
    const complaints: string[] = [];
    const isOurs = (url: string): boolean => /^(?:data|blob|about):/.test(url) || new URL(url).hostname === '127.0.0.1';
    await context.route(
      (url) => !isOurs(url.href),
      (route) => route.abort(),
    );
    context.on('request', (request) => {
      if (!isOurs(request.url())) foreign.push(request.url());
    });
    const page = context.pages()[0] ?? (await context.newPage());
    page.on('websocket', (socket) => {
      if (!isOurs(socket.url())) foreign.push(socket.url());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return { page, foreign, complaints, close };
  } catch (error) {
    await close();
    throw error;
  }
}
