/**
 * How well the embedded recogniser hears: right words for speech in the demo agent's grammar, rejection for everything else, and the time it
 * takes. Run as `node dist/bench/embedded-stt.js [folder]`; the folder holds `manifest.json` and recordings (default: ../shared/audio). `--verbose`
 * lists what was misheard; `--json FILE` keeps the counts.
 *
 * Each recording goes through the pool as a caller's turn would, between stretches of silence or of faint noise. Without recordings only
 * sentences of the embedded voice are heard. Not measured: the speech gate, the network, microphones.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { readFlac } from '../src/audio/flac.js';
import { monoOf } from '../src/audio/recording.js';
import { resample } from '../src/audio/resample.js';
import { hz, inputRateHz } from '../src/shared/units.js';
import { demoGrammar } from '../src/stt/embedded/demo-grammar.js';
import { EmbeddedTranscriber } from '../src/stt/embedded/transcriber.js';
import { unintelligible } from '../src/stt/port.js';
import { fliteVoices, loadFlite } from '../src/tts/embedded/flite.js';

type Clip = {
  readonly set: string;
  /** Two halves of each set, to see how much of a figure is chance. Neither was kept unseen while the limits of `evidence.ts` were set. */
  readonly half: 0 | 1;
  readonly name: string;
  readonly audio: Int16Array;
  /** Undefined: not in the grammar. */
  readonly words: string | undefined;
};
type Entry = { readonly file: string; readonly transcript?: string };
type Score = { clips: number; right: number; rejected: number; wrong: number };

/** What surrounds a clip, and the noise under it (root mean square of 32768). */
const surroundings = [
  { name: 'silence', headMs: 300, tailMs: 300, noiseRms: 0 },
  { name: 'faint noise', headMs: 500, tailMs: 400, noiseRms: 20 },
] as const;

const known = [
  'what is seven plus five',
  'how much is twelve times three',
  'one hundred and five',
  'seventeen',
  'forty two',
  'eight one five',
  'one two three four five six',
  'what time is it',
  'what is the date',
  'tell me a story',
  'please stop',
  'help',
  'what can you do',
  'what is your name',
  'thank you very much',
  'goodbye',
  'hang up',
  'repeat that',
  'hello',
  'how are you',
  'yes',
  'no',
];
const unknown = [
  'I would like to book a table for two people',
  'can you tell me about the weather tomorrow',
  'my dog is sleeping on the sofa',
  'please send me an email',
  'what is the capital of France',
  'where is the train station',
  'play some music',
  'maybe later',
];

async function recordedClips(folder: string): Promise<Clip[]> {
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as Entry[];
  const counts = new Map<string, number>();
  const clips: Clip[] = [];
  for (const { file, transcript = '' } of manifest) {
    const [kind] = file.split('/');
    const place = placeOf(kind!, file, transcript.toLowerCase().replace(/[.]/g, ''));
    if (place === undefined || !file.endsWith('.flac')) continue;
    const recording = await readFlac(readFileSync(join(folder, file)));
    const audio = resample(monoOf(recording), recording.rateHz, hz(inputRateHz));
    const index = counts.get(place.set) ?? 0;
    counts.set(place.set, index + 1);
    // Digits: take 5 against take 17 of each speaker; the others alternate.
    const half = place.set === 'digits' ? (file.endsWith('_5.flac') ? 0 : 1) : ((index % 2) as 0 | 1);
    clips.push({ ...place, half, name: file, audio });
  }
  return clips;
}

/** Which set a recording belongs to, and its words where the grammar has them. */
function placeOf(kind: string, file: string, words: string): { set: string; words: string | undefined } | undefined {
  if (kind === 'digits') return { set: 'digits', words };
  if (kind === 'alphanumeric') return words.length > 1 ? { set: 'digits, yes, no', words } : { set: 'letters', words: undefined };
  if (file === 'turns/yes.flac' || file.startsWith('speech/vosk_digits') || (kind === 'speech' && /^(no|six)$/.test(words))) {
    return { set: 'single sentences', words };
  }
  if (kind === 'speech') return { set: 'dictation', words: undefined };
  if (kind === 'disfluency') return { set: 'hesitant speech', words: undefined };
  return undefined;
}

