/**
 * Engines with one thing broken, each of which the evaluator must mark down where it is broken (`target`) and nowhere else by much; and the full
 * engine with one thing left out (`ablations`). All of it is settings, messages changed on their way, and what stands around the engine: the
 * engine itself has no code for it.
 */

import type { ToTts } from '../../../src/shared/links.js';
import type { AgentConfig } from '../../../src/store/agents.js';
import { pacing } from '../../../src/tts/pacing.js';
import type { TurnSettings } from '../../../src/turn/settings.js';
import type { SpeechModel } from '../../../src/vad/detector.js';
import { rowSamples } from '../../../src/vad/model.js';
import { StarvingTts } from './starving-tts.js';
import type { EngineVariation } from './variation.js';

export type Mutant = {
  readonly name: string;
  /** The dimension that must fall, or whose gate must. */
  readonly target: 'D1' | 'D2' | 'D3' | 'D4' | 'D5' | 'D6';
  /** What of the dimension, or which gate, where it says more. */
  readonly part: string;
  readonly what: string;
  /** For one engine: some remember what they did. */
  readonly create: () => EngineVariation;
};

export type Ablation = Pick<Mutant, 'name' | 'what' | 'create'>;

type TurnNumbers = Partial<{ readonly [Name in keyof TurnSettings as TurnSettings[Name] extends number ? Name : never]: number }>;

const withTurn = (settings: () => TurnNumbers) => (agent: AgentConfig) => ({
  ...agent,
  parley: { ...agent.parley, turn: { ...agent.parley.turn, ...settings() } },
});

/** The same silence whatever was said. */
const endAfter = (delayMs: number): TurnNumbers => ({
  delayCompleteMs: delayMs,
  delayShortAnswerMs: delayMs,
  delayNeutralMs: delayMs,
  delayUnfinishedMs: delayMs,
  delaySpellingMs: delayMs,
  delayMinMs: delayMs,
});

/** Cut at the first evidence, and nothing takes it back. */
const alwaysCut: TurnNumbers = { cutStrongMs: 0, cutStrongProbability: 0, cutAnyMs: 0, firstSpeechGuardMs: 0, undoMs: 0 };

function deafTo(agent: AgentConfig): AgentConfig {
  const { conversation_config: config } = agent;
  const events = config.conversation.client_events.filter((name) => name !== 'interruption');
  return {
    ...agent,
    conversation_config: { ...config, conversation: { ...config.conversation, client_events: events } },
  };
}

/** Whatever is louder than this is speech to the detector that knows only energy (dBFS, root mean square of a hop). */
const energyMinDb = -50;

function energyOnly(model: SpeechModel): SpeechModel {
  return {
    async run(batch, rows) {
      await model.run(batch, rows);
      for (let row = 0; row < rows; row += 1) {
        const samples = batch.input.subarray(row * rowSamples, (row + 1) * rowSamples);
        const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
        batch.output[row] = 10 * Math.log10(power) > energyMinDb ? 1 : 0;
      }
    },
  };
}

const tailMs = 500;

/** What follows an interruption waits with it, in order. */
function lateInterruptions(send: (text: string) => void): (text: string) => void {
  const waiting: string[] = [];
  return (text) => {
    const isFirst = waiting.length === 0 && text.includes('"type":"interruption"');
    if (waiting.length === 0 && !isFirst) {
      send(text);
      return;
    }
    waiting.push(text);
    if (!isFirst) return;
    setTimeout(() => {
      for (const late of waiting.splice(0)) send(late);
    }, tailMs);
  };
}

type Release = Extract<ToTts, { type: 'release' }>;

/** A reply that was on its way when the caller went on is not thrown away: it is heard before the next one. */
function bothAnswered(): EngineVariation {
  const released = new Map<number, Release>();
  const kept: Release[] = [];
  return {
    name: 'answers-halves',
    agent: withTurn(() => ({ mergeHeardMs: 0 })),
    messages: {
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
    },
  };
}

/** Everything of a speech is kept, so that it can be said again from its start. */
const keptMs = 600_000;
const aheadMs = 500;

type MutantRow = Omit<Mutant, 'create'> & { readonly variation: Omit<EngineVariation, 'name'> | (() => EngineVariation) };

