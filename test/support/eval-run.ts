/** Runs of the evaluator made up for tests of its metrics: what the caller said, what was heard and what the engine told, all at known samples. */

import type {
  AudioArrival,
  ModelRequest,
  Placed,
  RunRecord,
  SynthesisedReply,
  WhiteBoxEvent,
  Word,
} from '../../bench/eval/run-record.js';
import { type EventClass, type Family, type Role, scenarioSchema } from '../../bench/eval/scenario.js';
import { randomOf } from '../../load/providers/seeded.js';
import { fadeIn, fadeOut } from '../../src/audio/fade.js';

const perMs = 16;
const wordMs = 240;
const gapMs = 40;
/** The device plays what has arrived so much later. */
const deviceMs = 10;

/** `pauseMs`: silence before it. */
export type PlayedPart = {
  readonly fromMs: number;
  readonly countMs: number;
  readonly pauseMs?: number;
  readonly fadeMs?: number;
};

type Draft = { steps: Record<string, unknown>[]; events: Record<string, unknown>[] };

export class RunBuilder {
  readonly #family: Family;
  readonly #expect: Record<string, unknown>;
  readonly #draft: Draft = { steps: [], events: [] };
  readonly #placed: Placed[] = [];
  readonly #replies: SynthesisedReply[] = [];
  readonly #audio: AudioArrival[] = [];
  readonly #white: WhiteBoxEvent[] = [];
  readonly #requests: ModelRequest[] = [];
  readonly #heard: { readonly at: number; readonly samples: Int16Array }[] = [];
  #endMs = 0;

  constructor(family: Family, expect: Record<string, unknown> = {}) {
    this.#family = family;
    this.#expect = expect;
  }

  /** The caller says something from `fromMs` on; never, when that is undefined. */
  turn(name: string, fromMs: number | undefined, durationMs: number, say: string, role: Role = 'turn'): this {
    const step = this.#draft.steps.length;
    this.#draft.steps.push({ say, turn: name, role, at: { after: 'agent.onset#1', ms: 0 } });
    if (fromMs === undefined) return this;
    const [from, to] = [fromMs * perMs, (fromMs + durationMs) * perMs];
    const word = { text: say, from, to };
    const part = { kind: 'part', step, role, turn: name, isFinal: true, expect: undefined, text: say, from, to } as const;
    this.#placed.push({ ...part, words: [word], silences: [], clipId: say });
    return this.#until(fromMs + durationMs);
  }

  event(id: string, kind: EventClass, fromMs: number | undefined, durationMs: number): this {
    this.#draft.events.push({ id, class: kind, at: { after: 'agent.onset#1', ms: 0 }, expect: 'ignore' });
    if (fromMs === undefined) return this;
    const [from, to] = [fromMs * perMs, (fromMs + durationMs) * perMs];
    this.#placed.push({ kind: 'event', id, class: kind, expect: 'ignore', from, to });
    return this.#until(fromMs + durationMs);
  }

  /** A reply of `durationMs`, heard from `onsetMs` on: whole, or in these parts. */
  reply(eventId: number, onsetMs: number, durationMs: number, parts?: readonly PlayedPart[]): this {
    const reply = { eventId, ...speech(eventId, durationMs) };
    this.#replies.push(reply);
    let atMs = onsetMs;
    for (const part of parts ?? [{ fromMs: 0, countMs: durationMs }]) {
      atMs += part.pauseMs ?? 0;
      this.#play(reply, atMs, part);
      atMs += part.countMs;
    }
    return this;
  }

  /** A stretch of a reply once more. */
  again(eventId: number, atMs: number, fromMs: number, countMs: number): this {
    this.#play(this.#replies.find((reply) => reply.eventId === eventId)!, atMs, { fromMs, countMs });
    return this;
  }

  commit(atMs: number): this {
    return this.white('commit', atMs);
  }

  white(kind: WhiteBoxEvent['kind'], atMs: number, eventId?: number): this {
    this.#white.push({ kind, turn: 1, at_ms: atMs, sent_at_ms: atMs, ...(eventId === undefined ? {} : { event_id: eventId }) });
    return this;
  }

  /** The model was asked with these words of the caller and gave the reply. */
  answered(eventId: number, ...user: string[]): this {
    const answer = this.#textOf(eventId);
    const messages = user.map((content) => ({ role: 'user', content }));
    this.#requests.push({ atMs: this.#onsetOf(eventId) - 300, messages, answer });
    return this;
  }

