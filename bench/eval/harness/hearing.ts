/**
 * What the caller knows from listening: when the agent's k-th utterance began and ended, and when a word of it was heard. Everything is read from
 * the playout device and the messages that came with the audio; nothing of it is known before it was heard, except that somebody who has
 * heard an utterance begin, and knows its text, can tell when the rest will come. Pure: every call carries its instant (ms since the connect).
 */
import { Ear } from '../../../load/ear.js';
import type { Hz } from '../../../src/shared/units.js';
import type { PlayoutKind, Word } from '../run-record.js';

const samplesPerMs = 16;
/** An utterance that was cut off is over after this silence, since it may be taken up again. */
const cutSilenceMs = 700;
/** The same when nothing tells whether it is over. Longer than an agent may pause before it goes on. */
const unknownSilenceMs = 2500;
/** A device that has played nothing of a reply for this long is not in the middle of it: nothing can be foretold. */
const stalledMs = 250;

/** A text that the agent may say: its words, in samples from its beginning. */
export type KnownText = { readonly words: readonly Word[] };

/** By their words, which may stand further apart on the wire: see `keyOfText`. */
export type KnownTexts = ReadonlyMap<string, KnownText>;

export function keyOfText(text: string): string {
  return text.trim().split(/\s+/).join(' ');
}

/** `eventIds`: the reply's own, and those under which it went on after a cut that was taken back. */
type Utterance = { readonly eventIds: number[] };

/** An instant in samples since the connect. `isFirm`: it has come, and will not change. */
export type Heard = { readonly sample: number; readonly isFirm: boolean };

export class Hearing {
  readonly ear: Ear;
  readonly #known: KnownTexts;
  readonly #utterances: Utterance[] = [];
  readonly #texts = new Map<number, KnownText>();
  readonly #complete = new Set<number>();
  /** Event id under which a reply goes on → the one it had before. */
  readonly #earlierIds = new Map<number, number>();
  #interruptionId = 0;
  #atMs = 0;

  /** `known`: texts that the agent may say. */
  constructor(playout: PlayoutKind, sourceRateHz: Hz, known: KnownTexts) {
    this.ear = new Ear(playout, sourceRateHz, true);
    this.#known = known;
  }

  /** A message of the agent other than audio. */
  note(type: string, eventId: number | undefined, details: Readonly<Record<string, unknown>>, atMs: number): void {
    if (eventId === undefined) return;
    if (type === 'interruption') {
      this.#interruptionId = Math.max(this.#interruptionId, eventId);
      this.ear.interruption(eventId, this.#notBefore(atMs));
    } else if (type === 'agent_response') {
      const text = this.#known.get(keyOfText(String(details['agent_response'] ?? '')));
      if (text !== undefined && !this.#texts.has(eventId)) this.#texts.set(eventId, text);
    } else if (type === 'agent_response_complete') {
      this.#complete.add(eventId);
    } else if (type === 'parley_turn_event' && details['kind'] === 'undo') {
      const newId = details['new_event_id'];
      if (typeof newId === 'number') this.#earlierIds.set(newId, eventId);
    }
  }

  /** Audio of the agent; `samples` are kept. */
  audio(eventId: number, samples: Int16Array, atMs: number): void {
    this.ear.audio(eventId, samples, this.#notBefore(atMs));
  }

  /** Listens up to `atMs`; no further than it has when that is past (a tick may come after a message that arrived later than it was due). */
  advanceTo(atMs: number): void {
    this.ear.advanceTo(this.#notBefore(atMs));
    for (const { eventId, onsetMs } of this.ear.replies.values()) {
      if (onsetMs === undefined || this.#utterances.some(({ eventIds }) => eventIds.includes(eventId))) continue;
      const earlierId = this.#earlierIds.get(eventId);
      const earlier = this.#utterances.find(({ eventIds }) => earlierId !== undefined && eventIds.includes(earlierId));
      if (earlier !== undefined) earlier.eventIds.push(eventId);
      else this.#utterances.push({ eventIds: [eventId] });
    }
  }

  /** Whether the agent is in the middle of something: it was audible within the last `withinMs`. */
  isSpeaking(nowMs: number, withinMs: number): boolean {
    const last = this.#utterances.at(-1);
    return last !== undefined && nowMs - this.#lastAudibleMs(last) < withinMs;
  }

  /** First audible sample of utterance `k`, from 1. */
  onset(k: number): Heard | undefined {
    const first = this.#utterances[k - 1]?.eventIds[0];
    const onsetMs = first === undefined ? undefined : this.ear.replies.get(first)?.onsetMs;
    return onsetMs === undefined ? undefined : { sample: Math.round(onsetMs * samplesPerMs), isFirm: true };
  }

  /** The sample after the last audible one, once the utterance is over; before that as foretold, when its text is known. */
  end(k: number, nowMs: number): Heard | undefined {
    const utterance = this.#utterances[k - 1];
    if (utterance === undefined) return undefined;
    const lastMs = this.#lastAudibleMs(utterance);
    if (this.#isOver(k, utterance, nowMs - lastMs)) return { sample: Math.round(lastMs * samplesPerMs) + 1, isFirm: true };
    const eventId = utterance.eventIds.at(-1)!;
    const lastWord = this.#texts.get(eventId)?.words.at(-1);
    return lastWord === undefined ? undefined : this.#foretold(eventId, lastWord.to, nowMs);
  }

  /** The end of word `w`, from 1, of utterance `k`. */
  wordEnd(k: number, w: number, nowMs: number): Heard | undefined {
    const eventIds = this.#utterances[k - 1]?.eventIds ?? [];
    const text = this.#texts.get(eventIds[0] ?? 0);
    const word = text?.words[w - 1];
    if (text === undefined || word === undefined) return undefined;
    let fromSource = 0;
    for (const eventId of eventIds) {
      for (const run of this.ear.runs) {
        const into = word.to - fromSource - run.sourceSample;
        if (run.eventId === eventId && into > 0 && into <= run.count) return { sample: run.heardSample + into, isFirm: true };
      }
      const foretold = this.#foretold(eventId, word.to - fromSource, nowMs);
      if (foretold !== undefined) return foretold;
      // What goes on after a cut begins with the word that was cut.
      const reached = fromSource + (this.ear.replies.get(eventId)?.playedSamples ?? 0);
      fromSource = text.words.findLast(({ from }) => from <= reached)?.from ?? reached;
    }
    return undefined;
  }

  #notBefore(atMs: number): number {
    this.#atMs = Math.max(this.#atMs, atMs);
    return this.#atMs;
  }

  #lastAudibleMs({ eventIds }: Utterance): number {
    return Math.max(...eventIds.map((eventId) => this.ear.replies.get(eventId)?.lastAudibleMs ?? 0));
  }

  #isOver(k: number, { eventIds }: Utterance, silentMs: number): boolean {
    const eventId = eventIds.at(-1)!;
    if (k < this.#utterances.length) return true;
    if (this.#complete.has(eventId)) return this.ear.queuedMs === 0;
    return silentMs >= (eventId < this.#interruptionId ? cutSilenceMs : unknownSilenceMs);
  }

  /** When the source sample will be heard if the device goes on as it does. */
  #foretold(eventId: number, sourceSample: number, nowMs: number): Heard | undefined {
    const run = this.ear.runs.at(-1);
    if (run?.eventId !== eventId || eventId < this.#interruptionId) return undefined;
    const end = run.heardSample + run.count;
    if (end < (nowMs - stalledMs) * samplesPerMs) return undefined;
    return { sample: run.heardSample + sourceSample - run.sourceSample, isFirm: false };
  }
}
