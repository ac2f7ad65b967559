/**
 * What the engine and its simulated providers are told of a scenario before it runs: an agent, the answers of its language model, and the sounds
 * that its recogniser understands. Of what is going to happen they learn nothing else: words are heard when their audio arrives, and which turn
 * a request belongs to is found out from the words in it. Pure.
 */
import type { ScriptedAnswer } from '../../../load/providers/answers.js';
import type { ClipRegistration } from '../../../load/providers/clips.js';
import type { Voice } from '../../../load/providers/voice.js';
import { inputRateHz } from '../../../src/shared/units.js';
import { type AgentConfig, parseAgent } from '../../../src/store/agents.js';
import type { AudioFormat } from '../../../src/wire/events.js';
import { Channel } from '../clips/channel.js';
import type { Clip, PlayoutKind } from '../run-record.js';
import type { Scenario } from '../scenario.js';
import type { ScenarioClips } from '../suite.js';
import { EchoPath } from './echo-path.js';
import { type KnownText, type KnownTexts, keyOfText } from './hearing.js';

const samplesPerMs = inputRateHz / 1000;
const frameSamples = 20 * samplesPerMs;
/**
 * Speech must be so much stronger than what else sounds; steady noise of the caller's place, for which recognisers are trained, may be this much
 * stronger than that rule has it.
 */
const snrMinDb = 5;
const noiseToleranceDb = 9;
/** A peak of -60 dBFS. */
const wordPeakMin = 33;
const fallbackAnswer = 'Sorry, could you say that again?';
/** What the agent says into a long silence, so that its words are known. */
const idlePhrases = ['Are you still there?', 'I am still here whenever you are ready.'];
/** Share of words that a recogniser gets wrong, by the caller's line. */
const wordErrorRatios = { clean: 0, noisy: 0.05, phone: 0.12 } as const;

const clientEvents = [
  'audio',
  'interruption',
  'user_transcript',
  'tentative_user_transcript',
  'agent_response',
  'agent_response_correction',
  'agent_response_complete',
  'parley_turn_event',
];

const gatewayLeadMs = 34;

export type ScenarioSetup = {
  readonly agent: AgentConfig;
  readonly answers: readonly ScriptedAnswer[];
  readonly registrations: readonly ClipRegistration[];
  /** Of the audio on the wire, both ways. */
  readonly format: AudioFormat;
  readonly known: KnownTexts;
};

/** `voice`: that of the simulated synthesiser; `seed`: of the run. Fails with `config` when the scenario's own settings are not an agent's. */
export function setupOf(
  scenario: Scenario,
  clips: ScenarioClips,
  voice: Voice,
  seed: number,
  playout: PlayoutKind,
): ScenarioSetup {
  const texts = textsOf(scenario);
  return {
    agent: agentOf(scenario, playout),
    answers: answersOf(scenario),
    registrations: [...callerRegistrations(scenario, clips), ...echoRegistrations(scenario, texts, voice, seed)],
    format: formatOf(scenario),
    known: new Map(texts.map((text) => [keyOfText(text), knownTextOf(voice, text)])),
  };
}

export function formatOf({ channel }: Scenario): AudioFormat {
  return channel.kind === 'phone' ? 'ulaw_8000' : 'pcm_16000';
}

/** In the prompt of every request of the scenario's agent. */
export function markOf({ id }: Scenario): string {
  return `[scenario ${id}]`;
}

/** Its id, its voice and the keywords for recognition all are the scenario's id: providers and their journal know by it who asks. */
function agentOf(scenario: Scenario, playout: PlayoutKind): AgentConfig {
  const format = formatOf(scenario);
  const base = {
    agent_id: scenario.id,
    name: scenario.title,
    conversation_config: {
      agent: {
        first_message: scenario.agent.greeting ?? '',
        prompt: { prompt: `You are the agent of a test. ${markOf(scenario)}` },
      },
      asr: { keywords: [scenario.id], user_input_audio_format: format },
      tts: { voice_id: scenario.id, agent_output_audio_format: format },
      conversation: { client_events: clientEvents },
    },
    // Who runs a gateway with a jitter buffer of its own says so to the engine.
    parley: { idle_phrases: idlePhrases, ...(playout === 'paced' ? { lead_ms: gatewayLeadMs } : {}) },
  };
  return parseAgent(merged(base, scenario.config), `scenario ${scenario.id}`);
}

