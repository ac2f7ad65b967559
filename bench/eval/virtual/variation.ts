/** What of the engine a virtual run may change: settings that are handed down, messages on their way between its parts, and synthesis. */
import type { FromConversation } from '../../../src/conversation/links.js';
import type { FromStt, FromTts, FromVad, ToStt, ToTts } from '../../../src/shared/links.js';
import type { AgentConfig } from '../../../src/store/agents.js';
import type { Pacing } from '../../../src/tts/pacing.js';
import type { TtsProvider } from '../../../src/tts/port.js';
import type { ResumePoint } from '../../../src/tts/resume.js';
import type { SpeechModel } from '../../../src/vad/detector.js';
import type { GateSettings } from '../../../src/vad/gate.js';

/** What becomes of a message on its way: another one, several in its place, or (undefined) none. */
export type Change<Message> = (message: Message) => Message | readonly Message[] | undefined;

export type MessageChanges = {
  readonly vadToConversation?: Change<FromVad>;
  readonly vadToStt?: Change<FromVad>;
  readonly sttToConversation?: Change<FromStt>;
  readonly conversationToStt?: Change<ToStt>;
  readonly conversationToTts?: Change<ToTts>;
  readonly conversationToMain?: Change<FromConversation>;
  readonly ttsToConversation?: Change<FromTts>;
};

/** It may be given to any number of engines. */
export type EngineVariation = {
  readonly name: string;
  /** Every agent before the engine gets it: the settings of its turns are among them (`src/store/agents.ts`). */
  readonly agent?: (agent: AgentConfig) => AgentConfig;
  /** In place of the detector's model, with that one inside. */
  readonly model?: (model: SpeechModel) => SpeechModel;
  readonly gate?: Partial<GateSettings>;
  readonly pacing?: Partial<Pacing>;
  readonly resumePoint?: ResumePoint;
  /** For one engine: a change may remember what went by. */
  readonly messages?: () => MessageChanges;
  /** In place of the synthesis adapter, with that one inside. */
  readonly tts?: (provider: TtsProvider) => TtsProvider;
  /** What the engine sends to a caller goes through what this gives, once a call; `send` hands it on. */
  readonly client?: (send: (text: string) => void) => (text: string) => void;
};
