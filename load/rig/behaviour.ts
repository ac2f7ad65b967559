/**
 * How a caller of a load run behaves. Its turns begin on a schedule of their own, whatever the agent does, and a wait that came to nothing is
 * recorded with the time waited: an engine that stands still does not thereby get easier callers. Runs in a process of callers.
 */
import type { Said } from '../caller.js';
import { pickOf, type Random } from '../providers/seeded.js';
import { turnEveryMs, turnKindOf } from './call-plan.js';
import type { Party, Reply } from './party.js';
import type { SpeechSet } from './speech-set.js';
import type { Stages } from './stages.js';

/** Counts of one process; they only grow. */
export type Tally = {
  callsStarted: number;
  callsEnded: number;
  /** Calls refused, broken off by the server, or never answered. */
  callsFailed: number;
  turns: number;
  /** Questions that were not answered before the next turn began. */
  unanswered: number;
  interruptions: number;
  /** Interruptions after which the answer went on for `yieldMaxMs`. */
  notYielded: number;
  falseAlarms: number;
  falseAlarmsSurvived: number;
  longTurns: number;
  /** Long turns into which the agent spoke. */
  cutIns: number;
  silences: number;
  /** Silent turns in which the agent began to speak. */
  spokenInto: number;
  slowReads: number;
  staleFrames: number;
  problems: number;
};

export function newTally(): Tally {
  return {
    callsStarted: 0,
    callsEnded: 0,
    callsFailed: 0,
    turns: 0,
    unanswered: 0,
    interruptions: 0,
    notYielded: 0,
    falseAlarms: 0,
    falseAlarmsSurvived: 0,
    longTurns: 0,
    cutIns: 0,
    silences: 0,
    spokenInto: 0,
    slowReads: 0,
    staleFrames: 0,
    problems: 0,
  };
}

/** The first turn begins this long after the call, and up to so much later. */
const [settleMs, settleSpreadMs] = [800, 2000];
/** An answer may begin this much before the label of our last sample. */
const earlyMs = 250;
const [interruptMinMs, interruptMaxMs] = [600, 4000];
const yieldMaxMs = 2000;
/** After that a yielded answer has been silent at the ear, too. */
const silentByMs = 2500;
const noiseAfterMs = 1500;
/** An answer that is heard so long after a noise has survived it. */
const survivedMs = 700;
/** What was said before a silent turn may still be answered at its beginning. */
const answeringMs = 4000;
const slowReadMs = 2500;
/** A reply that sends nothing for this long has ended. */
const replyGapMs = 200;

export class Behaviour {
  readonly #party: Party;
  readonly #speech: SpeechSet;
  readonly #random: Random;
  readonly #stages: Stages;
  readonly #tally: Tally;

  constructor(party: Party, speech: SpeechSet, random: Random, stages: Stages, tally: Tally) {
    this.#party = party;
    this.#speech = speech;
    this.#random = random;
    this.#stages = stages;
    this.#tally = tally;
  }

  /** Turn after turn until `endMs` on the party's clock, or until the connection ends. Does not hang up. */
  async converse(endMs: number): Promise<void> {
    const party = this.#party;
    const firstMs = party.nowMs + settleMs + this.#random() * settleSpreadMs;
    for (let turn = 0; firstMs + turn * turnEveryMs < endMs; turn += 1) {
      const startMs = firstMs + turn * turnEveryMs;
      await party.until(Math.min(startMs, endMs));
      if (party.closed !== undefined) return;
      await this.#turn(startMs, Math.min(startMs + turnEveryMs, endMs), startMs + turnEveryMs > endMs);
    }
    await party.until(endMs);
  }

  /** `isCutShort`: we hang up before the turn is over, so what did not happen proves nothing. */
  async #turn(startMs: number, untilMs: number, isCutShort: boolean): Promise<void> {
    const kind = turnKindOf(this.#random());
    const { questions, largeQuestions, longTurns } = this.#speech;
    if (kind === 'silence') return this.#silence(startMs, untilMs);
    const clips = kind === 'interruption' ? largeQuestions : kind === 'long turn' ? longTurns : questions;
    const said = this.#party.say(pickOf(this.#random, clips), startMs);
    this.#tally.turns += 1;
    if (kind === 'long turn') return this.#longTurn(said, untilMs, isCutShort);
    const reply = await this.#answer(said, untilMs, isCutShort);
    if (reply === undefined) return;
    if (kind === 'interruption') await this.#interrupt(reply, untilMs, isCutShort);
    if (kind === 'false alarm') await this.#falseAlarm(reply, untilMs);
    if (kind === 'slow reader') {
      this.#tally.slowReads += 1;
      this.#party.pauseReading(slowReadMs);
    }
  }