const rows: readonly MutantRow[] = [
  {
    name: 'late-end',
    target: 'D1',
    part: 'gap',
    what: 'a turn is over after 1200 ms of silence, whatever was said',
    variation: { agent: withTurn(() => endAfter(1200)) },
  },
  {
    name: 'early-end',
    target: 'D2',
    part: 'fci',
    what: 'a turn is over after 150 ms of silence, or as soon as there is a transcript of it, whatever was said',
    variation: { agent: withTurn(() => endAfter(150)) },
  },
  {
    name: 'deaf',
    target: 'D3',
    part: 'yielded',
    what: 'nothing the caller says interrupts',
    variation: { agent: deafTo },
  },
  {
    name: 'long-tail',
    target: 'D3',
    part: 'G3',
    what: 'half a second of audio more is with the client, and an interruption empties it half a second late',
    variation: {
      pacing: {
        leadStartMs: pacing.leadStartMs + tailMs,
        leadMinMs: pacing.leadMinMs + tailMs,
        leadMaxMs: pacing.leadMaxMs + tailMs,
      },
      client: lateInterruptions,
    },
  },
  {
    name: 'stops-at-any-sound',
    target: 'D4',
    part: 'G8',
    what: 'any energy stops the agent for good',
    variation: {
      model: energyOnly,
      // Energy ends when it ends; the model is not asked whether it was speech.
      gate: { faintHopsMax: 6 },
      agent: withTurn(() => alwaysCut),
    },
  },
  {
    name: 'echo-off',
    target: 'D4',
    part: 'echo',
    what: 'nothing is done against the agent hearing itself',
    variation: {
      gate: { onProbabilityWhileAgentSpeaks: 0.5 },
      agent: withTurn(() => ({ echoRatio: 2, firstSpeechGuardMs: 0, falseHoldWindowMs: 0 })),
    },
  },
  {
    name: 'slow-onset',
    target: 'D3',
    part: 'stop',
    what: 'speech over the agent counts after 600 ms',
    variation: { gate: { startHopsWhileAgentSpeaksMin: Math.ceil(600 / 32), sureProbability: 2 } },
  },
  {
    name: 'hard-cut',
    target: 'D6',
    part: 'edge',
    what: 'no fades',
    // A frame without samples to fade keeps its edge.
    variation: { pacing: { fadeInMs: 0 } },
  },
  {
    name: 'resume-from-start',
    target: 'D5',
    part: 'repeat',
    what: 'after a false alarm the answer begins anew',
    variation: { pacing: { keptMs }, resumePoint: (speech) => speech.audio.start },
  },
  {
    name: 'resume-ahead',
    target: 'D5',
    part: 'skip, G5',
    what: 'after a false alarm half a second is left out',
    variation: {
      resumePoint: (speech, sent, _holeMs, rateHz) => Math.min(speech.audio.end, sent + (aheadMs * rateHz) / 1000),
    },
  },
  {
    name: 'remembers-unheard',
    target: 'D5',
    part: 'ctx, G7',
    what: 'an interrupted answer is remembered whole',
    variation: {
      messages: {
        ttsToConversation: (message) => (message.type === 'heard' ? { ...message, heardChars: message.totalChars } : message),
      },
    },
  },
  {
    name: 'answers-halves',
    target: 'D5',
    part: 'dbl',
    what: 'each half of a split turn is answered',
    variation: bothAnswered,
  },
  {
    name: 'starved',
    target: 'D6',
    part: 'stut',
    what: 'synthesis is late every 700 ms',
    variation: { tts: (provider) => new StarvingTts(provider, { everyMs: 700, holeMs: 300 }) },
  },
  {
    name: 'idle-at-random',
    target: 'D6',
    part: 'idle',
    what: 'the idle prompt comes when it likes',
    variation: {
      agent: withTurn(() => {
        const idleMs = 1000 + Math.round(Math.random() * 4000);
        return { idleMs, firstWaitMs: idleMs, idlePromptsMax: 9 };
      }),
    },
  },
];

/** Section 9 of the specification, in its order of targets. */
export const mutants: readonly Mutant[] = rows.map(({ variation, ...row }) => ({
  ...row,
  create: () => (typeof variation === 'function' ? variation() : { ...variation, name: row.name }),
}));

const ablated = (name: string, what: string, variation: Omit<EngineVariation, 'name'>): Ablation => ({
  name,
  what,
  create: () => ({ ...variation, name }),
});

export const ablations: readonly Ablation[] = [
  ablated('no-text-rule', 'every turn ends after the neutral silence', { agent: withTurn(() => endAfter(500)) }),
  ablated('no-speculation', 'no reply is begun before its turn is over', { agent: withTurn(() => ({ speculationsMax: 0 })) }),
  ablated('no-pause', 'what would pause the agent cuts it; it can be undone', {
    agent: withTurn(() => ({ cutStrongMs: 0, cutStrongProbability: 0, cutAnyMs: 0 })),
  }),
  ablated('no-undo', 'a cut made on sound alone stands', { agent: withTurn(() => ({ undoMs: 0 })) }),
  ablated('no-merge', 'a reply that was hardly heard counts as an answer', { agent: withTurn(() => ({ mergeHeardMs: 0 })) }),
  ablated('no-echo-rule', 'words are not compared with what the agent says', { agent: withTurn(() => ({ echoRatio: 2 })) }),
  ablated('no-level-guard', 'how loud it is does not matter to the speech gate', {
    gate: { startAboveFloorDb: -100, speechAboveFloorDb: -100 },
  }),
];
