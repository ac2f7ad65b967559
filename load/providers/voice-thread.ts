/**
 * The simulator's side of the voice: asks the voice thread for words it does not have, urgent ones first, and composes speech when all
 * are there. Runs on the simulator's main thread.
 */
import { Worker } from 'node:worker_threads';
import { Cache } from './cache.js';
import { composeSpeech, defaultStyle, type Speech, soundKey, type VoiceStyle, wordsToSay } from './voice.js';
import type { WordOrder, WordSound } from './voice-worker.js';

/** Remembered word sounds and remembered speech; the least recently used go first. */
const soundBytesMax = 128 * 1024 * 1024;
const speechBytesMax = 96 * 1024 * 1024;
/** What the times of one character take, about. */
const timingBytes = 100;
/** Words given to the thread ahead of its answers: one in work, one waiting. */
const ahead = 2;
/** Words prepared but not asked for yet; more are ignored. */
const preloadWordsMax = 20_000;

type Asker = { readonly resolve: (audio: Int16Array) => void; readonly reject: (error: Error) => void };
type Waiting = { readonly order: WordOrder; readonly askers: Asker[] };

export class VoiceThread {
  readonly #worker: Worker;
  readonly #sounds = new Cache<Int16Array>(soundBytesMax);
  readonly #speeches = new Cache<Speech>(speechBytesMax);
  /** Words somebody waits for, and words that may be wanted later. */
  readonly #urgent = new Map<string, Waiting>();
  readonly #preload = new Map<string, WordOrder>();
  readonly #inWork = new Map<string, Waiting>();
  #failure: Error | undefined;
  #lastStyle = defaultStyle;

  constructor() {
    this.#worker = new Worker(new URL('./voice-worker.js', import.meta.url));
    this.#worker.on('message', (sound: WordSound) => this.#receive(sound));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.unref();
  }

  /** The speech for `text`; from memory when it was said before. Rejects when the voice is missing or its thread died. */
  async speak(text: string, style: VoiceStyle): Promise<Speech> {
    this.#lastStyle = style;
    const key = soundKey(text, style);
    const known = this.#speeches.get(key);
    if (known !== undefined) return known;
    const words = wordsToSay(text);
    const sounds = new Map<string, Int16Array>();
    const missing: Promise<void>[] = [];
    for (const word of words) {
      const sound = this.#sounds.get(soundKey(word, style));
      if (sound !== undefined) sounds.set(word, sound);
      else missing.push(this.#want(word, style).then((audio) => void sounds.set(word, audio)));
    }
    if (missing.length > 0) await Promise.all(missing);
    const speech = composeSpeech(text, (word) => sounds.get(word)!);
    this.#speeches.set(key, speech, speech.audio.byteLength + text.length * timingBytes);
    return speech;
  }

  /** Has the words of `text` made, in the style that was asked for last, when nothing urgent is waiting. */
  prepare(text: string, style = this.#lastStyle): void {
    for (const word of wordsToSay(text)) {
      const key = soundKey(word, style);
      const isKnown = this.#sounds.has(key) || this.#urgent.has(key) || this.#inWork.has(key);
      if (!isKnown && this.#preload.size < preloadWordsMax) this.#preload.set(key, { key, word, style });
    }
    this.#feed();
  }

  async close(): Promise<void> {
    this.#fail(new Error('the voice was closed'));
    await this.#worker.terminate();
  }

  #want(word: string, style: VoiceStyle): Promise<Int16Array> {
    const key = soundKey(word, style);
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      const waiting = this.#inWork.get(key) ?? this.#urgent.get(key);
      if (waiting !== undefined) waiting.askers.push({ resolve, reject });
      else this.#urgent.set(key, { order: { key, word, style }, askers: [{ resolve, reject }] });
      this.#preload.delete(key);
      this.#feed();
    });
  }

  #feed(): void {
    while (this.#inWork.size < ahead && this.#failure === undefined) {
      const [urgent] = this.#urgent.values();
      const [preload] = this.#preload.values();
      const next = urgent ?? (preload === undefined ? undefined : { order: preload, askers: [] });
      if (next === undefined) return;
      const { key } = next.order;
      this.#urgent.delete(key);
      this.#preload.delete(key);
      this.#inWork.set(key, next);
      this.#worker.postMessage(next.order);
    }
  }

  #receive(sound: WordSound): void {
    const waiting = this.#inWork.get(sound.key);
    this.#inWork.delete(sound.key);
    this.#sounds.set(sound.key, sound.audio, sound.audio.byteLength);
    for (const asker of waiting?.askers ?? []) asker.resolve(sound.audio);
    this.#feed();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of [...this.#urgent.values(), ...this.#inWork.values()]) {
      for (const asker of waiting.askers) asker.reject(error);
    }
    this.#urgent.clear();
    this.#preload.clear();
    this.#inWork.clear();
  }
}
