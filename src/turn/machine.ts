/**
 * The conversation as a state machine: who has the floor, when a turn is over, what an interruption was. One pure function,
 * `step(state, event, atMs) -> { state, actions }`: no clock, no promise, no randomness, so a recorded list of events reaches the same
 * decisions again. Runs on the conversation thread; `atMs` is the session's input clock.
 */
import { judge, judgeSilence, judgeWords, type LadderContext, type Verdict } from './ladder.js';
import type { TurnSettings } from './settings.js';
import type { Action, CutReason, DropReason, OpenTurn, ResumeReason, SpeechKind, TurnEvent, TurnState } from './state.js';
import { asksToWait, endpointDelayMs, hasSpeech, isBackchannel, keyOf, wordsOf } from './words.js';

export type StepResult = { readonly state: TurnState; readonly actions: readonly Action[] };

export function step(state: TurnState, event: TurnEvent, atMs: number, settings: TurnSettings, phrases: Phrases): StepResult {
  if (state.isEnded) return { state, actions: [] };
  const work = new Work(state, atMs, settings, phrases);
  work.apply(event);
  work.decide();
  return { state: work.state, actions: work.actions };
}

/** Sentences the machine says by itself. */
export type Phrases = {
  readonly idle: readonly string[];
  readonly apology: string;
};

/**
 * The next instant after `servedMs` at which `time` must be fed, or undefined while only events can change anything. An instant that was served
 * and changed nothing does not hide those after it.
 */
export function nextDeadlineMs(
  state: TurnState,
  settings: TurnSettings,
  servedMs = Number.NEGATIVE_INFINITY,
): number | undefined {
  if (state.isEnded) return undefined;
  let next = Number.POSITIVE_INFINITY;
  for (const candidate of deadlines(state, settings)) if (candidate > servedMs && candidate < next) next = candidate;
  return Number.isFinite(next) ? next : undefined;
}

function* deadlines(state: TurnState, settings: TurnSettings): Generator<number> {
  const { open, agent } = state;
  if (open !== undefined && !open.isSpeaking) {
    yield commitAtMs(state, open, settings);
    if (agent.phase === 'held' || agent.phase === 'speaking' || state.undo !== undefined)
      yield open.endedAtMs + settings.verdictMs;
    if (agent.phase === 'thinking' && agent.isHeldBack) yield open.t0Ms + settings.sttWaitMs;
  }
  if (state.undo !== undefined) yield state.undo.untilMs + 1;
  if (agent.phase === 'thinking' && agent.isHeldBack && open === undefined) yield state.quietUntilMs;
  if (agent.phase === 'thinking' && !agent.isHeldBack) yield agent.sinceMs + settings.thinkingMaxMs;
  if (open === undefined && agent.phase === 'idle' && state.idleSinceMs !== undefined) {
    if (settings.idleMs > 0 && state.idlePrompts < settings.idlePromptsMax) {
      yield Math.max(state.idleSinceMs + settings.idleMs, state.quietUntilMs);
    }
    if (settings.silenceEndMs > 0) yield silenceEndAtMs(state, settings);
  }
}

const covers = (open: OpenTurn): boolean => open.hasTranscript && open.isFinal && open.throughMs >= open.t0Ms;

/** When the open turn, silent now, will be committed or dropped if nothing more happens. */
function commitAtMs(state: TurnState, open: OpenTurn, settings: TurnSettings): number {
  if (!hasSpeech(open.text)) {
    if (covers(open)) return open.t0Ms + settings.delayNeutralMs;
    // Somebody spoke and there is no word of it: recognition is late, and says itself when it has failed.
    return open.t0Ms + (open.hasProblem ? settings.sttWaitMs : settings.sttLostMs);
  }
  const delayMs = endpointDelayMs(merge(open), state.agentText, settings);
  return open.t0Ms + (covers(open) ? delayMs : Math.max(delayMs, settings.sttWaitMs));
}

function silenceEndAtMs(state: TurnState, settings: TurnSettings): number {
  return Math.max(state.callerAtMs, state.idleSinceMs ?? 0) + settings.silenceEndMs;
}

