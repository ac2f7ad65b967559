/**
 * Cleans what Whisper models write. They were trained on subtitles: on silence they write what subtitles say at the end of a video, and
 * sometimes they write one phrase over and over. Pure; STT thread.
 */
import type { Ms } from '../shared/units.js';

export type TextEvidence = {
  /** 0..1, the recogniser's estimate that there was no speech; unknown for some. */
  readonly noSpeechRatio?: number | undefined;
  /** Speech that the gate saw in the turn so far; known at a pause. */
  readonly speechMs?: Ms | undefined;
  /** Sent as a hint; on silence the hint itself may come back. */
  readonly keywords?: readonly string[];
};

export type TextSettings = {
  /** Less speech than this cannot be the words of a phantom. */
  readonly phantomSpeechMs: Ms;
  /** A phantom with a higher estimate of no speech is dropped. */
  readonly phantomNoSpeechRatio: number;
};

/** A single word is said five times in earnest ("no, no, no, no, no"), a phrase twice. */
const wordRepeatsMin = 6;
const phraseRepeatsMin = 3;
const phraseWordsMax = 8;

/** Words of numbers repeat in earnest: telephone numbers, "double zero". */
const numberWords = new Set(
  'zero oh o one two three four five six seven eight nine ten hundred thousand double triple null eins zwei drei vier fünf sechs sieben acht neun un deux trois quatre cinq sept huit neuf uno dos tres cuatro cinco seis siete ocho nueve'.split(
    ' ',
  ),
);

/** As `plain` writes them. */
const phantoms = new Set([
  'you',
  'thank you',
  'thank you very much',
  'thank you so much',
  'thanks',
  'thanks for watching',
  'thank you for watching',
  'thanks for listening',
  'thank you for listening',
  'please subscribe',
  'please subscribe to my channel',
  'like and subscribe',
  'dont forget to subscribe',
  'see you next time',
  'see you in the next video',
  'bye',
  'bye bye',
  'the end',
  'subtitles by the amara org community',
  'transcription by castingwords',
  'vielen dank',
  'danke',
  'vielen dank fürs zuschauen',
  'untertitel der amara org community',
  'untertitelung des zdf 2020',
  'merci',
  'merci davoir regardé cette vidéo',
  'sous titres réalisés par la communauté damara org',
  'gracias',
  'gracias por ver el video',
  'subtítulos realizados por la comunidad de amara org',
  'obrigado',
  'legendas pela comunidade amara org',
  'grazie a tutti',
  'sottotitoli creati dalla comunità amara org',
  'спасибо за просмотр',
  'продолжение следует',
  'ご視聴ありがとうございました',
  '次の動画でお会いしましょう',
  '시청해주셔서 감사합니다',
  '请不吝点赞 订阅 转发 打赏支持明镜与点点栏目',
  'abone olmayı unutmayın',
]);

/** The words that were said, as far as `evidence` tells; empty for none. */
export function cleanText(text: string, evidence: TextEvidence, settings: TextSettings): string {
  const once = stripRepeats(text.trim());
  if (isAnnotation(once)) return '';
  const silent =
    (evidence.noSpeechRatio ?? 0) > settings.phantomNoSpeechRatio ||
    (evidence.speechMs ?? settings.phantomSpeechMs) < settings.phantomSpeechMs;
  return silent && isPhantom(once, evidence.keywords ?? []) ? '' : once;
}

/** True for a phrase that Whisper is known to write on silence, and for the keywords read back. */
export function isPhantom(text: string, keywords: readonly string[]): boolean {
  const said = plain(text);
  return phantoms.has(said) || (keywords.length > 0 && said === plain(keywords.join(' ')));
}

/** Keeps one of a phrase that repeats without end, with the piece of it that the text breaks off in removed. Numbers and letters stay. */
export function stripRepeats(text: string): string {
  // Languages written without spaces repeat whole sentences, so a sentence mark ends a word too.
  const words = [...text.matchAll(/[^\s。！？]+[。！？]*/gu)].map((match) => ({ at: match.index, key: plain(match[0]) }));
  let kept = '';
  let index = 0;
  while (index < words.length) {
    const repeat = repeatAt(words, index);
    const from = words[index]!.at;
    const phraseEnd = index + (repeat?.phraseWords ?? 1);
    kept += text.slice(from, words[phraseEnd]?.at ?? text.length);
    index = repeat?.next ?? phraseEnd;
  }
  return kept.trim();
}

type Word = { readonly at: number; readonly key: string };

/** The shortest phrase at `start` that repeats often enough, and the word after its last repeat. */
function repeatAt(words: readonly Word[], start: number): { phraseWords: number; next: number } | undefined {
  for (let size = 1; size <= phraseWordsMax && start + size * phraseRepeatsMin <= words.length; size += 1) {
    const phrase = words.slice(start, start + size);
    if (phrase.every((word) => isNumberLike(word.key))) continue;
    let next = start + size;
    while (next < words.length && words[next]!.key === phrase[(next - start) % size]!.key) next += 1;
    const repeats = Math.floor((next - start) / size);
    if (repeats < (size === 1 ? wordRepeatsMin : phraseRepeatsMin)) continue;
    // A piece of the phrase is a repeat cut short only where the text ends; in front of other words it belongs to them.
    return { phraseWords: size, next: next === words.length ? next : start + repeats * size };
  }
  return undefined;
}

function isNumberLike(key: string): boolean {
  return key.length <= 1 || /\d/.test(key) || numberWords.has(key);
}

/** `[BLANK_AUDIO]`, `(music)`, `♪ … ♪`: a remark about sound, nothing said. A number in brackets is a telephone number. */
function isAnnotation(text: string): boolean {
  return /^(\[[^\]\d]*\]|\([^)\d]*\)|\*[^*\d]*\*|♪[^♪]*♪?)$/u.test(text) && text !== '[unintelligible]';
}

/** Lower case, letters and digits only, single spaces. */
function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/['’]/gu, '')
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ')
    .trim();
}
