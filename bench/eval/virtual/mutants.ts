/**
 * Engines with one thing broken, each of which the evaluator must mark down where it is broken (`target`) and nowhere else by much; and the full
 * engine with one thing left out (`ablations`). All of it is settings, messages changed on their way, and what stands around the engine: the
 * engine itself has no code for it.
 */

import { hopSamples, inputRateHz } from '../../../src/shared/units.js';
import type { AgentConfig } from '../../../src/store/agents.js';
import { pacing } from '../../../src/tts/pacing.js';
import { turnDefaults, turnRanges } from '../../../src/turn/settings.js';
import type { SpeechModel } from '../../../src/vad/detector.js';
import type { GateSettings } from '../../../src/vad/gate.js';
import { rowSamples } from '../../../src/vad/model.js';
import { keepReplies } from './keep-replies.js';
import { StarvingTts } from './starving-tts.js';
import { alwaysCut, endAfter, type TurnNumbers, withTurn } from './turn-changes.js';
import type { EngineVariation } from './variation.js';

export type Mutant = {
  /** What must fall by three points, or fail: dimensions, parts of them, gates. */
  readonly target: readonly string[];
  readonly what: string;
  readonly variation: EngineVariation;
};

export type Ablation = Pick<Mutant, 'what' | 'variation'>;

/** However much quieter than the caller it is (dB): it begins speech, and is taken for the caller's. */
const anyLevel: Partial<GateSettings> = { belowCallerDb: 120, belowCallerWhileAgentSpeaksDb: 120 };
const anybodyIsTheCaller: TurnNumbers = {
  otherTalkerDb: turnRanges.otherTalkerDb[1],
  otherTalkerSilentDb: turnRanges.otherTalkerSilentDb[1],
};

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

/** Everything of a speech is kept, so that it can be said again from its start. */
const keptMs = 600_000;
const aheadMs = 500;
const hopMs = (hopSamples * 1000) / inputRateHz;

const mutant = (name: string, target: readonly string[], what: string, variation: Omit<EngineVariation, 'name'>): Mutant => ({
  target,
  what,
  variation: { ...variation, name },
});

export const mutants: readonly Mutant[] = [
  mutant('late-end', ['D1'], 'a turn is over after 1200 ms of silence, whatever was said', {
    agent: withTurn(() => endAfter(1200)),
  }),
  mutant('early-end', ['D2', 'G4'], 'a turn is over 150 ms after its last sound, or with its transcript, whatever was said', {
    agent: withTurn(() => endAfter(150)),
  }),
  mutant('deaf', ['D3', 'G6'], 'nothing the caller says interrupts', { agent: deafTo }),
  mutant('long-tail', ['D3', 'G3'], 'the client has half a second more, and an interruption empties it half a second late', {
    pacing: {
      leadStartMs: pacing.leadStartMs + tailMs,
      leadMinMs: pacing.leadMinMs + tailMs,
      leadMaxMs: pacing.leadMaxMs + tailMs,
    },
    client: lateInterruptions,
  }),
  mutant('stops-at-any-sound', ['D4', 'G8'], 'any energy stops the agent for good', {
    model: energyOnly,
    // Energy ends when it ends; the model is not asked whether it was speech.
    gate: { faintHopsMax: 6 },
    agent: withTurn(() => alwaysCut),
  }),
  mutant('echo-off', ['D4 echo', 'D3'], 'nothing is done against the agent hearing itself', {
    gate: { onProbabilityWhileAgentSpeaks: 0.5, echoLikenessMin: 2, ...anyLevel },
    agent: withTurn(() => ({ echoRatio: 2, firstSpeechGuardMs: 0, falseHoldWindowMs: 0, ...anybodyIsTheCaller })),
  }),
  mutant('slow-onset', ['D3'], 'speech over the agent counts after 600 ms', {
    gate: { startHopsWhileAgentSpeaksMin: Math.ceil(600 / hopMs), sureProbability: 2 },
  }),
  mutant('hard-cut', ['D6 edge'], 'no fades', { pacing: { fadeInMs: 0, tailMs: 0 } }),
  mutant('resume-from-start', ['D5 repeat'], 'after a false alarm the answer begins anew', {
    pacing: { keptMs },
    resumePoint: (speech) => speech.audio.start,
  }),
  mutant('resume-ahead', ['D5 skip', 'G5'], 'after a false alarm half a second is left out', {
    resumePoint: (speech, sent, _holeMs, rateHz) => Math.min(speech.audio.end, sent + (aheadMs * rateHz) / 1000),
  }),
  mutant('remembers-unheard', ['D5 ctx', 'G7'], 'an interrupted answer is remembered whole', {
    messages: () => ({
      ttsToConversation: (message) => (message.type === 'heard' ? { ...message, heardChars: message.totalChars } : message),
    }),
  }),
  mutant('answers-halves', ['D5 dbl'], 'each half of a split turn is answered', {
    agent: withTurn(() => ({ mergeHeardMs: 0 })),
    messages: keepReplies,
  }),
  mutant('starved', ['D6 stut'], 'synthesis is late every 700 ms', {
    // Long enough for a stutter, too short to be taken for a reaction to what the caller does.
    tts: (provider) => new StarvingTts(provider, { everyMs: 700, holeMs: 90 }),
  }),
  mutant('idle-at-random', ['D6 idle'], 'the idle prompt comes when it likes', {
    agent: withTurn(() => {
      // The virtual clock's own randomness: the same for a seed.
      const idleMs = 1000 + Math.round(Math.random() * 4000);
      return { idleMs, firstWaitMs: idleMs, idlePromptsMax: 9 };
    }),
  }),
];

