/**
 * More voices, where the program espeak-ng is installed: quite another kind of synthesiser, with its own rhythm and with pitch that follows the marks.
 * Every clip is made by a process of its own, which gives the same samples each time.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { monoOf } from '../../../src/audio/recording.js';
import { resample } from '../../../src/audio/resample.js';
import { readWav } from '../../../src/audio/wav.js';
import { EngineError } from '../../../src/shared/errors.js';
import { inputRateHz } from '../../../src/shared/units.js';
import type { CallerSpeech } from './caller-speech.js';
import { alignedWords } from './word-alignment.js';

const program = 'espeak-ng';
/** A clip takes 10 ms; a process that takes this long hangs. */
const processMsMax = 10_000;

/** `variant`: of the American voice; words per minute; pitch from 0 to 99. */
export type EspeakVoice = { readonly variant: string; readonly wordsPerMinute: number; readonly pitch: number };

export const espeakVoices = {
  'espeak-m1': { variant: 'm3', wordsPerMinute: 165, pitch: 42 },
  'espeak-m2': { variant: 'm7', wordsPerMinute: 175, pitch: 35 },
  'espeak-f1': { variant: 'f2', wordsPerMinute: 170, pitch: 55 },
  'espeak-f2': { variant: 'f4', wordsPerMinute: 160, pitch: 60 },
} as const satisfies Readonly<Record<string, EspeakVoice>>;

export type EspeakVoiceName = keyof typeof espeakVoices;

export function isEspeakVoice(name: string): name is EspeakVoiceName {
  return Object.hasOwn(espeakVoices, name);
}

/** Of the installed program, as `1.51`; undefined when there is none. */
export async function espeakVersion(): Promise<string | undefined> {
  try {
    const line = (await run(['--version'])).toString('utf8').trim();
    return /: (\d\S*)/.exec(line)?.[1] ?? line;
  } catch (error) {
    if (error instanceof EngineError && error.kind === 'missing') return undefined;
    throw error;
  }
}

/** `text` as `voice` says it. The program does not tell when it says what: words are found by laying `guide`, the same text, beside it. */
export async function espeakSpeech(text: string, voice: EspeakVoice, guide: CallerSpeech): Promise<CallerSpeech> {
  const { variant, wordsPerMinute, pitch } = voice;
  const settings = ['-v', `en-us+${variant}`, '-s', wordsPerMinute.toFixed(0), '-p', pitch.toFixed(0), '-z'];
  const recording = readWav(await run([...settings, '--stdout', '--', text]));
  const samples = resample(monoOf(recording), recording.rateHz, inputRateHz);
  return { samples, words: alignedWords(guide, samples) };
}

/** What the program writes. Fails with `missing` when it is not installed, with `broken` when it fails, with `timeout`. */
async function run(programArguments: readonly string[]): Promise<Buffer> {
  const child = spawn(program, programArguments, { stdio: ['ignore', 'pipe', 'ignore'], timeout: processMsMax });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    if (signal !== null) throw new EngineError('timeout', `${program} did not end within ${processMsMax} ms`);
    if (code !== 0) throw new EngineError('broken', `${program} ended with ${code}`);
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    throw new EngineError('missing', `${program} is not installed`, { cause });
  }
  return Buffer.concat(chunks);
}