  async #answer(said: Said, untilMs: number, isCutShort: boolean): Promise<Reply | undefined> {
    const reply = await this.#replyTo(said.speechEndMs, untilMs);
    this.#answered('first_audio', said.speechEndMs, reply, untilMs, isCutShort);
    return reply;
  }

  #replyTo(endMs: number, untilMs: number): Promise<Reply | undefined> {
    const party = this.#party;
    return party.waitFor(() => party.replyFrom(endMs - earlyMs), untilMs - party.nowMs);
  }

  #answered(
    stage: 'first_audio' | 'first_audio_after_long',
    endMs: number,
    reply: Reply | undefined,
    untilMs: number,
    isCutShort: boolean,
  ): void {
    if (reply !== undefined) {
      this.#stages.record(stage, reply.firstChunkAtMs - endMs);
      if (this.#party.lastAudibleMs(reply) !== undefined) this.#stages.record('audible', reply.onsetMs! - endMs);
    } else if (!isCutShort && this.#party.closed === undefined) {
      this.#tally.unanswered += 1;
      this.#stages.record(stage, untilMs - endMs);
    }
  }

  async #interrupt(reply: Reply, untilMs: number, isCutShort: boolean): Promise<void> {
    const party = this.#party;
    const delayMs = interruptMinMs + this.#random() * (interruptMaxMs - interruptMinMs);
    const said = party.say(pickOf(this.#random, this.#speech.interruptions), reply.onsetMs! + delayMs);
    const onsetMs = said.speechStartMs;
    await party.until(Math.min(onsetMs, untilMs));
    // It may be in a pause, but it must be going on.
    const isOver = reply.isComplete || reply.lastChunkAtMs < onsetMs - replyGapMs;
    await party.until(Math.min(onsetMs + silentByMs, untilMs));
    const noticeMs = party.interruptionFrom(onsetMs);
    if (!isOver && party.nowMs >= onsetMs + silentByMs && party.closed === undefined) this.#yielded(reply, onsetMs, noticeMs);
    const answer = await this.#replyTo(said.speechEndMs, untilMs);
    this.#answered('first_audio', said.speechEndMs, answer, untilMs, isCutShort);
  }

  #yielded(reply: Reply, onsetMs: number, noticeMs: number | undefined): void {
    // It came to its end by itself in the meantime: nothing was given up.
    if (noticeMs === undefined && reply.isComplete) return;
    this.#tally.interruptions += 1;
    const lastFrameMs = reply.lastChunkAtMs - onsetMs;
    this.#stages.record('onset_to_last_frame', lastFrameMs);
    if (noticeMs === undefined || lastFrameMs > yieldMaxMs) this.#tally.notYielded += 1;
    if (noticeMs !== undefined) this.#stages.record('onset_to_notice', noticeMs - onsetMs);
    const audibleMs = this.#party.lastAudibleMs(reply);
    if (audibleMs !== undefined) this.#stages.record('onset_to_silence', audibleMs - onsetMs);
  }

  async #falseAlarm(reply: Reply, untilMs: number): Promise<void> {
    const party = this.#party;
    const noise = party.say(pickOf(this.#random, this.#speech.noises), reply.onsetMs! + noiseAfterMs);
    const judgedMs = noise.speechEndMs + survivedMs;
    await party.until(Math.min(noise.speechStartMs, untilMs));
    const isOver = reply.isComplete || reply.lastChunkAtMs < noise.speechStartMs - replyGapMs;
    await party.until(Math.min(judgedMs, untilMs));
    if (isOver || party.nowMs < judgedMs || party.closed !== undefined) return;
    this.#tally.falseAlarms += 1;
    // It goes on, or has come to its end by itself.
    const isAlive = await party.waitFor(
      () => (reply.isComplete || reply.lastChunkAtMs > judgedMs ? true : undefined),
      Math.min(yieldMaxMs, untilMs - party.nowMs),
    );
    if (isAlive === true) this.#tally.falseAlarmsSurvived += 1;
  }

  async #longTurn(said: Said, untilMs: number, isCutShort: boolean): Promise<void> {
    const party = this.#party;
    await party.until(Math.min(said.voiceEndMs - earlyMs, untilMs));
    if (party.closed !== undefined || party.nowMs < said.voiceEndMs - earlyMs) return;
    this.#tally.longTurns += 1;
    if (party.replyFrom(said.speechStartMs) !== undefined) this.#tally.cutIns += 1;
    const reply = await this.#replyTo(said.voiceEndMs, untilMs);
    this.#answered('first_audio_after_long', said.voiceEndMs, reply, untilMs, isCutShort);
  }

  async #silence(startMs: number, untilMs: number): Promise<void> {
    const party = this.#party;
    await party.until(untilMs);
    if (party.closed !== undefined) return;
    this.#tally.silences += 1;
    if (party.replyFrom(startMs + answeringMs) !== undefined) this.#tally.spokenInto += 1;
  }
}
