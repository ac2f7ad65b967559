/** What words say about a turn: finished or not, a short answer, a backchannel, a stop word, our own echo. Pure; conversation thread. */
import type { TurnSettings } from './settings.js';

type WordLists = {
  readonly fillers: ReadonlySet<string>;
  /** Words that hardly ever end a sentence: conjunctions, prepositions, articles, auxiliaries. */
  readonly unfinished: ReadonlySet<string>;
  /** Words that open a sentence and mean nothing alone. */
  readonly starters: ReadonlySet<string>;
  readonly backchannels: ReadonlySet<string>;
  readonly shortAnswers: ReadonlySet<string>;
  readonly stops: ReadonlySet<string>;
  readonly waits: RegExp;
};

const set = (words: string): ReadonlySet<string> => new Set(words.split(' '));

const lists: Readonly<Record<string, WordLists>> = {
  en: {
    fillers: set('uh um er erm hmm ah eh'),
    unfinished: set(
      'and or but so because if when while although that which who whose where with without to from of for at by in on into about ' +
        'like than as the a an my your his her its our their this these those is are was were am be been will would can could ' +
        'should shall may might must do does did have has had i we they he she',
    ),
    starters: set('so well anyway now then'),
    backchannels: set(
      'mhm mm mmhm mmhmm mm-hm mm-hmm uh-huh uhhuh uh huh hm hmm yeah yep yes right ok okay sure aha oh i see really wow',
    ),
    shortAnswers: set('yes no yeah yep nope nah ok okay sure right correct exactly please thanks'),
    stops: set('stop wait no pause quiet enough cancel'),
    waits:
      /\b(?:hold on(?: (?:a|one) (?:moment|second|minute|sec))?|one (?:moment|second|minute)|just a (?:moment|second|minute|sec)|give me a (?:moment|second|minute|sec)|hang on|wait a (?:moment|second|minute|sec))\b[ .!,]*$/i,
  },
  de: {
    fillers: set('äh ähm hm hmm öh'),
    unfinished: set(
      'und oder aber weil wenn dass mit ohne zu von für bei in auf über der die das ein eine einen mein dein ist sind war ich wir',
    ),
    starters: set('also naja nun tja'),
    backchannels: set('mhm hm hmm ja genau okay ok aha ach so stimmt klar'),
    shortAnswers: set('ja nein doch genau okay ok gut bitte danke stimmt'),
    stops: set('stopp stop warte halt nein moment'),
    waits: /\b(?:einen? (?:moment|augenblick)|moment mal|warte mal|warten sie)\b[ .!,]*$/i,
  },
  fr: {
    fillers: set('euh ben hein hum'),
    unfinished: set(
      'et ou mais parce que si quand avec sans à de du des pour chez dans sur le la les un une mon ma est sont je nous',
    ),
    starters: set('alors donc bon enfin'),
    backchannels: set('mhm hm oui ouais ok okay accord ah bon voilà'),
    shortAnswers: set('oui non ouais si ok okay merci voilà exactement'),
    stops: set('stop attends attendez arrête arrêtez non'),
    waits: /\b(?:un (?:moment|instant)|une seconde|attendez|attends)\b[ .!,]*$/i,
  },
  es: {
    fillers: set('eh em este pues'),
    unfinished: set('y o pero porque si cuando con sin a de del para en por el la los las un una mi es son yo'),
    starters: set('bueno entonces así'),
    backchannels: set('mhm hm sí ya ok vale claro ajá'),
    shortAnswers: set('sí si no ok vale claro gracias exacto'),
    stops: set('para espera espere alto no'),
    waits: /\b(?:un (?:momento|segundo)|espere?)\b[ .!,]*$/i,
  },
};

function listsFor(language: string): WordLists {
  return lists[language] ?? lists['en']!;
}

