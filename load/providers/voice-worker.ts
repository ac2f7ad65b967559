/** Synthesises words for the simulator, one message each way per word. Runs on a thread of its own, so that streams never wait for a word. */
import { parentPort } from 'node:worker_threads';
import { loadFlite } from '../../src/tts/embedded/flite.js';
import type { VoiceStyle } from './voice.js';
import { synthesiseWord } from './voice.js';

export type WordOrder = { readonly key: string; readonly word: string; readonly style: VoiceStyle };
export type WordSound = { readonly key: string; readonly audio: Int16Array<ArrayBuffer> };

const port = parentPort;
if (port === null) throw new Error('voice-worker.js is a worker thread');
const flite = await loadFlite();
port.on('message', (order: WordOrder) => {
  const audio = synthesiseWord(flite, order.word, order.style);
  const sound: WordSound = { key: order.key, audio };
  port.postMessage(sound, [audio.buffer]);
});
