/**
 * `npm run bench:embedded`: the engine without any key, hearing strangers. Each recording is one spoken turn over the real socket: detector, cut-out,
 * embedded recogniser, responder and voice, nothing simulated. Compares `user_transcript` with what was said.
 *
 * In the grammar: isolated digits of six strangers, digits and yes and no of others, a string of digits, a yes, and sentences of the embedded
 * synthesiser. Outside it: read sentences in eight languages and single letters, which must be rejected and not be taken for something else.
 */
import { basename } from 'node:path';
import { resample } from '../src/audio/resample.js';
import { inputRateHz } from '../src/shared/units.js';
import { loadFlite } from '../src/tts/embedded/flite.js';
import { Beat } from './beat.js';
import { Caller } from './caller.js';
import { type Clip, clipOf, readClip } from './clip.js';
import { readFlags } from './rig/flags.js';
import { recordedSpeech, recordingsFolder } from './rig/recordings.js';
import { Report } from './rig/report.js';
import { Stack } from './rig/stack.js';

const usage = `Holds conversations with the embedded engine (no key, nothing simulated) and counts what it understood.`;
const flags = {
  callers: { fallback: 4, min: 1, max: 16, means: 'calls at once' },
  most: { fallback: 1000, min: 1, max: 1000, means: 'recordings of each kind' },
};

/** Sentences of the demo agent's grammar, said by the embedded voice; the last one ends the call. */
const sentences = [
  'what is seven plus five',
  'how much is twenty minus four',
  'what time is it',
  'yes',
  'no',
  'four two seven nine',
  'help',
  'tell me a story',
  'stop',
  'goodbye',
];

const pauseMs = 300;
const answerWaitMs = 9000;
const quietMs = 500;
const replyMaxMs = 15_000;
const unintelligible = '[unintelligible]';

type Group = 'digits' | 'alphanumeric' | 'phrases' | 'synthesised' | 'dictation' | 'letters';
type Item = { readonly name: string; readonly group: Group; readonly expected: string | undefined; readonly clip: Clip };
type Result = { readonly item: Item; readonly heard: readonly string[]; readonly isAnswered: boolean };

const digitNames: Readonly<Record<string, string>> = Object.fromEntries(
  ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'].map((name, digit) => [String(digit), name]),
);

