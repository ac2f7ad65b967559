/** What is said in the rigs: questions about a topic of their own, long answers to them, and ways to interrupt those. Pure. */
import type { ScriptedAnswer } from '../providers/answers.js';
import { pickOf, randomOf } from '../providers/seeded.js';

const colours = [
  'green',
  'golden',
  'silver',
  'purple',
  'crooked',
  'frozen',
  'hidden',
  'broken',
  'sleepy',
  'windy',
  'dusty',
  'narrow',
];
const things = [
  'garden',
  'harbour',
  'lantern',
  'castle',
  'railway',
  'orchard',
  'museum',
  'windmill',
  'theatre',
  'bakery',
  'canyon',
  'temple',
];

/** 144 topics; no two of them share both words. */
export function topicOf(index: number): string {
  const thing = things[index % things.length]!;
  const colour = colours[(Math.floor(index / things.length) + index) % colours.length]!;
  return `${colour} ${thing}`;
}
export const topicsMax = colours.length * things.length;

const questionForms = [
  'Please tell me about the {topic}.',
  'What do you know about the {topic}?',
  'Describe the {topic} for me please.',
];

export function questionAbout(topic: string, index: number): string {
  return questionForms[index % questionForms.length]!.replace('{topic}', topic);
}

const sentences = [
  'Several hundred visitors come here every single summer morning.',
  'Most of them arrive early because the afternoon becomes rather crowded.',
  'An old family has looked after everything since eighteen forty.',
  'Their grandfather planted seven walnut trees beside the northern entrance.',
  'Later somebody added wooden benches where people rest and read newspapers.',
  'During winter heavy snow covers each path for almost eleven weeks.',
  'Local schools send children twice every year to learn about history.',
  'A famous painter lived around the corner and sold his pictures cheaply.',
  'Nobody remembers why builders chose such unusual yellow stone.',
  'After dinner musicians often perform under coloured paper lamps.',
  'The river nearby floods whenever rain falls longer than three days.',
  'Engineers repaired every bridge using steel from an abandoned factory.',
  'Guests usually enjoy warm apple cake served with fresh cream.',
  'Photographs from those early years hang inside our small library.',
  'Many travellers describe this journey as calm, quiet and beautiful.',
  'Around Easter volunteers paint all fences and clean every window.',
  'One evening lightning struck that tower without hurting anybody.',
  'Farmers still bring vegetables, honey and cheese on market mornings.',
  'Tickets remain affordable since generous neighbours support our work.',
  'Researchers recently discovered ancient coins beneath its western wall.',
];

/** At least 15 seconds of speech in the simulated voice. */
export function longAnswerAbout(topic: string, seed: number): string {
  return answerAbout(topic, seed, 5);
}

/** Some 6 seconds: heard out before the next question. */
export function shortAnswerAbout(topic: string, seed: number): string {
  return answerAbout(topic, seed, 1);
}

function answerAbout(topic: string, seed: number, sentenceCount: number): string {
  const random = randomOf(seed, 'answer', topic);
  const left = [...sentences];
  const chosen: string[] = [`Here is what people say about the ${topic}.`];
  while (chosen.length <= sentenceCount) {
    const sentence = pickOf(random, left);
    left.splice(left.indexOf(sentence), 1);
    chosen.push(sentence);
  }
  return chosen.join(' ');
}

/** Some 8 seconds in one breath, the question at the end; `{topic}` as above. */
const longTurnForms = [
  'I was on the phone with my sister yesterday evening while she was cooking dinner for her three children and she mentioned that you could tell me everything about the {topic}.',
  'We are coming over by train next weekend with my parents and both of our dogs so before we book a room near the station I would like to hear about the {topic}.',
  'My neighbour has been living in this street for almost thirty years and he still could not answer the simple question that I have for you about the {topic}.',
];

export function longTurnAbout(topic: string, index: number): string {
  return longTurnForms[index % longTurnForms.length]!.replace('{topic}', topic);
}

export type InterruptionKind = 'stop' | 'correction' | 'question';
export type InterruptingText = { readonly kind: InterruptionKind; readonly text: string };

export const interruptions: readonly InterruptingText[] = [
  { kind: 'stop', text: 'Stop.' },
  { kind: 'stop', text: 'Stop talking please.' },
  { kind: 'stop', text: 'Wait, stop there.' },
  { kind: 'stop', text: 'No, that is enough.' },
  { kind: 'stop', text: 'Please be quiet now.' },
  { kind: 'stop', text: 'Cancel that.' },
  { kind: 'correction', text: 'No, I meant the blue bicycle.' },
  { kind: 'correction', text: 'Actually I wanted a cheaper ticket.' },
  { kind: 'correction', text: 'I asked for Tuesday instead.' },
  { kind: 'correction', text: 'That was not my question.' },
  { kind: 'correction', text: 'You got my name wrong again.' },
  { kind: 'correction', text: 'Sorry, my mistake, I need another topic.' },
  { kind: 'question', text: 'What time do you close tonight?' },
  { kind: 'question', text: 'How much would delivery cost me?' },
  { kind: 'question', text: 'Can I pay by card?' },
  { kind: 'question', text: 'Where could I park my car?' },
  { kind: 'question', text: 'Do you have something shorter?' },
  { kind: 'question', text: 'Who should I call instead?' },
];

export const shortAnswer = 'All right, I will do that for you.';

/** The script of the simulated model: a long answer for each of `topics`, and the short one for everything else. */
export function answersFor(topics: readonly string[], seed: number): ScriptedAnswer[] {
  const long = topics.map((topic) => ({ match: topic, text: longAnswerAbout(topic, seed) }));
  return [...long, { match: '*', text: shortAnswer }];
}

/** Words in lower case without marks, to compare what was said with what was understood. */
export function plainWords(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s]/gu, '')
    .trim()
    .replace(/\s+/g, ' ');
}