  /** The next request tells truly how much of the reply was heard. */
  heardWords(eventId: number, before: string, after: string): this {
    const reply = this.#replies.find((candidate) => candidate.eventId === eventId)!;
    const heard = this.#heard.reduce((sum, { samples }) => sum + samples.length, 0);
    const said = reply.words.filter(({ to }) => to <= heard).map(({ text }) => text);
    const messages = [
      { role: 'user', content: before },
      { role: 'assistant', content: said.join(' ') },
      { role: 'user', content: after },
    ];
    this.#requests.push({ atMs: this.#white.at(-1)!.at_ms, messages, answer: 'next' });
    return this;
  }

  build(): RunRecord {
    const answers = new Set(this.#draft.steps.map((step) => step['turn'])).size;
    const scenario = scenarioSchema.parse({
      id: `made-${this.#family.toLowerCase()}`,
      family: this.#family,
      title: 'made up',
      seed: 1,
      part: 'open',
      voice: { name: 'caller-m1' },
      agent: { greeting: null, answers: { '*': 'words' } },
      steps: this.#draft.steps,
      events: this.#draft.events,
      end: { after: 'agent.end#1', ms: 0, max: 60_000 },
      expect: { answers, ...this.#expect },
    });
    const length = Math.ceil(((this.#endMs + 1500) * perMs) / 320) * 320;
    const heard = new Int16Array(length);
    for (const { at, samples } of this.#heard) heard.set(samples, at);
    const caller = new Int16Array(length);
    for (const item of this.#placed)
      if (item.kind === 'part') caller.set(speech(99, (item.to - item.from) / perMs).samples, item.from);
    return {
      scenario,
      seed: 1,
      profile: 'reference',
      clock: 'virtual',
      playout: 'buffered',
      lanes: { caller, microphone: caller, heard },
      placed: [...this.#placed].sort((left, right) => left.from - right.from),
      replies: this.#replies,
      played: [],
      audio: this.#audio,
      messages: [],
      whiteBox: [...this.#white].sort((left, right) => left.at_ms - right.at_ms),
      requests: this.#requests,
      waits: [],
      closed: { atMs: length / perMs, code: 1000, isByCaller: true },
      timing: { realTimeRatio: 1, frameLatenessP99Ms: 0 },
      cost: { cpuRatio: undefined, loopDelayP99Ms: undefined, memoryBytes: undefined },
    };
  }

  #play({ eventId, samples }: SynthesisedReply, atMs: number, { fromMs, countMs, fadeMs = 0 }: PlayedPart): void {
    const part = samples.slice(fromMs * perMs, (fromMs + countMs) * perMs);
    if (fromMs > 0) fadeIn(part, fadeMs * perMs);
    if ((fromMs + countMs) * perMs < samples.length) fadeOut(part, fadeMs * perMs);
    this.#heard.push({ at: atMs * perMs, samples: part });
    this.#audio.push({ atMs: atMs - deviceMs, eventId, sampleCount: part.length });
    this.#until(atMs + countMs);
  }

  #until(ms: number): this {
    this.#endMs = Math.max(this.#endMs, ms);
    return this;
  }

  #textOf(eventId: number): string {
    return this.#replies
      .find((reply) => reply.eventId === eventId)!
      .words.map(({ text }) => text)
      .join(' ');
  }

  #onsetOf(eventId: number): number {
    return this.#audio.find((arrival) => arrival.eventId === eventId)!.atMs;
  }
}

/** Noise in the rhythm of words, each one different, with digital silence between them; its first sample is loud. */
function speech(seed: number, durationMs: number): { readonly samples: Int16Array; readonly words: readonly Word[] } {
  const random = randomOf(seed, 'made-up speech');
  const samples = new Int16Array(Math.round(durationMs * perMs));
  const words: Word[] = [];
  for (let from = 0; from < samples.length; from += (wordMs + gapMs) * perMs) {
    const to = Math.min(samples.length, from + wordMs * perMs);
    let low = 0;
    for (let i = from; i < to; i++) {
      low = 0.8 * low + random() - 0.5;
      samples[i] = Math.round(6000 * low) || 1;
    }
    samples[from] = 3000;
    samples[to - 1] = 3000;
    words.push({ text: `w${seed}x${words.length}`, from, to });
  }
  return { samples, words };
}