/** Words in lower case without marks; digits and "oh" as words. */
function plain(text: string): string {
  const words = text.toLowerCase().match(/[\p{L}\p{N}'[\]]+/gu) ?? [];
  return words.map((word) => digitNames[word] ?? (word === 'oh' ? 'zero' : word)).join(' ');
}

/** Single words of the grammar in `speech/`. */
const spokenWords = new Set(['no', 'six', 'one zero zero zero one nine zero two one zero zero one eight zero three']);

async function recordings(most: number): Promise<Item[]> {
  const items: Item[] = [];
  const counts = new Map<Group, number>();
  for (const { file, transcript } of recordedSpeech()) {
    const name = file.slice(recordingsFolder.length + 1);
    const text = plain(transcript);
    const group = groupOf(name, text);
    if (group === undefined || (counts.get(group) ?? 0) >= most) continue;
    counts.set(group, (counts.get(group) ?? 0) + 1);
    const isForeign = group === 'dictation' || group === 'letters';
    items.push({ name, group, expected: isForeign ? undefined : text, clip: await readClip(file) });
  }
  return items;
}

function groupOf(name: string, text: string): Group | undefined {
  if (name.startsWith('digits/')) return 'digits';
  if (name.startsWith('alphanumeric/')) return text.length === 1 ? 'letters' : 'alphanumeric';
  const isRead = name.startsWith('speech/');
  if (name === 'turns/yes.flac' || (isRead && spokenWords.has(text))) return 'phrases';
  return isRead ? 'dictation' : undefined;
}

async function synthesised(): Promise<Item[]> {
  const flite = await loadFlite();
  return sentences.map((text) => {
    const { audio, rateHz } = flite.synthesise(text);
    const clip = clipOf(text, resample(audio, rateHz, inputRateHz));
    return { name: text, group: 'synthesised', expected: plain(text), clip };
  });
}

/** Says each item and hears the answer out; ends early when the agent hangs up. */
async function converse(url: string, beat: Beat, items: readonly Item[], results: Result[]): Promise<string[]> {
  const caller = await Caller.connect({ url, beat, keepsLanes: false });
  const greeting = await caller.onset(0, answerWaitMs);
  if (greeting !== undefined) await caller.endOf(greeting, quietMs, replyMaxMs);
  for (const item of items) {
    if (caller.closed !== undefined) break;
    const said = caller.say(item.clip, caller.nowMs + pauseMs);
    await caller.until(said.voiceEndMs);
    const reply = await caller.onset(said.speechStartMs, answerWaitMs);
    await caller.until(said.speechEndMs + quietMs);
    // A long answer is not heard out: the next item interrupts it, as a caller would.
    const isStory = item.expected === 'tell me a story';
    if (reply !== undefined && !isStory) await caller.endOf(lastReply(caller) ?? reply, quietMs, replyMaxMs);
    if (isStory && reply !== undefined) await caller.until(reply.onsetMs! + 3000);
    const heard = caller.events
      .filter((event) => event.type === 'user_transcript' && event.atMs >= said.speechStartMs)
      .map((event) => plain(transcriptOf(event.details)));
    results.push({ item, heard, isAnswered: reply !== undefined });
  }
  if (caller.closed === undefined) await caller.hangUp();
  return [...caller.problems];
}

function transcriptOf(details: Readonly<Record<string, unknown>>): string {
  const inner = details['user_transcription_event'];
  const holder = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : details;
  return String(holder['user_transcript'] ?? '');
}

function lastReply(caller: Caller): ReturnType<Caller['ear']['replies']['get']> {
  return [...caller.ear.replies.values()].at(-1);
}

const isRejected = (result: Result): boolean => result.heard.every((text) => text === unintelligible || text === '');
const isRight = (result: Result): boolean => result.heard.join(' ') === result.item.expected;
const ratio = (results: readonly Result[], is: (result: Result) => boolean): number =>
  results.length === 0 ? Number.NaN : results.filter(is).length / results.length;

async function run(settings: { callers: number; most: number; json: string | undefined }): Promise<number> {
  const { callers, most } = settings;
  const report = new Report('The embedded engine (nothing simulated)', { callers, most });
  const stack = await Stack.start({ profile: 'reference', seed: 1, sessionsMax: callers + 1, agents: [], providers: 'embedded' });
  const results: Result[] = [];
  try {
    const beat = new Beat();
    const items = await recordings(most);
    if (items.length === 0)
      report.note(`no recordings at ${basename(recordingsFolder)} beside the checkout: only synthesised sentences`);
    const own = await synthesised();
    const lanes = Array.from({ length: callers }, (_, lane) => items.filter((_item, index) => index % callers === lane));
    const problems = await Promise.all(
      [own, ...lanes.filter((lane) => lane.length > 0)].map((lane) => converse(stack.url, beat, lane, results)),
    );
    for (const problem of problems.flat().slice(0, 5)) report.note(problem);
    report.lateness(beat.latenessUs.getValueAtPercentile(99) / 1000, beat.latenessUs.maxValue / 1000);
    tell(report, results, items.length > 0);
    report.details(
      results.map(({ item, heard, isAnswered }) => ({
        name: item.name,
        group: item.group,
        expected: item.expected,
        heard,
        isAnswered,
      })),
    );
    const readyLine = stack.says.find((line) => line.includes('ready after')) ?? '';
    report.bar('start to ready', Number(/after ([\d.]+) s/.exec(readyLine)?.[1] ?? Number.NaN), 'at most', 3, 's');
  } finally {
    await stack.stop();
  }
  return report.finish(settings.json);
}

function tell(report: Report, results: readonly Result[], hasRecordings: boolean): void {
  report.section('understood');
  const of = (...groups: Group[]): Result[] => results.filter(({ item }) => groups.includes(item.group));
  for (const group of ['digits', 'alphanumeric', 'phrases', 'synthesised'] as const) {
    const all = of(group);
    if (all.length === 0) continue;
    report.fact(`${group.padEnd(16)} right ${all.filter(isRight).length} of ${all.length}`);
    for (const result of all.filter((one) => !isRight(one)).slice(0, 12)) {
      report.fact(`    ${result.item.name}: “${result.heard.join(' | ')}” for “${result.item.expected}”`);
    }
  }
  report.section('outside the grammar');
  for (const group of ['dictation', 'letters'] as const) {
    const all = of(group);
    if (all.length === 0) continue;
    report.fact(`${group.padEnd(16)} rejected ${all.filter(isRejected).length} of ${all.length}`);
    for (const result of all.filter((one) => !isRejected(one)).slice(0, 12))
      report.fact(`    ${result.item.name}: “${result.heard.join(' | ')}”`);
  }
  const inGrammar = of('digits', 'alphanumeric', 'phrases', 'synthesised');
  report.bar('in-grammar turns right', ratio(inGrammar, isRight) * 100, 'at least', 80, '%');
  if (hasRecordings) report.bar('dictation rejected', ratio(of('dictation'), isRejected) * 100, 'at least', 80, '%');
  report.bar('turns with a spoken answer', ratio(results, (result) => result.isAnswered) * 100, 'at least', 98, '%');
}

const settings = readFlags(usage, flags);
if (settings !== undefined) process.exitCode = await run(settings);
