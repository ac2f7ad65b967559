/**
 * What the simulated providers know of one call, from their journal: what was synthesised, what the model was asked, and how long each took. Pure.
 */
import type { Entry, LlmRequest } from '../../../load/providers/journal.js';
import { type Voice, voiceRateHz } from '../../../load/providers/voice.js';
import type { AudioArrival, MessageArrival, ModelRequest, ProviderWait, SynthesisedReply, Word } from '../run-record.js';

/** `zeroMs`: the connect, on the clock of the journal. Entries and requests may be those of other calls as well. */
export type Journal = { readonly entries: readonly Entry[]; readonly requests: readonly LlmRequest[]; readonly zeroMs: number };

const voiceSamplesPerMs = voiceRateHz / 1000;

/** The speech of one context of the synthesiser. */
type Spoken = { readonly firstByteMs: number; readonly samples: Int16Array; readonly words: readonly Word[]; isUsed: boolean };

/** What was synthesised for scenario `id`, for each reply whose audio arrived. */
export function repliesOf(
  id: string,
  journal: Journal,
  audio: readonly AudioArrival[],
  messages: readonly MessageArrival[],
  voice: Voice,
): SynthesisedReply[] {
  const spoken = spokenOf(id, journal, voice);
  const texts = new Map(
    messages
      .filter(({ type }) => type === 'agent_response')
      .map(({ payload }) => [payload['event_id'], String(payload['agent_response'])]),
  );
  const firsts = new Map<number, number>();
  for (const { eventId, atMs } of audio) if (!firsts.has(eventId)) firsts.set(eventId, atMs);
  return [...firsts].flatMap(([eventId, atMs]) => {
    const source = sourceOf(spoken, atMs, texts.get(eventId));
    if (source === undefined) return [];
    source.isUsed = true;
    return [{ eventId, samples: source.samples, words: source.words }];
  });
}

/**
 * The speech that a reply with this text, first heard of at `atMs`, is made of: the newest one made before that with the same words, as far as
 * both go. A reply that goes on after a cut that was taken back shares its speech with the one that was cut.
 */
function sourceOf(spoken: readonly Spoken[], atMs: number, text: string | undefined): Spoken | undefined {
  const made = spoken.filter(({ firstByteMs }) => firstByteMs <= atMs);
  if (text === undefined) return undefined;
  const fitting = made.filter(({ words }) => isSameAsFarAs(plain(words.map((word) => word.text).join(' ')), plain(text)));
  return fitting.findLast(({ isUsed }) => !isUsed) ?? fitting.at(-1);
}

function plain(text: string): string {
  return (text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? []).join(' ');
}

function isSameAsFarAs(left: string, right: string): boolean {
  return left.startsWith(right) || right.startsWith(left);
}

function spokenOf(id: string, { entries, zeroMs }: Journal, voice: Voice): Spoken[] {
  const contexts = new Map<string, Entry[]>();
  for (const entry of entries) {
    if (entry.endpoint !== 'tts' || entry.atMonotonicMs.firstByte === undefined || !isVoiceOf(id, entry.path)) continue;
    const key = entry.contextId ?? `entry ${entry.number}`;
    contexts.set(key, [...(contexts.get(key) ?? []), entry]);
  }
  return [...contexts.values()].map((generations) => {
    const speeches = generations.map(({ text }) => voice.speak(text ?? ''));
    const samples = new Int16Array(speeches.reduce((sum, { audio }) => sum + audio.length, 0));
    const words: Word[] = [];
    let offset = 0;
    for (const speech of speeches) {
      samples.set(speech.audio, offset);
      for (const { word, startMs, endMs } of speech.words) {
        words.push({ text: word, from: offset + startMs * voiceSamplesPerMs, to: offset + endMs * voiceSamplesPerMs });
      }
      offset += speech.audio.length;
    }
    return { firstByteMs: generations[0]!.atMonotonicMs.firstByte! - zeroMs, samples, words, isUsed: false };
  });
}

function isVoiceOf(id: string, path: string): boolean {
  return path.startsWith(`/v1/text-to-speech/${id}/`) || path === `/v1/text-to-speech/${id}`;
}

/** What the model was asked by scenario `id`; `mark` is in its prompt. */
export function modelRequestsOf(mark: string, { entries, requests, zeroMs }: Journal): ModelRequest[] {
  const entryOf = new Map(entries.map((entry) => [entry.number, entry]));
  return requests.flatMap((request) => {
    const messages = messagesOf(request);
    if (!messages.some(({ role, content }) => role === 'system' && content.includes(mark))) return [];
    const entry = entryOf.get(request.entry);
    const answer = entry?.atMonotonicMs.firstByte === undefined ? '' : (entry.text ?? '');
    return [{ atMs: request.atMonotonicMs - zeroMs, messages, answer }];
  });
}

function messagesOf(request: LlmRequest): ModelRequest['messages'] {
  const { messages } = request.body as { messages: readonly { role: string; content?: unknown }[] };
  return messages.map(({ role, content }) => ({
    role,
    content: typeof content === 'string' ? content : JSON.stringify(content ?? ''),
  }));
}

/** How long providers took for scenario `id`, for every request that was answered, in order of the requests. */
export function waitsOf(id: string, mark: string, { entries, requests, zeroMs }: Journal): ProviderWait[] {
  const own = new Set(
    requests
      .filter((request) => messagesOf(request).some(({ role, content }) => role === 'system' && content.includes(mark)))
      .map(({ entry }) => entry),
  );
  const isOwn = (entry: Entry): boolean => {
    if (entry.endpoint === 'llm') return own.has(entry.number);
    return entry.endpoint === 'stt' ? entry.group === id : isVoiceOf(id, entry.path);
  };
  return entries.flatMap((entry): ProviderWait[] => {
    const { received, complete, firstByte } = entry.atMonotonicMs;
    const { endpoint } = entry;
    if (endpoint !== 'stt' && endpoint !== 'llm' && endpoint !== 'tts') return [];
    if (firstByte === undefined || !isOwn(entry)) return [];
    return [{ stage: endpoint, fromMs: (complete ?? received) - zeroMs, toMs: firstByte - zeroMs }];
  });
}