/** Words in lower case without punctuation; what is in brackets ("[unintelligible]") is no word. */
export function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .replace(/\[[^\]]*\]/g, ' ')
    .split(/[^\p{L}\p{N}'@-]+/u)
    .map((word) => word.replace(/^['-]+|['-]+$/g, ''))
    .filter((word) => word !== '');
}

/** Words joined by one space: two transcripts with the same key mean the same to a reply. */
export function keyOf(text: string): string {
  return wordsOf(text).join(' ') || text.trim();
}

/** Whether the transcript stands for speech, understood or not. */
export function hasSpeech(text: string): boolean {
  return text.trim() !== '';
}

export function isBackchannel(text: string, language: string): boolean {
  const words = wordsOf(text);
  const { backchannels } = listsFor(language);
  return words.length > 0 && words.length <= 4 && words.every((word) => backchannels.has(word));
}

/** Not worth an interruption: a backchannel, or one of the agent's own terms. The whole utterance is compared. */
export function isIgnorable(text: string, settings: Pick<TurnSettings, 'language' | 'ignoredTerms'>): boolean {
  if (isBackchannel(text, settings.language)) return true;
  const key = keyOf(text);
  return key !== '' && settings.ignoredTerms.some((term) => keyOf(term) === key);
}

export function hasStopWord(text: string, language: string): boolean {
  const { stops, waits } = listsFor(language);
  return waits.test(text) || wordsOf(text).some((word) => stops.has(word));
}

/** One or two words that begin a sentence and end in the air ("So…", "but uh"): on their own they want nothing. */
export function isFalseStart(text: string, language: string): boolean {
  const { fillers, unfinished, starters } = listsFor(language);
  const words = wordsOf(text);
  return (
    words.length > 0 &&
    words.length <= 2 &&
    words.every((word) => fillers.has(word) || unfinished.has(word) || starters.has(word))
  );
}

/** The caller asked for time: no reply is due. */
export function asksToWait(text: string, language: string): boolean {
  return listsFor(language).waits.test(text) && wordsOf(text).length <= 6;
}

/** Slowest and fastest speech that synthesisers make, and how old an echo can be. */
const charsPerSecond = { min: 9, max: 20 };
const echoMaxMs = 5000;

/** The part of the agent's text that can have been audible in the last five seconds, `sinceMs` after its first sample. */
export function spokenLately(text: string, sinceMs: number): string {
  const from = Math.floor((Math.max(0, sinceMs - echoMaxMs) * charsPerSecond.min) / 1000);
  const to = Math.ceil((Math.max(0, sinceMs) * charsPerSecond.max) / 1000);
  return text.slice(text.lastIndexOf(' ', from) + 1, to);
}

/** Whether the agent's text ends in a question that the caller can have heard, `sinceMs` after its first sample. */
export function hasAsked(text: string, sinceMs: number): boolean {
  const trimmed = text.trimEnd();
  return trimmed.endsWith('?') && trimmed.length <= (sinceMs * charsPerSecond.max) / 1000;
}

/**
 * How much of `text` comes back from `spoken`: the largest share of its words that occurs, in order, within a stretch of `spoken` that is not
 * much longer than `text` itself, 0..1. Everyday words scattered over a paragraph are no echo.
 */
export function echoRatio(text: string, spoken: string): number {
  const heard = wordsOf(text);
  const said = wordsOf(spoken);
  if (heard.length === 0 || said.length === 0) return 0;
  const stretch = Math.ceil(heard.length * 1.5);
  let best = 0;
  for (let start = 0; start < said.length; start++) best = Math.max(best, commonWords(heard, said.slice(start, start + stretch)));
  return best / heard.length;
}

/** Length of the longest common subsequence. */
function commonWords(left: readonly string[], right: readonly string[]): number {
  let row = new Array<number>(right.length + 1).fill(0);
  for (const word of left) {
    const next = new Array<number>(right.length + 1).fill(0);
    for (let column = 1; column <= right.length; column++) {
      next[column] = word === right[column - 1] ? row[column - 1]! + 1 : Math.max(row[column]!, next[column - 1]!);
    }
    row = next;
  }
  return row[right.length]!;
}

const digitWord =
  /^(?:\d+|[a-z]|zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple|null|eins|zwei|drei|vier|fünf|sechs|sieben|acht|neun|at|dot|dash|underscore|[^ ]*@[^ ]*)$/;
/** Asked for by the agent, it is given in groups: numbers, codes, addresses, names that are spelled. */
const collecting =
  /\b(?:spell|e-?mail|phone|number|zip|(?:post)?code|pin|password|account|iban|reference|serial|plate|digits|address|street|deliver|ship|send|date of birth|where (?:do|can|could|should|shall|are|is|to))\b/i;

/**
 * Silence to wait for after the last speech sample before the turn counts as over (ms), from what was said.
 * `agentText`: what the agent said last, to know what was asked.
 */
export function endpointDelayMs(text: string, agentText: string, settings: TurnSettings): number {
  const { fillers, unfinished, shortAnswers } = listsFor(settings.language);
  const words = wordsOf(text);
  const last = words.at(-1) ?? '';
  const trimmed = text.trim();
  const asked = agentText.trimEnd().endsWith('?');
  const choose = (): number => {
    const isOpenEnded = fillers.has(last) || /(?:,|…|\.\.\.|-|–|—)$/.test(trimmed);
    const isCollecting = asked && collecting.test(agentText);
    const isSpelled = words.length >= 2 && digitWord.test(last) && digitWord.test(words.at(-2)!);
    // Numbers and addresses come in groups with long pauses between them.
    if (isOpenEnded) return isSpelled || isCollecting ? settings.delayDictationMs : settings.delayUnfinishedMs;
    if (isSpelled || (isCollecting && digitWord.test(last))) return settings.delaySpellingMs;
    if (/[.?!]["')\]]?$/.test(trimmed)) return settings.delayCompleteMs;
    if (asked && words.length <= 2 && shortAnswers.has(last)) return settings.delayShortAnswerMs;
    if (unfinished.has(last) && words.length > 1) return settings.delayUnfinishedMs;
    return isCollecting ? settings.delayUnfinishedMs : settings.delayNeutralMs;
  };
  return Math.min(settings.delayMaxMs, Math.max(settings.delayMinMs, choose() * settings.delayRatio));
}
