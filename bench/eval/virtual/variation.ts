/** What of the engine a virtual run may change: settings that are handed down, messages on their way between its parts, and synthesis. */
import type { FromConversation } from '../../../src/conversation/links.js';
import type { FromStt, FromTts, FromVad, ToStt, ToTts } from '../../../src/shared/links.js';
import type { AgentConfig } from '../../../src/store/agents.js';
import type { TtsProvider } from '../../../src/tts/port.js';
import type { GateSettings } from '../../../src/vad/gate.js';

/** What becomes of a message on its way; undefined: it is lost. */
export type Change<Message> = (message: Message) => Message | undefined;

export type EngineVariation = {
  readonly name: string;
  /** Every agent before the engine gets it: the settings of its turns are among them (`src/store/agents.ts`). */
  readonly agent?: (agent: AgentConfig) => AgentConfig;
  readonly gate?: Partial<GateSettings>;
  readonly messages?: {
    readonly vadToConversation?: Change<FromVad>;
    readonly vadToStt?: Change<FromVad>;
    readonly sttToConversation?: Change<FromStt>;
    readonly conversationToStt?: Change<ToStt>;
    readonly conversationToTts?: Change<ToTts>;
    readonly conversationToMain?: Change<FromConversation>;
    readonly ttsToConversation?: Change<FromTts>;
  };
  /** In place of the synthesis adapter, with that one inside. */
  readonly tts?: (provider: TtsProvider) => TtsProvider;
};