async function spokenClips(): Promise<Clip[]> {
  const flite = await loadFlite();
  const say = (text: string, words: string | undefined, index: number): Clip[] =>
    fliteVoices
      .filter((voice) => voice !== 'kal16')
      .map((voice) => ({
        set: words === undefined ? 'voice, unknown' : 'voice, known',
        half: (index % 2) as 0 | 1,
        name: `${voice}: ${text}`,
        audio: flite.synthesise(text, { voice }).audio,
        words,
      }));
  return [
    ...known.flatMap((text, index) => say(text, text, index)),
    ...unknown.flatMap((text, index) => say(text, undefined, index)),
  ];
}

function surrounded(audio: Int16Array, { headMs, tailMs, noiseRms }: (typeof surroundings)[number]): Int16Array {
  const head = headMs * 16;
  const out = new Int16Array(head + audio.length + tailMs * 16);
  out.set(audio, head);
  let state = audio.length;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  // Three uniform numbers have a variance of a quarter.
  if (noiseRms > 0)
    for (let i = 0; i < out.length; i++)
      out[i] = Math.max(-32768, Math.min(32767, out[i]! + 2 * noiseRms * (next() + next() + next())));
  return out;
}

const { values: options, positionals } = parseArgs({
  options: { verbose: { type: 'boolean', default: false }, json: { type: 'string' } },
  allowPositionals: true,
});
const folder = positionals[0] ?? '../shared/audio';
const hasRecordings = existsSync(join(folder, 'manifest.json'));
if (!hasRecordings) console.log(`no recordings in ${folder}: only the embedded voice is heard`);
const clips = [...(hasRecordings ? await recordedClips(folder) : []), ...(await spokenClips())];

const settings = { language: 'en', keywords: [], grammar: demoGrammar };
const transcriber = new EmbeddedTranscriber();
const startedAt = performance.now();
await transcriber.warm(settings);
console.log(`ready after ${(performance.now() - startedAt).toFixed(0)} ms, thread and model\n`);

const report: { name: string; realTimeFactor: number; sets: ({ set: string } & Score)[] }[] = [];
for (const surrounding of surroundings) {
  const scores = new Map<string, Score>();
  let busyMs = 0;
  let audioMs = 0;
  for (const clip of clips) {
    const audio = surrounded(clip.audio, surrounding);
    const before = performance.now();
    const { text } = await transcriber.transcribe({ audio, rateHz: inputRateHz, settings, signal: new AbortController().signal });
    busyMs += performance.now() - before;
    audioMs += audio.length / 16;
    const isRejected = text === unintelligible || text === '';
    if (options.verbose && (clip.words === undefined ? !isRejected : text !== clip.words))
      console.log(`${clip.name}: ${clip.words ?? '-'} > ${text}`);
    for (const name of [
      `${clip.set}, half ${clip.half}`,
      clip.words === undefined ? 'all unknown but letters' : 'all recordings in the grammar',
    ]) {
      if (name.startsWith('all') && (clip.set === 'letters' || clip.set.startsWith('voice'))) continue;
      const score = scores.get(name) ?? { clips: 0, right: 0, rejected: 0, wrong: 0 };
      score.clips += 1;
      if (isRejected) score.rejected += 1;
      else if (text === clip.words) score.right += 1;
      else score.wrong += 1;
      scores.set(name, score);
    }
  }
  console.log(`in ${surrounding.name}: real-time factor ${(busyMs / audioMs).toFixed(3)}`);
  for (const [name, { clips: count, right, rejected, wrong }] of [...scores].sort(([one], [other]) => one.localeCompare(other))) {
    console.log(
      `  ${name.padEnd(32)} ${String(count).padStart(4)} clips  ${right} right  ${rejected} rejected  ${wrong} misheard`,
    );
  }
  report.push({
    name: surrounding.name,
    realTimeFactor: busyMs / audioMs,
    sets: [...scores].map(([set, score]) => ({ set, ...score })),
  });
  console.log('');
}
if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ surroundings: report }, null, 2));
await transcriber.close();
