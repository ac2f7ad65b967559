/** Made speech on disk, one file for each key: a line of JSON with the words, then the samples. A file that cannot be read is made again. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { CallerSpeech } from './caller-speech.js';

const header = z.strictObject({
  samples: z.int().min(0),
  words: z.array(z.strictObject({ text: z.string(), from: z.int(), to: z.int() })),
});
const newline = 10;

export class ClipCache {
  readonly #folder: string;
  #writes = 0;

  /** Use `ClipCache.open`. */
  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes `folder` when it is not there. */
  static async open(folder: string): Promise<ClipCache> {
    await mkdir(folder, { recursive: true });
    return new ClipCache(folder);
  }

  /** Undefined when it is not there, or not whole. */
  async read(key: string): Promise<CallerSpeech | undefined> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.#pathOf(key));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
    return parse(bytes);
  }

  /** Under its name only once it is whole: several processes may share a folder. */
  async write(key: string, speech: CallerSpeech): Promise<void> {
    this.#writes += 1;
    const temporary = `${this.#pathOf(key)}.${process.pid}.${this.#writes}`;
    const { samples, words } = speech;
    const line = `${JSON.stringify({ samples: samples.length, words })}\n`;
    const audio = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
    await writeFile(temporary, Buffer.concat([Buffer.from(line), audio]));
    await rename(temporary, this.#pathOf(key));
  }

  #pathOf(key: string): string {
    return join(this.#folder, `${key}.clip`);
  }
}

function parse(bytes: Buffer): CallerSpeech | undefined {
  const end = bytes.indexOf(newline);
  if (end < 0) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8', 0, end));
  } catch {
    return undefined;
  }
  const { success, data } = header.safeParse(json);
  const audio = bytes.subarray(end + 1);
  if (!success || audio.length !== 2 * data.samples) return undefined;
  const samples = new Int16Array(data.samples);
  new Uint8Array(samples.buffer).set(audio);
  return { samples, words: data.words };
}