const merge = (open: OpenTurn): string => (open.prefix === '' ? open.text : `${open.prefix} ${open.text}`.trim());

/** A reply's text that is kept for echo and endpointing: some minutes of speech. */
const agentTextMax = 8000;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** One step in the making: a private copy of the state and the actions so far. */
class Work {
  readonly state: Mutable<TurnState>;
  readonly actions: Action[] = [];
  readonly #at: number;
  readonly #settings: TurnSettings;
  readonly #phrases: Phrases;

  constructor(state: TurnState, atMs: number, settings: TurnSettings, phrases: Phrases) {
    this.state = { ...state };
    this.#at = atMs;
    this.#settings = settings;
    this.#phrases = phrases;
  }

  apply(event: TurnEvent): void {
    switch (event.type) {
      case 'started':
        if (event.firstMessage === '') this.#becomeIdle();
        else this.#say('first', event.firstMessage);
        return;
      case 'speech_start':
        this.#held(event.hold);
        this.#speechStarted(event.startMs);
        return;
      case 'speech_hop':
        this.#speechWentOn(event);
        this.#held(event.hold);
        return;
      case 'speech_end':
        this.#speechEnded(event.t0Ms, event.speechMs);
        return;
      case 'transcript':
        if (event.turn === this.state.turn) this.#transcribed(event);
        return;
      case 'stt_problem':
        if (event.turn === this.state.turn) this.#openWith({ hasProblem: true });
        return;
      case 'typed':
        this.#typed(event.text);
        return;
      case 'activity':
        this.#activity();
        return;
      case 'context_changed':
        this.#discardDraft();
        return;
      case 'agent_text':
        this.#agentSaid(event.speech, event.text);
        return;
      case 'audio_started':
        this.#audioStarted(event.speech);
        return;
      case 'reply_end':
        this.#replyEnded(event.speech, event.isEmpty, event.endsCall);
        return;
      case 'reply_failed':
        this.#replyFailed(event.speech, event.isHeard);
        return;
      case 'heard':
        this.#heard(event.speech, event.heardMs);
        return;
      case 'drained':
        this.#drained(event.speech, event.isBroken);
        return;
      case 'tts_failed':
        this.#ttsFailed(event.speech, event.isHeard);
        return;
      case 'time':
        return;
    }
  }

  /** Whatever is due now, in the order of its importance. Runs after every event. */
  decide(): void {
    this.#judgeInterruption();
    this.#judgeUndo();
    this.#judgeHeldBack();
    this.#judgeThinking();
    this.#speculate();
    this.#judgeCommit();
    this.#judgeIdle();
    this.#chooseStartHops();
  }

  // What happened ---------------------------------------------------------------------------------------------------------------------