/** `changes` over `base`, field by field; lists are replaced. */
function merged(base: unknown, changes: unknown): unknown {
  if (!isObject(base) || !isObject(changes)) return changes === undefined ? base : changes;
  const names = new Set([...Object.keys(base), ...Object.keys(changes)]);
  return Object.fromEntries([...names].map((name) => [name, merged(base[name], changes[name])]));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function answersOf(scenario: Scenario): ScriptedAnswer[] {
  const system = markOf(scenario);
  const { answers } = scenario.agent;
  const otherwise = answers['*'] ?? fallbackAnswer;
  const turns = new Map<string, string>();
  for (const { turn, say } of scenario.steps) {
    if (turn !== undefined) turns.set(turn, turns.has(turn) ? `${turns.get(turn)} ${say}` : say);
  }
  return [
    ...[...turns].map(([turn, text]): ScriptedAnswer => ({ match: `~${text}`, system, text: answers[turn] ?? otherwise })),
    { match: '*', system, text: otherwise },
  ];
}

/** Everything that the agent can say. */
function textsOf({ agent }: Scenario): string[] {
  const texts = [agent.greeting ?? '', ...Object.values(agent.answers), fallbackAnswer, ...idlePhrases];
  return [...new Set(texts)].filter((text) => text !== '');
}

function knownTextOf(voice: Voice, text: string): KnownText {
  const { words } = voice.speak(text);
  return {
    words: words.map(({ word, startMs, endMs }) => ({ text: word, from: startMs * samplesPerMs, to: endMs * samplesPerMs })),
  };
}

export function wordErrorRatioOf({ channel }: Scenario): number {
  if (channel.kind === 'phone') return wordErrorRatios.phone;
  return channel.noise_snr_db === undefined ? wordErrorRatios.clean : wordErrorRatios.noisy;
}

type Label = [startMs: number, endMs: number, text: string];

function callerRegistrations(scenario: Scenario, clips: ScenarioClips): ClipRegistration[] {
  const spoken: [string, Clip][] = clips.steps.map((clip, index) => [`step-${index}`, clip]);
  for (const [id, clip] of clips.events) if (clip.words.length > 0) spoken.push([`event-${id}`, clip]);
  return spoken.map(([name, { samples, words }]) => {
    const labels = words.map(({ text, from, to }): Label => [from / samplesPerMs, to / samplesPerMs, text]);
    return registrationOf(scenario, name, samples, labels);
  });
}

/** Where the caller's microphone hears the agent, the recogniser understands that, too. */
function echoRegistrations(scenario: Scenario, texts: readonly string[], voice: Voice, seed: number): ClipRegistration[] {
  const { echo } = scenario.channel;
  if (echo === undefined) return [];
  const path = new EchoPath({ ...echo, delay_ms: 0 }, seed);
  return texts.map((text, index) => {
    const { audio, words } = voice.speak(text);
    const echoed = new Float64Array(audio.length);
    path.addTo(echoed, 0, audio);
    const labels = words.map(({ word, startMs, endMs }): Label => [startMs, endMs, word]);
    return registrationOf(scenario, `agent-${index}`, Int16Array.from(echoed, Math.round), labels);
  });
}

function registrationOf(scenario: Scenario, name: string, samples: Int16Array, labels: readonly Label[]): ClipRegistration {
  const { heard, delayMs } = throughLine(scenario, samples);
  return {
    id: `${scenario.id}/${name}`,
    group: scenario.id,
    rateHz: inputRateHz,
    pcmBase64: Buffer.from(heard.buffer, heard.byteOffset, heard.byteLength).toString('base64'),
    // Words that have sunk to nothing on the way are not understood by anybody.
    words: labels
      .map(([startMs, endMs, text]): Label => [startMs + delayMs, endMs + delayMs, text])
      .filter(([startMs, endMs]) => peakOf(heard, startMs * samplesPerMs, endMs * samplesPerMs) >= wordPeakMin),
    gainDb: 0,
    ...(scenario.channel.noise_snr_db === undefined
      ? {}
      : { snrMinDb: Math.min(snrMinDb, scenario.channel.noise_snr_db - noiseToleranceDb) }),
    wordErrorRatio: wordErrorRatioOf(scenario),
  };
}

function peakOf(samples: Int16Array, from: number, to: number): number {
  return samples.subarray(from, to).reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
}

/** `samples` as they sound at the other end of the caller's line when nothing is lost and nothing else sounds. */
function throughLine({ channel, voice }: Scenario, samples: Int16Array): { heard: Int16Array; delayMs: number } {
  if (channel.kind === 'wide' && channel.gain_db === 0) return { heard: samples, delayMs: 0 };
  const { kind, gain_db } = channel;
  const line = new Channel({ kind, gain_db, loss: 0, jitter_ms: 0 }, 0, voice.level_dbfs);
  const heard = new Int16Array(Math.ceil((samples.length + line.delaySamples) / frameSamples) * frameSamples);
  heard.set(samples);
  for (let from = 0; from < heard.length; from += frameSamples) {
    heard.set(line.process(heard.slice(from, from + frameSamples)), from);
  }
  line.close();
  return { heard, delayMs: line.delaySamples / samplesPerMs };
}
