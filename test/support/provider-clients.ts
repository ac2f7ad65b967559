/** What the tests of the simulated providers share: a started simulator, its clients, and ways to wait for what they do. */
import { once } from 'node:events';
import Groq from 'groq-sdk';
import OpenAI from 'openai';
import type { Test } from 'tap';
import WebSocket from 'ws';
import { type Providers, type ProvidersOptions, startProviders } from '../../load/providers/server.js';
import type { Speech } from '../../load/providers/voice.js';
import { writeWav } from '../../src/audio/wav.js';
import { nowMs } from '../../src/shared/clock.js';
import { hz } from '../../src/shared/units.js';

export async function started(t: Test, options: ProvidersOptions = {}): Promise<Providers> {
  const providers = await startProviders({ profile: 'instant', ...options });
  t.teardown(() => providers.close());
  return providers;
}

export const groqAt = (url: string, apiKey = 'test'): Groq => new Groq({ apiKey, baseURL: url, maxRetries: 0 });
export const openaiAt = (url: string, apiKey = 'test'): OpenAI => new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 });

export async function control(url: string, method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/_simulator/${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { httpStatus: response.status, ...((await response.json()) as object) };
}

export function base64Of(audio: Int16Array): string {
  return Buffer.from(audio.buffer, audio.byteOffset, audio.byteLength).toString('base64');
}

export function wavOf(audio: Int16Array, rateHz = 16000): File {
  return new File([writeWav({ channels: [audio], rateHz: hz(rateHz) })], 'turn.wav', { type: 'audio/wav' });
}

/** What `promise` fails with; a value when it does not fail. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => 'it did not fail',
    (error: unknown) => error,
  );
}

/** Waits, at most five seconds, until something in this process has happened. */
export async function until(hasHappened: () => boolean): Promise<void> {
  for (const fromMs = nowMs(); !hasHappened(); ) {
    if (nowMs() - fromMs > 5000) throw new Error('it did not happen within 5 s');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export type ServerMessage = {
  readonly contextId?: string;
  readonly audio?: string | null;
  readonly isFinal?: boolean | null;
  readonly error?: string;
  readonly code?: number;
  readonly message?: string;
  readonly alignment?: { chars: string[]; charStartTimesMs: number[]; charDurationsMs: number[] } | null;
  readonly normalizedAlignment?: ServerMessage['alignment'];
};

/** A plain client that collects what comes and can wait for something of it. */
export class SocketClient {
  readonly messages: ServerMessage[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #socket: WebSocket;
  #waiting: (() => void)[] = [];

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => {
      this.messages.push(JSON.parse(data.toString()) as ServerMessage);
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#wake();
      });
    });
  }

  static async open(
    url: string,
    path: string,
    headers: Record<string, string> = { 'xi-api-key': 'test' },
  ): Promise<SocketClient> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/text-to-speech/anna/${path}`, { headers });
    const client = new SocketClient(socket);
    await once(socket, 'open');
    return client;
  }

  send(...messages: object[]): void {
    for (const message of messages) this.#socket.send(JSON.stringify(message));
  }

  async until(isThere: (messages: readonly ServerMessage[]) => boolean): Promise<void> {
    while (!isThere(this.messages)) {
      if (this.#socket.readyState === WebSocket.CLOSED) throw new Error('the socket closed first');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  close(): void {
    this.#socket.terminate();
  }

  audioOf(contextId?: string): Buffer {
    const parts = this.messages.filter((each) => each.contextId === contextId && each.audio);
    return Buffer.concat(parts.map((each) => Buffer.from(each.audio!, 'base64')));
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

export const multi = 'multi-stream-input?model_id=eleven_flash_v2_5&output_format=pcm_16000';
export const bytesOf = (speech: Speech): Buffer => Buffer.from(speech.audio.buffer, 0, speech.audio.byteLength);
export const isFinalOf =
  (contextId: string) =>
  (messages: readonly ServerMessage[]): boolean =>
    messages.some((each) => each.contextId === contextId && each.isFinal === true);
