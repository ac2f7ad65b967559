/** The ways out of one session: to the other threads, and into the log. Conversation thread. */
import type { ToApi } from '../api/links.js';
import type { ToStt, ToTts } from '../shared/links.js';
import type { FromConversation } from './links.js';

type Body<Union> = Union extends unknown ? Omit<Union, 'slot' | 'generation'> : never;
type ApiBody<Union> = Union extends unknown ? Omit<Union, 'conversationId'> : never;

/** What a session may do to the world. */
export type SessionLinks = {
  readonly toMain: (message: Body<FromConversation>) => void;
  readonly toStt: (message: Body<ToStt>) => void;
  readonly toTts: (message: Body<ToTts>) => void;
  readonly toApi: (message: ApiBody<ToApi>) => void;
  readonly log: (event: string, fields: Record<string, string | number>) => void;
};
