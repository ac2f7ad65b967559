/** Questions with long answers and phrases that interrupt them, known to the simulated providers. Runs on the callers' thread. */
import type { Trial } from './interruptions.js';
import type { CallerVoice, Phrase } from './phrases.js';
import type { Stack } from './stack.js';
import { answersFor, interruptions, longAnswerAbout, questionAbout, topicOf, topicsMax } from './texts.js';

/** A trial without the moment at which it interrupts. */
export type TrialPlan = Omit<Trial, 'delayMs'>;

const plansMax = 40;

/** Speaks every text and tells the simulator what it means and how to answer. */
export async function planTrials(stack: Stack, voice: CallerVoice, seed: number): Promise<TrialPlan[]> {
  const phrases = new Map<string, Phrase>();
  const plans = Array.from({ length: Math.min(topicsMax, plansMax) }, (_, index) => {
    const topic = topicOf(index);
    const { text } = interruptions[index % interruptions.length]!;
    const phrase = phrases.get(text) ?? voice.phrase(`phrase ${text}`, text);
    phrases.set(text, phrase);
    return {
      question: voice.phrase(`question ${topic}`, questionAbout(topic, index)),
      phrase,
      topic,
      answer: longAnswerAbout(topic, seed),
    };
  });
  await stack.simulator?.registerClips([
    ...plans.map(({ question }) => question.registration),
    ...[...phrases.values()].map(({ registration }) => registration),
  ]);
  await stack.simulator?.addAnswers(
    answersFor(
      plans.map(({ topic }) => topic),
      seed,
    ),
  );
  return plans;
}
