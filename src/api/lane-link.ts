/**
 * One lane as the API thread sees it: the port of its conversation thread and that of its voice. When the lane dies its conversations are ended
 * here, because nobody else can; when a new lane takes its place it gets fresh ports. API thread.
 */
import type { MessagePort } from 'node:worker_threads';
import type { ConversationEnding } from '../store/port.js';
import type { AgentChanged, FromApi, SpokenAudio, ToApi } from './links.js';

const reason = 'An internal error ended the call.';

export type LaneLinkEvents = {
  readonly onMessage: (message: ToApi, answer: (message: FromApi) => void) => void;
  readonly onSpoken: (message: SpokenAudio) => void;
  readonly nowMs: () => number;
};

export class LaneLink {
  readonly #events: LaneLinkEvents;
  /** Conversations of the lane that have begun and are not over. */
  readonly #live = new Set<string>();
  #conversation: MessagePort;
  #voice: MessagePort;
  #isClosed = false;

  constructor(conversation: MessagePort, voice: MessagePort, events: LaneLinkEvents) {
    this.#events = events;
    this.#conversation = conversation;
    this.#voice = voice;
    this.#listen(conversation, voice);
  }

  announce(message: AgentChanged): void {
    this.#conversation.postMessage(message);
  }

  /** Another lane serves the slots of this one. */
  renew(conversation: MessagePort, voice: MessagePort): void {
    const [oldConversation, oldVoice] = [this.#conversation, this.#voice];
    this.#conversation = conversation;
    this.#voice = voice;
    oldConversation.close();
    oldVoice.close();
    this.#abandon();
    this.#listen(conversation, voice);
  }

  close(): void {
    this.#isClosed = true;
    this.#conversation.close();
    this.#voice.close();
  }

  #listen(conversation: MessagePort, voice: MessagePort): void {
    const answer = (message: FromApi): void => conversation.postMessage(message);
    conversation.on('message', (message: ToApi) => {
      if (message.type === 'begin') this.#live.add(message.conversationId);
      if (message.type === 'end') this.#live.delete(message.conversationId);
      this.#events.onMessage(message, answer);
    });
    voice.on('message', this.#events.onSpoken);
    // Comes after the last message when the thread at the far end is gone.
    conversation.once('close', () => {
      if (conversation === this.#conversation) this.#abandon();
    });
  }

  #abandon(): void {
    if (this.#isClosed) return;
    for (const conversationId of this.#live) {
      const ending: ConversationEnding = {
        status: 'failed',
        endedAtMs: this.#events.nowMs(),
        document: { termination_reason: reason, error: { code: 1011, reason } },
      };
      this.#events.onMessage({ conversationId, type: 'end', ending }, () => undefined);
    }
    this.#live.clear();
  }
}
