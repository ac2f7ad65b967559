/** An engine that says what it has begun to answer, whatever the caller does meanwhile: changes to messages on their way to synthesis. */
import type { ToTts } from '../../../src/shared/links.js';
import type { MessageChanges } from './variation.js';

type Release = Extract<ToTts, { type: 'release' }>;

/** A reply that was on its way when the caller went on is not thrown away: it is heard before the next one. */
export function keepReplies(): MessageChanges {
  const released = new Map<number, Release>();
  const kept: Release[] = [];
  return {
    conversationToTts: (message) => {
      switch (message.type) {
        case 'release':
          released.set(message.speech, message);
          return [...kept.splice(0).map((earlier) => ({ ...earlier, epoch: message.epoch })), message];
        case 'cut':
          released.delete(message.speech);
          return message;
        case 'discard': {
          const release = released.get(message.speech);
          if (release === undefined) return message;
          kept.push(release);
          // Its words have come to an end.
          const { slot, generation, speech } = message;
          return { slot, generation, speech, type: 'text_end' };
        }
        default:
          return message;
      }
    },
  };
}