const ablation = (name: string, what: string, variation: Omit<EngineVariation, 'name'>): Ablation => ({
  what,
  variation: { ...variation, name },
});

export const ablations: readonly Ablation[] = [
  ablation('no-text-rule', 'every turn ends after the neutral silence', {
    agent: withTurn(() => endAfter(turnDefaults.delayNeutralMs)),
  }),
  ablation('no-speculation', 'no reply is begun before its turn is over', { agent: withTurn(() => ({ speculationsMax: 0 })) }),
  ablation('no-pause', 'what would pause the agent cuts it; it can be undone', {
    agent: withTurn(() => ({ cutStrongMs: 0, cutStrongProbability: 0, cutAnyMs: 0 })),
  }),
  ablation('no-undo', 'a cut made on sound alone stands', { agent: withTurn(() => ({ undoMs: 0 })) }),
  ablation('no-merge', 'a reply that was hardly heard counts as an answer', { agent: withTurn(() => ({ mergeHeardMs: 0 })) }),
  ablation('no-echo-ear', 'the microphone is not compared with the audio that was sent', { gate: { echoLikenessMin: 2 } }),
  ablation('no-echo-rule', 'words are not compared with what the agent says', { agent: withTurn(() => ({ echoRatio: 2 })) }),
  ablation('no-dictation', 'numbers and addresses end after the neutral silence, too', {
    agent: withTurn(() => ({
      delayDictationMs: turnDefaults.delayNeutralMs,
      delaySpellingMs: turnDefaults.delayNeutralMs,
    })),
  }),
  ablation('no-caller-level', 'how loud the caller is does not matter', {
    gate: anyLevel,
    agent: withTurn(() => anybodyIsTheCaller),
  }),
  ablation('no-first-guard', 'the first sentence of a call is interrupted like any other', {
    agent: withTurn(() => ({ firstSpeechGuardMs: 0 })),
  }),
  ablation('no-hold-history', 'false alarms make the next ones no harder', { agent: withTurn(() => ({ falseHoldWindowMs: 0 })) }),
  ablation('no-early-resume', 'a short sound waits for its verdict like a long one', {
    agent: withTurn(() => ({ falseAlarmMs: 0 })),
  }),
  ablation('no-level-guard', 'how loud it is does not matter to the speech gate', {
    gate: { startAboveFloorDb: -100, speechAboveFloorDb: -100, restBelowFloorDb: -100 },
  }),
];