  #speechStarted(startMs: number): void {
    this.state.callerAtMs = this.#at;
    this.state.idleSinceMs = undefined;
    const segment = { isSpeaking: true, segmentSpeechMs: 0, continuousMs: 0, meanProbability: 0, isFinal: false };
    if (this.state.open !== undefined) {
      this.#openWith(segment);
    } else {
      this.#openTurn(startMs);
    }
    const { agent } = this.state;
    if (agent.phase === 'thinking' && !agent.isHeldBack) {
      this.state.agent = { ...agent, isHeldBack: true };
      this.actions.push({ type: 'hold_back', speech: agent.speech });
    }
  }

  #openTurn(startMs: number): void {
    this.state.open = {
      startMs,
      isSpeaking: true,
      t0Ms: startMs,
      endedAtMs: startMs,
      closedSpeechMs: 0,
      segmentSpeechMs: 0,
      continuousMs: 0,
      meanProbability: 0,
      text: '',
      isFinal: false,
      throughMs: 0,
      hasTranscript: false,
      hasProblem: false,
      prefix: '',
      draft: undefined,
      draftCount: 0,
    };
  }

  #speechWentOn(event: Extract<TurnEvent, { type: 'speech_hop' }>): void {
    this.#openWith({
      t0Ms: this.#at,
      segmentSpeechMs: event.speechMs,
      continuousMs: event.continuousMs,
      meanProbability: event.meanProbability,
    });
  }

  #speechEnded(t0Ms: number, speechMs: number): void {
    const { open } = this.state;
    if (open === undefined) return;
    this.#openWith({
      isSpeaking: false,
      t0Ms,
      endedAtMs: this.#at,
      closedSpeechMs: open.closedSpeechMs + speechMs,
      segmentSpeechMs: 0,
      continuousMs: 0,
      isFinal: open.throughMs >= t0Ms && open.hasTranscript ? open.isFinal : false,
    });
  }

  #transcribed(event: Extract<TurnEvent, { type: 'transcript' }>): void {
    if (this.state.open === undefined) {
      if (!hasSpeech(event.text)) return;
      // Recognition heard words where the gate saw nothing: they open a turn that is already silent.
      this.#openTurn(event.throughMs);
      this.#openWith({ isSpeaking: false, t0Ms: event.throughMs, endedAtMs: this.#at });
    }
    const open = this.state.open!;
    if (event.throughMs < open.throughMs) return;
    const changed = keyOf(event.text) !== keyOf(open.text);
    this.#openWith({ text: event.text, isFinal: event.isFinal, throughMs: event.throughMs, hasTranscript: true });
    if (!changed) return;
    this.actions.push({ type: 'tentative', turn: this.state.turn, text: event.text });
    if (open.draft !== undefined && open.draft.key !== keyOf(merge(this.state.open!))) this.#discardDraft();
  }

  #typed(text: string): void {
    this.state.callerAtMs = this.#at;
    this.#stopAgent('typed');
    if (this.state.open !== undefined) this.#dropTurn('typed');
    this.#commit(text, text, { isMerged: false, isTyped: true, t0Ms: this.#at, delayMs: 0, draft: undefined });
  }

  #activity(): void {
    this.state.callerAtMs = this.#at;
    this.state.quietUntilMs = this.#at + this.#settings.activityHoldMs;
    if (this.state.idleSinceMs !== undefined) this.state.idleSinceMs = this.#at;
    this.#keepQuiet();
  }

  #agentSaid(speech: number, text: string): void {
    const before = this.state.agentTextSpeech === speech ? this.state.agentText : '';
    this.state.agentText = (before + text).slice(0, agentTextMax);
    this.state.agentTextSpeech = speech;
  }

  #audioStarted(speech: number): void {
    const { agent } = this.state;
    if (agent.phase !== 'thinking' || agent.speech !== speech) return;
    this.state.agent = { phase: 'speaking', speech, kind: agent.kind, startedMs: this.#at };
    this.state.spokenCount += 1;
  }

  #replyEnded(speech: number, isEmpty: boolean, endsCall: boolean): void {
    if (!this.#isLive(speech)) return;
    if (endsCall) this.state.endAfterSpeech = speech;
    if (!isEmpty || this.state.agent.phase !== 'thinking') return;
    if (endsCall) this.#endCall('agent');
    else this.#becomeIdle();
  }

  #replyFailed(speech: number, isHeard: boolean): void {
    const { open, agent } = this.state;
    if (open?.draft?.speech === speech) {
      this.#openWith({ draft: undefined });
      return;
    }
    if (isHeard || agent.phase !== 'thinking' || agent.speech !== speech) return;
    this.#failed('llm_failed');
  }

  #heard(speech: number, heardMs: number): void {
    const { open, lastCommit } = this.state;
    if (lastCommit?.speech !== speech || heardMs >= this.#settings.mergeHeardMs || open === undefined) return;
    if (open.prefix === '') this.#openWith({ prefix: lastCommit.text });
  }

  /** A speech that made no sound at all (nothing in it can be spoken) is drained while it is still thought about. */
  #drained(speech: number, isBroken: boolean): void {
    const { agent } = this.state;
    if (agent.phase === 'idle' || agent.speech !== speech) return;
    if (agent.phase === 'held') this.actions.push({ type: 'release_hold', hold: agent.hold });
    if (!isBroken) this.#answered(agent.kind);
    if (this.state.endAfterSpeech === speech) this.#endCall('agent');
    else if (isBroken) this.#unspoken(agent.kind);
    else this.#becomeIdle();
  }

  #ttsFailed(speech: number, isHeard: boolean): void {
    const { agent, open } = this.state;
    if (open?.draft?.speech === speech) {
      this.#discardDraft();
      return;
    }
    // What there is of it is heard first, and `drained` follows.
    if (isHeard || agent.phase !== 'thinking' || agent.speech !== speech) return;
    if (this.state.endAfterSpeech === speech) this.#endCall('agent');
    else this.#unspoken(agent.kind);
  }

  /** An apology that cannot be spoken either belongs to the failure before it. */
  #unspoken(kind: SpeechKind): void {
    if (kind === 'apology') this.#becomeIdle();
    else this.#failed('tts_failed');
  }

  /** A reply was heard, to its end or until it was interrupted: the next failure is the first one again. */
  #answered(kind: SpeechKind): void {
    if (kind === 'reply') this.state.failures = 0;
  }

  // What it means ---------------------------------------------------------------------------------------------------------------------

  #held(hold: number): void {
    if (hold === 0) return;
    const { agent } = this.state;
    if (agent.phase === 'speaking') {
      const { speech, kind, startedMs } = agent;
      this.state.agent = { phase: 'held', speech, kind, startedMs, hold, sinceMs: this.#at };
    } else if (agent.phase === 'thinking') {
      // A HOLD is raised only over audible audio: the reply's first frame is out, the word of it still under way.
      const { speech, kind } = agent;
      this.state.agent = { phase: 'held', speech, kind, startedMs: this.#at, hold, sinceMs: this.#at };
      this.state.spokenCount += 1;
    } else if (agent.phase === 'held') {
      this.state.agent = { ...agent, hold: Math.max(hold, agent.hold) };
    } else {
      this.actions.push({ type: 'release_hold', hold });
    }
  }

  #ladder(kind: SpeechKind, startedMs: number): LadderContext {
    const guardMs = this.#settings.firstSpeechGuardMs;
    return {
      settings: this.#settings,
      atMs: this.#at,
      agentText: this.state.agentText,
      startedMs,
      isGuarded: kind === 'first' && this.#at - startedMs < guardMs,
      isWary: this.state.hasUndone,
    };
  }

  #judgeInterruption(): void {
    const { agent, open } = this.state;
    if (agent.phase === 'held' && open === undefined) {
      this.#resume(agent.speech, agent.hold, 'no_words');
      return;
    }
    if (open === undefined || !this.#settings.isInterruptible) return;
    if (agent.phase === 'held') {
      const verdict = judge(open, this.#ladder(agent.kind, agent.startedMs));
      if (verdict.is === 'real') this.#cut(verdict.reason);
      if (verdict.is === 'false') {
        this.#resume(agent.speech, agent.hold, verdict.reason);
        // A short sound may still turn out to be a word ("stop"): its transcript is waited for while the agent speaks on.
        if (verdict.reason !== 'short') this.#dropTurn(verdict.reason);
      }
    } else if (agent.phase === 'speaking' && !open.isSpeaking) {
      // The caller had stopped before our audio began, so there was no HOLD: words decide, silence drops the turn.
      const verdict = this.#judgeLateWords(open, this.#ladder(agent.kind, agent.startedMs));
      if (verdict.is === 'real') this.#cut(verdict.reason);
      if (verdict.is === 'false') this.#dropTurn(verdict.reason);
    }
  }

  /** Nothing stands still for it, so a short sound is given the time that its transcript needs. */
  #judgeLateWords(open: OpenTurn, context: LadderContext): Verdict {
    const byWords = judgeWords(open, context);
    if (byWords.is !== 'open') return byWords;
    const bySilence = judgeSilence(open, this.#settings, this.#at);
    const isWaiting = bySilence.is === 'false' && bySilence.reason === 'short' && !this.#isTranscriptDue(open);
    return isWaiting ? { is: 'open' } : bySilence;
  }

  #isTranscriptDue(open: OpenTurn): boolean {
    return covers(open) || this.#at >= open.endedAtMs + this.#settings.verdictMs;
  }

  #judgeUndo(): void {
    const { undo, open, agent } = this.state;
    if (undo === undefined) return;
    if (this.#at > undo.untilMs || agent.phase !== 'idle' || open === undefined) {
      this.#forgetUndo();
      return;
    }
    const verdict = this.#judgeLateWords(open, { ...this.#ladder(undo.kind, undo.startedMs), isGuarded: false });
    if (verdict.is === 'real') this.#forgetUndo();
    if (verdict.is !== 'false' || open.isSpeaking) return;
    const newSpeech = this.#nextSpeech();
    this.actions.push({ type: 'undo', speech: undo.speech, newSpeech, reason: verdict.reason });
    this.#dropTurn(verdict.reason);
    if (this.state.endAfterSpeech === undo.speech) this.state.endAfterSpeech = newSpeech;
    if (this.state.lastCommit?.speech === undo.speech) this.state.lastCommit = { ...this.state.lastCommit, speech: newSpeech };
    this.state.agent = { phase: 'thinking', speech: newSpeech, kind: undo.kind, isHeldBack: false, sinceMs: this.#at };
    this.state.idleSinceMs = undefined;
    this.state.undo = undefined;
    this.state.hasUndone = true;
    this.#countFalseHold();
  }

  #judgeHeldBack(): void {
    const { agent, open, lastCommit } = this.state;
    if (agent.phase !== 'thinking' || !agent.isHeldBack) return;
    if (open === undefined) {
      if (this.#at < this.state.quietUntilMs) return;
      this.state.agent = { ...agent, isHeldBack: false };
      this.actions.push({ type: 'release', speech: agent.speech });
      return;
    }
    // One word of a partial may be a phantom of the recogniser's: it takes a final, or two, to throw a reply away.
    const isSure = open.isFinal || wordsOf(open.text).length >= 2;
    const saysNothing = !hasSpeech(open.text) || !isSure || isBackchannel(open.text, this.#settings.language);
    if (!saysNothing) {
      this.actions.push({ type: 'discard', speech: agent.speech });
      if (lastCommit?.speech === agent.speech) this.#openWith({ prefix: lastCommit.text });
      this.state.agent = { phase: 'idle' };
      return;
    }
    const isOver = covers(open) || this.#at >= open.t0Ms + this.#settings.sttWaitMs;
    if (open.isSpeaking || !isOver) return;
    this.#dropTurn(hasSpeech(open.text) ? 'backchannel' : 'no_words');
    this.#judgeHeldBack();
  }

  /** Whoever is asked for a reply has deadlines of its own; this is the last one. */
  #judgeThinking(): void {
    const { agent } = this.state;
    if (agent.phase !== 'thinking' || agent.isHeldBack || this.#at < agent.sinceMs + this.#settings.thinkingMaxMs) return;
    this.actions.push({ type: 'discard', speech: agent.speech });
    this.#failed('llm_failed');
  }

  /** Ask for the reply as soon as the words are there, before the turn is committed. */
  #speculate(): void {
    const { open, agent } = this.state;
    const settings = this.#settings;
    if (open === undefined || open.isSpeaking || agent.phase !== 'idle' || this.state.undo !== undefined) return;
    if (open.draft !== undefined || open.draftCount >= settings.speculationsMax) return;
    if (!covers(open) || !hasSpeech(open.text) || open.closedSpeechMs > settings.speculationSpeechMaxMs) return;
    const text = merge(open);
    if (asksToWait(text, settings.language)) return;
    const speech = this.#nextSpeech();
    this.#openWith({ draft: { speech, key: keyOf(text) }, draftCount: open.draftCount + 1 });
    this.actions.push({ type: 'generate', speech, text, isSpeculative: true, isMerged: open.prefix !== '' });
  }

  #judgeCommit(): void {
    const { open, agent } = this.state;
    if (open === undefined || open.isSpeaking || agent.phase !== 'idle') return;
    // A CUT that may still be undone is decided first, at the latest when its time is over.
    if (this.state.undo !== undefined && !hasSpeech(open.text)) return;
    if (this.#at < commitAtMs(this.state, open, this.#settings)) return;
    // What this turn continues is still unanswered, whether it continues it with words or not.
    if (!hasSpeech(open.text) && open.prefix === '') {
      this.#dropTurn(open.hasProblem ? 'stt_failed' : 'no_transcript');
      if (open.hasProblem) this.#failed('stt_failed');
      else this.#becomeIdle();
      return;
    }
    const text = merge(open);
    const delayMs = endpointDelayMs(text, this.state.agentText, this.#settings);
    const draft = open.draft?.key === keyOf(text) ? open.draft : undefined;
    if (draft === undefined) this.#discardDraft();
    this.#commit(open.text, text, { isMerged: open.prefix !== '', isTyped: false, t0Ms: open.t0Ms, delayMs, draft });
  }

  #commit(
    text: string,
    mergedText: string,
    how: { isMerged: boolean; isTyped: boolean; t0Ms: number; delayMs: number; draft: OpenTurn['draft'] },
  ): void {
    const { isMerged, isTyped, t0Ms, delayMs, draft } = how;
    const isWait = !isTyped && asksToWait(mergedText, this.#settings.language);
    const speech = isWait ? 0 : (draft?.speech ?? this.#nextSpeech());
    const isAdopted = draft !== undefined && !isWait;
    const { turn } = this.state;
    this.actions.push({ type: 'commit', turn, text, mergedText, isMerged, isTyped, speech, isAdopted, t0Ms, delayMs });
    this.state.open = undefined;
    this.state.turn += 1;
    this.#forgetUndo();
    this.state.hasUndone = false;
    this.state.idlePrompts = 0;
    this.state.endAfterSpeech = undefined;
    this.state.lastCommit = { text: mergedText, speech };
    if (isWait) {
      this.#becomeIdle();
      return;
    }
    if (!isAdopted) this.actions.push({ type: 'generate', speech, text: mergedText, isSpeculative: false, isMerged });
    this.state.agent = { phase: 'thinking', speech, kind: 'reply', isHeldBack: false, sinceMs: this.#at };
    this.state.idleSinceMs = undefined;
    this.#keepQuiet();
  }

  #judgeIdle(): void {
    const { agent, open, idleSinceMs } = this.state;
    const settings = this.#settings;
    if (this.state.isEnded || agent.phase !== 'idle' || open !== undefined || idleSinceMs === undefined) return;
    if (settings.silenceEndMs > 0 && this.#at >= silenceEndAtMs(this.state, settings)) {
      this.#endCall('silence');
      return;
    }
    if (settings.idleMs <= 0 || this.state.idlePrompts >= settings.idlePromptsMax || this.#phrases.idle.length === 0) return;
    if (this.#at < Math.max(idleSinceMs + settings.idleMs, this.state.quietUntilMs)) return;
    const text = this.#phrases.idle[this.state.idlePrompts % this.#phrases.idle.length]!;
    this.state.idlePrompts += 1;
    this.#say('idle', text);
  }

  #chooseStartHops(): void {
    const recent = this.state.falseHoldsAtMs.filter((at) => this.#at - at < this.#settings.falseHoldWindowMs);
    const hops = recent.length < 2 ? 2 : recent.length === 2 ? 3 : 4;
    if (recent.length !== this.state.falseHoldsAtMs.length) this.state.falseHoldsAtMs = recent;
    if (hops === this.state.startHops) return;
    this.state.startHops = hops;
    this.actions.push({ type: 'start_hops', hops });
  }

  // What follows ----------------------------------------------------------------------------------------------------------------------

  #cut(reason: CutReason): void {
    const { agent } = this.state;
    if (agent.phase !== 'held' && agent.phase !== 'speaking') return;
    const isOnSoundAlone = reason === 'strong_speech' || reason === 'long_speech';
    const isUndoable = isOnSoundAlone && !this.state.hasUndone;
    this.state.epoch += 1;
    this.actions.push({ type: 'cut', epoch: this.state.epoch, speech: agent.speech, reason, isUndoable });
    this.#answered(agent.kind);
    this.state.agent = { phase: 'idle' };
    this.state.idleSinceMs = undefined;
    this.#forgetUndo();
    if (isUndoable)
      this.state.undo = {
        speech: agent.speech,
        kind: agent.kind,
        startedMs: agent.startedMs,
        untilMs: this.#at + this.#settings.undoMs,
      };
  }

  #resume(speech: number, hold: number, reason: ResumeReason): void {
    const { agent } = this.state;
    if (agent.phase !== 'held') return;
    this.state.agent = { phase: 'speaking', speech, kind: agent.kind, startedMs: agent.startedMs };
    this.actions.push({ type: 'resume', speech, hold, reason });
    this.#countFalseHold();
  }

  /** The CUT stands. */
  #forgetUndo(): void {
    if (this.state.undo === undefined) return;
    this.actions.push({ type: 'discard', speech: this.state.undo.speech });
    this.state.undo = undefined;
  }

  #countFalseHold(): void {
    this.state.falseHoldsAtMs = [...this.state.falseHoldsAtMs, this.#at];
  }

  /** Typed words take the floor at once. */
  #stopAgent(reason: CutReason): void {
    const { agent } = this.state;
    if (agent.phase === 'thinking') this.actions.push({ type: 'discard', speech: agent.speech });
    this.#cut(reason);
    this.state.agent = { phase: 'idle' };
  }

  #keepQuiet(): void {
    const { agent } = this.state;
    if (agent.phase !== 'thinking' || agent.isHeldBack || this.#at >= this.state.quietUntilMs) return;
    this.state.agent = { ...agent, isHeldBack: true };
    this.actions.push({ type: 'hold_back', speech: agent.speech });
  }

  #dropTurn(reason: DropReason): void {
    this.#discardDraft();
    this.actions.push({ type: 'drop_turn', turn: this.state.turn, reason });
    this.state.open = undefined;
    this.state.turn += 1;
    if (this.state.agent.phase === 'idle' && this.state.idleSinceMs === undefined) this.state.idleSinceMs = this.#at;
  }

  #discardDraft(): void {
    const { open } = this.state;
    if (open?.draft === undefined) return;
    this.actions.push({ type: 'discard', speech: open.draft.speech });
    this.#openWith({ draft: undefined });
  }

  #say(kind: SpeechKind, text: string): void {
    const speech = this.#nextSpeech();
    this.state.agent = { phase: 'thinking', speech, kind, isHeldBack: false, sinceMs: this.#at };
    this.state.idleSinceMs = undefined;
    this.state.agentText = text;
    this.state.agentTextSpeech = speech;
    this.actions.push({ type: 'say', speech, kind, text });
    this.#keepQuiet();
  }

  #failed(reason: 'llm_failed' | 'stt_failed' | 'tts_failed'): void {
    this.state.failures += 1;
    if (this.state.failures >= failuresMax) this.#endCall(reason);
    else this.#say('apology', this.#phrases.apology);
  }

  #endCall(reason: Extract<Action, { type: 'end_call' }>['reason']): void {
    this.actions.push({ type: 'end_call', reason });
    this.state.agent = { phase: 'idle' };
    this.state.isEnded = true;
  }

  #becomeIdle(): void {
    this.state.agent = { phase: 'idle' };
    if (this.state.open === undefined) this.state.idleSinceMs = this.#at;
  }

  #isLive(speech: number): boolean {
    const { agent } = this.state;
    return (agent.phase !== 'idle' && agent.speech === speech) || this.state.open?.draft?.speech === speech;
  }

  #nextSpeech(): number {
    this.state.speech += 1;
    return this.state.speech;
  }

  #openWith(change: Partial<OpenTurn>): void {
    if (this.state.open !== undefined) this.state.open = { ...this.state.open, ...change };
  }
}

/** Turns in a row without an answer that end the call. */
const failuresMax = 3;
