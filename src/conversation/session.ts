/**
 * One conversation: feeds the pure turn machine with what the other threads report and carries out what it decides. Conversation thread.
 * Everything that decides is in `src/turn/`; here is only the doing, in the order in which it was decided.
 */
import { randomUUID } from 'node:crypto';
import ringBuffer from 'ring-buffer-ts';
import type { LlmProvider, ToolSpec } from '../llm/port.js';
import type { EngineError } from '../shared/errors.js';
import type { Address, FromStt, FromTts, FromVad, ToStt, ToTts } from '../shared/links.js';
import { Cell, type Slot } from '../shared/slots.js';
import { inputRateHz } from '../shared/units.js';
import type { AgentConfig } from '../store/agents.js';
import type { Recorder } from '../telemetry/recorder.js';
import { nextDeadlineMs, step } from '../turn/machine.js';
import { type Action, initialState, type TurnEvent, type TurnState } from '../turn/state.js';
import { keyOf } from '../turn/words.js';
import type { ClientEvent, Initiation, ServerEvent } from '../wire/events.js';
import { describeFormat } from '../wire/formats.js';
import { History } from './history.js';
import type { FromConversation, ToConversation } from './links.js';
import { noInitiation, type Profile, resolveProfile } from './profile.js';
import { Reply } from './reply.js';
import { TurnTimes } from './times.js';

type Body<Union> = Union extends unknown ? Omit<Union, 'slot' | 'generation'> : never;

/** What a session may do to the world. */
export type SessionLinks = {
  readonly toMain: (message: Body<FromConversation>) => void;
  readonly toStt: (message: Body<ToStt>) => void;
  readonly toTts: (message: Body<ToTts>) => void;
  readonly log: (event: string, fields: Record<string, string | number>) => void;
};

export type SessionLimits = {
  /** Without an initiation the session starts with the agent's defaults after this. */
  readonly initiationGraceMs: number;
  readonly pingIntervalMs: number;
  /** The word of what was heard of a cut speech is waited for this long before the next turn is dealt with. */
  readonly heardWaitMs: number;
};

export type ProviderNames = { readonly stt: string; readonly llm: string; readonly tts: string };

export const endCallTool: ToolSpec = {
  name: 'end_call',
  description:
    'Hang up. Say goodbye first, in the same answer; call it when the caller has said goodbye or wants to end the call.',
  parameters: {
    type: 'object',
    properties: { reason: { type: 'string', description: 'Why the call ends.' } },
    required: ['reason'],
  },
};

const brokenOff = ' Sorry, I lost my thread there.';
const roundTripsKept = 5;

export class Session {
  readonly #address: Address;
  readonly #slot: Slot;
  readonly #agent: AgentConfig | undefined;
  readonly #conversationId: string;
  readonly #llm: LlmProvider;
  readonly #providers: ProviderNames;
  readonly #links: SessionLinks;
  readonly #limits: SessionLimits;
  readonly #recorder: Recorder;
  readonly #now: () => number;
  readonly #openedAtMs: number;

  #profile: Profile | undefined;
  #startedAtMs = 0;
  #state: TurnState = initialState;
  readonly #events: TurnEvent[] = [];
  readonly #actions: Action[] = [];
  #isWorking = false;
  readonly #history = new History();
  readonly #replies = new Map<number, Reply>();
  #controlCount = 0;
  #eventId = 0;
  #turnEventId = 0;
  #pingId = 0;
  #pingedAtMs = 0;
  readonly #roundTrips = new ringBuffer.RingBuffer<number>(roundTripsKept);
  #lastPingMs: number | null = null;
  #times = new TurnTimes(1);
  #timesOfSpeech = new Map<number, TurnTimes>();
  #heardPending = false;
  #heardDueAtMs = 0;
  #lastCut = 0;
  #hangUpAtMs = 0;
  #holdAtMs = 0;
  /** A deadline that `time` was fed for without moving it; those up to it are not fed again until an event comes. */
  #servedDeadlineMs = -1;
  /** Detector's cursor, read before its events were drained. */
  #judgedSample = 0;
  #isClosed = false;

  constructor(
    address: Address,
    slot: Slot,
    open: Extract<ToConversation, { type: 'open' }>,
    agents: ReadonlyMap<string, AgentConfig>,
    llm: LlmProvider,
    providers: ProviderNames,
    links: SessionLinks,
    limits: SessionLimits,
    recorder: Recorder,
    now: () => number,
  ) {
    this.#address = address;
    this.#slot = slot;
    this.#conversationId = open.conversationId;
    this.#agent = agents.get(open.agentId === '' ? 'default' : open.agentId);
    this.#llm = llm;
    this.#providers = providers;
    this.#links = links;
    this.#limits = limits;
    this.#recorder = recorder;
    this.#now = now;
    this.#openedAtMs = now();
    if (this.#agent === undefined) this.#end(1008, 'Unknown agent, or it is not available to you. Check agent_id.');
  }

  get generation(): number {
    return this.#address.generation;
  }

  // From the other threads ------------------------------------------------------------------------------------------------------------

  fromMain(message: ToConversation): void {
    switch (message.type) {
      case 'open':
        return;
      case 'early_audio':
        this.#start(noInitiation);
        return;
      case 'client_event':
        this.#clientEvent(message.event);
        return;
      case 'first_frame':
        this.#firstFrame(message.speech, message.atMs);
        return;
      case 'close':
        this.close();
        return;
    }
  }

  fromVad(message: FromVad): void {
    if (this.#profile === undefined) return;
    if (message.type !== 'score') this.#judgedSample = Math.max(this.#judgedSample, message.atSample);
    switch (message.type) {
      case 'score':
        this.#send({ type: 'vad_score', score: message.score });
        return;
      case 'speech_dip':
        return;
      case 'speech_start':
        if (message.hold > 0) this.#noteHold(message.hold, message.decidedAtMs);
        this.#feed({ type: 'speech_start', startMs: toMs(message.startSample), hold: message.hold });
        return;
      case 'speech_hop':
        if (message.hold > 0) this.#noteHold(message.hold, this.#now());
        this.#feed({
          type: 'speech_hop',
          speechMs: message.speechMs,
          continuousMs: message.continuousMs,
          meanProbability: message.meanProbability,
          hold: message.hold,
        });
        return;
      case 'speech_end':
        this.#times.mark('speechEnd', this.#instantOf(message.lastSpeechSample));
        this.#feed({ type: 'speech_end', t0Ms: toMs(message.lastSpeechSample), speechMs: message.speechMs });
        return;
    }
  }

  fromStt(message: FromStt): void {
    if (message.type === 'stt_problem') {
      this.#recorder.count('parley_errors_total', `stage="stt",error_type="${message.problem.kind}"`);
      this.#links.log('stt.problem', { kind: message.problem.kind, message: message.problem.message });
      this.#feed({ type: 'stt_problem', turn: message.turn });
      return;
    }
    // The final that the reply is made from counts; a later one that says the same does not.
    const draftKey = this.#state.open?.draft?.key;
    if (message.turn === this.#state.turn && message.isFinal && draftKey !== keyOf(message.text)) {
      this.#times.mark('finalAsked', message.askedAtMs);
      this.#times.mark('finalAnswered', message.answeredAtMs);
      this.#times.finalThroughMs = toMs(message.lastSample);
    }
    const throughMs = toMs(message.lastSample);
    this.#feed({ type: 'transcript', turn: message.turn, text: message.text, isFinal: message.isFinal, throughMs });
  }

  fromTts(message: FromTts): void {
    switch (message.type) {
      case 'resume_ready':
        this.#releaseHolds(message.hold);
        this.#links.toMain({ type: 'ring' });
        return;
      case 'heard':
        this.#heardOf(message);
        return;
      case 'drained':
        this.#drained(message.speech, message.heardChars);
        return;
      case 'speech_timing': {
        const times = this.#timesOfSpeech.get(message.speech);
        times?.mark('firstSegment', message.firstSegmentAtMs);
        times?.mark('firstChunk', message.firstChunkAtMs);
        this.#recordTimes(message.speech);
        return;
      }
      case 'tts_problem':
        this.#recorder.count('parley_errors_total', `stage="tts",error_type="${message.problem.kind}"`);
        this.#links.log('tts.problem', { kind: message.problem.kind, message: message.problem.message });
        if (!message.isHeard) this.#unheard(message.speech);
        this.#feed({ type: 'tts_failed', speech: message.speech, isHeard: message.isHeard });
        return;
    }
  }

  /** To be called before the detector's events are drained: a timer then never overtakes an event of its own past. */
  readClock(): void {
    this.#judgedSample = this.#slot.load(Cell.vadRead);
  }

  /** Called about a hundred times a second, after `readClock` and the draining: the timers of the session. */
  tick(): void {
    if (this.#isClosed) return;
    const now = this.#now();
    if (this.#profile === undefined) {
      if (now - this.#openedAtMs >= this.#limits.initiationGraceMs) this.#start(noInitiation);
      return;
    }
    if (this.#heardPending && now >= this.#heardDueAtMs) {
      this.#heardPending = false;
      this.#work();
    }
    if (now - this.#pingedAtMs >= this.#limits.pingIntervalMs) this.#ping(now);
    if (now - this.#startedAtMs >= this.#profile.maxDurationMs) {
      this.#send({
        type: 'error',
        code: 1000,
        errorType: 'max_duration_exceeded',
        message: 'The maximum call duration is reached.',
      });
      this.#end(1000, 'Maximum call duration reached.');
      return;
    }
    if (this.#hangUpAtMs > 0 && now >= this.#hangUpAtMs) {
      this.#hangUp();
      return;
    }
    const deadline = nextDeadlineMs(this.#state, this.#profile.turn, this.#servedDeadlineMs);
    if (deadline === undefined || deadline > this.#inputMs()) return;
    this.#feed({ type: 'time' });
    // Whatever was due until now has been looked at; what the machine names next lies later, or is new.
    if (nextDeadlineMs(this.#state, this.#profile.turn, this.#servedDeadlineMs) === deadline) this.#servedDeadlineMs = deadline;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const reply of this.#replies.values()) reply.stop();
    this.#replies.clear();
    this.#events.length = 0;
    this.#actions.length = 0;
  }

  // The start -------------------------------------------------------------------------------------------------------------------------

  #clientEvent(event: ClientEvent): void {
    if (event.type === 'enclave_setup_config') return;
    if (event.type === 'initiation') {
      if (this.#profile === undefined) this.#start(event.initiation);
      else this.#warn('invalid_message', 'The conversation has already begun; this initiation is ignored.');
      return;
    }
    if (this.#profile === undefined) this.#start(noInitiation);
    if (this.#profile === undefined || this.#isClosed) return;
    switch (event.type) {
      case 'pong':
        this.#pong(event.eventId);
        return;
      case 'user_message':
        if (event.text !== undefined && event.text.trim() !== '') this.#feed({ type: 'typed', text: event.text });
        return;
      case 'multimodal_message':
        if (event.text !== undefined && event.text.trim() !== '') this.#feed({ type: 'typed', text: event.text });
        return;
      case 'user_activity':
        this.#feed({ type: 'activity' });
        return;
      case 'contextual_update':
        this.#history.setContext(event.contextId, event.text);
        this.#feed({ type: 'context_changed' });
        return;
      default:
        this.#recorder.count('parley_ignored_messages_total', `type="${event.type}"`);
        return;
    }
  }

  #start(initiation: Initiation): void {
    if (this.#profile !== undefined || this.#agent === undefined || this.#isClosed) return;
    const resolved = resolveProfile(this.#agent, initiation, {
      system__agent_id: this.#agent.agent_id,
      system__current_agent_id: this.#agent.agent_id,
      system__conversation_id: this.#conversationId,
      system__time_utc: new Date().toISOString(),
      system__call_duration_secs: 0,
    });
    const { asr, tts, conversation } = this.#agent.conversation_config;
    const { user_input_audio_format: inputFormat } = asr;
    const { agent_output_audio_format: outputFormat } = tts;
    const isTextOnly = resolved.ok ? resolved.profile.isTextOnly : conversation.text_only;
    this.#links.toMain({
      type: 'begin',
      inputFormat,
      outputFormat,
      isTextOnly,
      sendsAudio: resolved.ok && resolved.profile.events.has('audio'),
      sendsScores: resolved.ok && resolved.profile.events.has('vad_score'),
    });
    const metadata: ServerEvent = { type: 'metadata', conversationId: this.#conversationId, inputFormat, outputFormat };
    if (!resolved.ok) {
      this.#control(metadata);
      this.#links.log('session.refused', { error_type: resolved.refusal.errorType });
      this.#end(resolved.refusal.code, resolved.refusal.reason);
      return;
    }
    const { profile } = resolved;
    this.#profile = profile;
    this.#startedAtMs = this.#now();
    this.#slot.store(Cell.wantsScores, profile.events.has('vad_score') ? 1 : 0);
    if (!isTextOnly) {
      const { rateHz, encoding } = describeFormat(outputFormat);
      const { language, keywords, grammar, voice } = profile;
      this.#links.toStt({ type: 'configure', provider: this.#providers.stt, language, keywords, grammar });
      this.#links.toTts({ type: 'configure', provider: this.#providers.tts, ...voice, rateHz, encoding });
    }
    this.#control(metadata);
    // The first ping comes when the quiet after the metadata is over.
    this.#pingedAtMs = this.#startedAtMs - this.#limits.pingIntervalMs + firstPingMs;
    this.#feed({ type: 'started', firstMessage: profile.firstMessage });
  }

  // The machine -----------------------------------------------------------------------------------------------------------------------

  #feed(event: TurnEvent): void {
    if (this.#isClosed || this.#profile === undefined) return;
    this.#events.push(event);
    this.#work();
  }

  /** Events and actions one after another; an action that causes an event does not overtake the actions decided before. */
  #work(): void {
    if (this.#isWorking || this.#profile === undefined) return;
    this.#isWorking = true;
    try {
      for (;;) {
        const action = this.#actions[0];
        if (action !== undefined) {
          if (this.#mustWaitForHeard(action)) return;
          this.#actions.shift();
          this.#do(action, this.#profile);
          continue;
        }
        const event = this.#events.shift();
        if (event === undefined || this.#isClosed) return;
        const { turn, idlePhrases, apology } = this.#profile;
        const result = step(this.#state, event, this.#inputMs(), turn, { idle: idlePhrases, apology });
        this.#state = result.state;
        if (event.type !== 'time') this.#servedDeadlineMs = -1;
        this.#actions.push(...result.actions);
      }
    } finally {
      this.#isWorking = false;
    }
  }

  /** History keeps its order: what was heard of a cut reply comes before the words that cut it. */
  #mustWaitForHeard(action: Action): boolean {
    if (!this.#heardPending) return false;
    if (action.type === 'discard') return action.speech === this.#lastCut;
    return action.type === 'commit' || action.type === 'generate' || action.type === 'undo';
  }

  #do(action: Action, profile: Profile): void {
    switch (action.type) {
      case 'generate':
        this.#generate(action, profile);
        return;
      case 'discard':
        this.#dropReply(action.speech);
        this.#links.toTts({ type: 'discard', speech: action.speech });
        return;
      case 'commit':
        this.#commit(action);
        return;
      case 'drop_turn':
        this.#closeTurn(action.turn);
        this.#recorder.count('parley_turns_dropped_total', `reason="${action.reason}"`);
        this.#links.log('turn.dropped', { turn: action.turn, reason: action.reason });
        return;
      case 'tentative':
        this.#send({ type: 'tentative_user_transcript', text: action.text, eventId: this.#turnEvent() });
        return;
      case 'say':
        this.#say(action.speech, action.text);
        return;
      case 'hold_back':
        this.#links.toTts({ type: 'hold_back', speech: action.speech });
        return;
      case 'release':
        this.#release(action.speech);
        return;
      case 'release_hold':
        this.#releaseHolds(action.hold);
        this.#links.toMain({ type: 'ring' });
        return;
      case 'resume':
        this.#verdict('false', action.reason);
        this.#links.toTts({ type: 'resume', hold: action.hold });
        return;
      case 'cut':
        this.#cut(action);
        return;
      case 'undo':
        this.#undo(action);
        return;
      case 'start_hops':
        this.#slot.store(Cell.startHops, action.hops);
        return;
      case 'end_call':
        this.#endCall(action.reason);
        return;
    }
  }

  // Replies ---------------------------------------------------------------------------------------------------------------------------

  #generate(action: Extract<Action, { type: 'generate' }>, profile: Profile): void {
    const { speech, isSpeculative } = action;
    const reply = this.#newReply(speech);
    // A reply that is asked for after its turn's commit keeps that turn's instants.
    const times = this.#timesOfSpeech.get(speech) ?? this.#times;
    this.#timesOfSpeech.set(speech, times);
    if (!isSpeculative) this.#goLive(reply);
    const request = {
      messages: this.#history.messages(profile.prompt, action.text, isSpeculative ? action.isMerged : true),
      tools: [endCallTool],
      model: profile.model,
      temperature: profile.temperature,
      maxTokens: profile.maxTokens,
      grammar: profile.grammar,
      ...(profile.userId === undefined ? {} : { userId: profile.userId }),
      ...(profile.extraBody === undefined ? {} : { extraBody: profile.extraBody }),
    };
    this.#recorder.count('parley_llm_requests_total', `speculative="${isSpeculative}"`);
    void reply.run(this.#llm, request, this.#now, {
      onText: (delta) => this.#replyText(reply, delta),
      onEnd: () => this.#replyDone(reply),
      onError: (error) => this.#replyFailed(reply, error),
    });
    times.mark('llmAsked', reply.askedAtMs);
  }

  #newReply(speech: number): Reply {
    const reply = new Reply(speech);
    this.#replies.set(speech, reply);
    if (!this.#isText) this.#links.toTts({ type: 'speak', speech, isProtected: this.#profile?.turn.isInterruptible === false });
    return reply;
  }

  #replyText(reply: Reply, delta: string): void {
    this.#timesOfSpeech.get(reply.speech)?.mark('firstToken', reply.firstTokenAtMs);
    if (!this.#isText) this.#links.toTts({ type: 'text', speech: reply.speech, delta });
    if (reply.isLive && !reply.isCut) this.#tell(reply, delta);
  }

  /** The client and the machine learn of text of a live reply. */
  #tell(reply: Reply, delta: string): void {
    if (this.#isText && reply.text === delta) this.#feed({ type: 'audio_started', speech: reply.speech });
    this.#send({ type: 'agent_chat_response_part', part: 'delta', text: delta, eventId: reply.eventId });
    this.#feed({ type: 'agent_text', speech: reply.speech, text: delta });
  }

  #replyDone(reply: Reply): void {
    if (!this.#isText) this.#links.toTts({ type: 'text_end', speech: reply.speech });
    if (reply.isLive && !reply.isCut) this.#finish(reply);
  }

  #finish(reply: Reply): void {
    this.#announce(reply);
    const endsCall = reply.endCallReason !== undefined;
    this.#feed({ type: 'reply_end', speech: reply.speech, isEmpty: reply.text.trim() === '', endsCall });
    if (this.#isText) this.#drained(reply.speech, undefined);
  }

  /** `agent_response`, once a reply: when its text is complete, or when it is cut. */
  #announce(reply: Reply): void {
    if (reply.isAnnounced || !reply.isLive) return;
    reply.isAnnounced = true;
    this.#send({ type: 'agent_chat_response_part', part: 'stop', text: '', eventId: reply.eventId });
    if (reply.text.trim() === '') return;
    this.#send({ type: 'agent_response', text: reply.text, eventId: reply.eventId });
  }

  #replyFailed(reply: Reply, error: EngineError): void {
    this.#recorder.count('parley_errors_total', `stage="llm",error_type="${error.kind}"`);
    this.#links.log('llm.problem', { kind: error.kind, message: error.message });
    // A draft is not worth finishing: the machine asks anew.
    const isHeard = reply.isLive && reply.text.trim() !== '';
    if (isHeard) {
      reply.text += brokenOff;
      this.#replyText(reply, brokenOff);
      this.#replyDone(reply);
    } else {
      if (!this.#isText) this.#links.toTts({ type: 'discard', speech: reply.speech });
      this.#dropReply(reply.speech);
    }
    this.#feed({ type: 'reply_failed', speech: reply.speech, isHeard });
  }

  #say(speech: number, text: string): void {
    const reply = this.#newReply(speech);
    reply.text = text;
    reply.isDone = true;
    if (!this.#isText) {
      this.#links.toTts({ type: 'text', speech, delta: text });
      this.#links.toTts({ type: 'text_end', speech });
    }
    this.#goLive(reply);
  }

  /** The reply may be heard: it gets its id, and the client what there is of it. */
  #goLive(reply: Reply): void {
    reply.isLive = true;
    reply.eventId = this.#nextEventId();
    this.#send({ type: 'agent_chat_response_part', part: 'start', text: '', eventId: reply.eventId });
    this.#release(reply.speech);
    if (reply.text !== '') this.#tell(reply, reply.text);
    if (reply.isDone) this.#finish(reply);
  }

  #release(speech: number): void {
    const reply = this.#replies.get(speech);
    if (reply === undefined || !reply.isLive || this.#isText) return;
    const { epoch } = this.#state;
    this.#links.toTts({ type: 'release', speech, epoch, eventId: reply.eventId, afterControl: this.#controlCount });
  }

  #dropReply(speech: number): void {
    this.#replies.get(speech)?.stop();
    this.#replies.delete(speech);
    this.#timesOfSpeech.delete(speech);
  }

  #firstFrame(speech: number, atMs: number): void {
    this.#timesOfSpeech.get(speech)?.mark('firstFrame', atMs);
    this.#recordTimes(speech);
    this.#feed({ type: 'audio_started', speech });
  }

  /** The word of main and that of the pacer come over different ports: whichever is second completes the turn's instants. */
  #recordTimes(speech: number): void {
    const times = this.#timesOfSpeech.get(speech);
    if (times?.get('firstFrame') === undefined || times.get('firstChunk') === undefined) return;
    this.#timesOfSpeech.delete(speech);
    times.record(this.#recorder);
    this.#links.log('turn.answered', { turn: times.turn, final_through_ms: times.finalThroughMs, ...times.fields() });
    const disorder = times.disorder();
    if (disorder !== undefined) this.#links.log('turn.disorder', { turn: times.turn, disorder });
  }

  /** `heardChars`: synthesis failed behind them. */
  #drained(speech: number, heardChars: number | undefined): void {
    const reply = this.#replies.get(speech);
    if (reply !== undefined) {
      if (heardChars === undefined) this.#history.addAgent(speech, reply.text, false);
      else this.#breakOff(reply, heardChars);
      if (reply.isLive) this.#send({ type: 'agent_response_complete', eventId: reply.eventId });
    }
    this.#feed({ type: 'drained', speech, isBroken: heardChars !== undefined });
    this.#dropReply(speech);
  }

  /** Synthesis made no sound of the speech. */
  #unheard(speech: number): void {
    const reply = this.#replies.get(speech);
    if (reply?.isLive === true) this.#breakOff(reply, 0);
    this.#dropReply(speech);
  }

  #breakOff(reply: Reply, heardChars: number): void {
    reply.stop();
    this.#announce(reply);
    this.#keepHeard(reply, heardChars);
  }

  // Turns -----------------------------------------------------------------------------------------------------------------------------

  #commit(action: Extract<Action, { type: 'commit' }>): void {
    const now = this.#now();
    this.#times.mark('committed', now);
    this.#times.dueAtMs = this.#instantOf(toSamples(action.t0Ms)) + action.delayMs;
    if (!action.isTyped && action.text !== '')
      this.#send({ type: 'user_transcript', text: action.text, eventId: this.#turnEvent() });
    if (!action.isAdopted && action.speech > 0) this.#timesOfSpeech.set(action.speech, this.#times);
    this.#closeTurn(action.turn);
    if (action.isMerged) this.#history.replaceUser(action.mergedText);
    else this.#history.addUser(action.mergedText);
    this.#recorder.count('parley_turns_total', `kind="${action.isTyped ? 'typed' : 'spoken'}"`);
    this.#links.log('turn.committed', {
      turn: action.turn,
      at_ms: now,
      last_speech_ms: action.t0Ms,
      delay_ms: Math.round(action.delayMs),
      merged: action.isMerged ? 1 : 0,
      adopted: action.isAdopted ? 1 : 0,
    });
    if (!action.isAdopted) return;
    const reply = this.#replies.get(action.speech);
    if (reply === undefined) return;
    this.#goLive(reply);
  }

  #closeTurn(turn: number): void {
    if (!this.#isText) this.#links.toStt({ type: 'close_turn', turn, throughSample: this.#judgedSample });
    this.#turnEventId = 0;
    this.#times = new TurnTimes(turn + 1);
  }

  // Interruption ----------------------------------------------------------------------------------------------------------------------

  #cut(action: Extract<Action, { type: 'cut' }>): void {
    const decidedAtMs = this.#now();
    this.#slot.store(Cell.epoch, action.epoch);
    this.#releaseHolds(this.#slot.load(Cell.holdsRaised));
    const event: ServerEvent = { type: 'interruption', eventId: this.#nextEventId() };
    const format = this.#profile?.outputFormat ?? 'pcm_16000';
    const flush: ServerEvent = { type: 'flush_audio', eventId: this.#nextEventId(), format };
    if (this.#isText) {
      this.#send(event);
    } else {
      this.#controlCount += 1;
      this.#links.toMain({ type: 'interruption', event, flush, epoch: action.epoch, decidedAtMs });
      this.#links.toTts({ type: 'cut', speech: action.speech, epoch: action.epoch, isUndoable: action.isUndoable });
      this.#heardPending = true;
      this.#lastCut = action.speech;
      this.#heardDueAtMs = decidedAtMs + this.#limits.heardWaitMs;
    }
    this.#verdict('real', action.reason);
    const reply = this.#replies.get(action.speech);
    if (reply === undefined) return;
    if (!action.isUndoable) reply.stop();
    this.#announce(reply);
    reply.isCut = true;
    if (this.#isText) this.#keepHeard(reply, reply.text.length);
  }

  /** `atMs` in the log is the monotonic clock, which other processes of the machine share: load programs subtract it from theirs. */
  #noteHold(hold: number, atMs: number): void {
    this.#holdAtMs = atMs;
    this.#links.log('turn.hold', { hold, at_ms: atMs });
  }

  #verdict(is: 'real' | 'false', reason: string): void {
    const atMs = this.#now();
    if (this.#holdAtMs > 0) this.#recorder.record('hold_to_verdict', atMs - this.#holdAtMs);
    this.#holdAtMs = 0;
    this.#recorder.count('parley_verdicts_total', `is="${is}",reason="${reason}"`);
    this.#links.log('turn.verdict', { is, reason, at_ms: atMs });
  }

  #heardOf(message: Extract<FromTts, { type: 'heard' }>): void {
    const reply = this.#replies.get(message.speech);
    this.#heardPending = false;
    if (reply !== undefined) {
      this.#keepHeard(reply, message.heardChars);
      this.#feed({ type: 'heard', speech: message.speech, heardMs: message.heardMs });
    }
    // A speech that was heard to its end while it was being cut is in the history already.
    this.#work();
  }

  /** History and client learn what was truly heard. */
  #keepHeard(reply: Reply, heardChars: number): void {
    const heard = reply.text.slice(0, heardChars).trimEnd();
    this.#history.addAgent(reply.speech, heard, true);
    if (reply.isAnnounced && heard !== reply.text.trimEnd() && reply.text !== '') {
      this.#send({ type: 'agent_response_correction', original: reply.text, corrected: heard, eventId: reply.eventId });
    }
    if (this.#state.undo?.speech !== reply.speech) this.#dropReply(reply.speech);
  }

  /** The cut speech goes on under a new number, event id and epoch. */
  #undo(action: Extract<Action, { type: 'undo' }>): void {
    this.#recorder.count('parley_undone_cuts_total', `reason="${action.reason}"`);
    this.#history.removeInterrupted(action.speech);
    const reply = this.#replies.get(action.speech);
    if (reply === undefined) return;
    this.#replies.delete(action.speech);
    reply.continueAs(action.newSpeech, this.#nextEventId());
    this.#replies.set(action.newSpeech, reply);
    this.#links.toTts({
      type: 'undo',
      speech: action.speech,
      newSpeech: action.newSpeech,
      epoch: this.#state.epoch,
      eventId: reply.eventId,
      afterControl: this.#controlCount,
    });
    if (reply.isDone) this.#finish(reply);
  }

  #releaseHolds(upTo: number): void {
    if (upTo > this.#slot.load(Cell.holdsReleased)) this.#slot.store(Cell.holdsReleased, upTo);
  }

  // The end ---------------------------------------------------------------------------------------------------------------------------

  #endCall(reason: Extract<Action, { type: 'end_call' }>['reason']): void {
    switch (reason) {
      case 'agent':
        // The playhead is an estimate, and clients stop their sound when they learn of the end: the last word gets some room.
        this.#hangUpAtMs = this.#now() + farewellRoomMs;
        return;
      case 'silence':
        this.#end(1000, 'The call ended after a long silence.');
        return;
      case 'llm_failed':
        this.#fail('llm_error', 'The language model is not available. Please call again later.');
        return;
      case 'tts_failed':
        this.#fail('tts_cascade_error', 'Speech synthesis is not available. Please call again later.');
        return;
      case 'stt_failed':
        this.#fail('asr_transcription_error', 'Speech recognition is not available. Please call again later.');
        return;
    }
  }

  #hangUp(): void {
    this.#hangUpAtMs = 0;
    const toolCallId = `call_${randomUUID()}`;
    const eventId = this.#eventId;
    this.#send({ type: 'agent_tool_response', toolName: 'end_call', toolCallId, toolType: 'system', isError: false, eventId });
    this.#end(1000, 'The agent ended the call.');
  }

  #fail(errorType: 'llm_error' | 'tts_cascade_error' | 'asr_transcription_error', message: string): void {
    this.#send({ type: 'error', code: 1002, errorType, message });
    this.#end(1002, message);
  }

  #end(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#links.toMain({ type: 'end', code, reason });
    this.#links.log('session.ended', { code, reason });
    this.close();
  }

  // Small things ----------------------------------------------------------------------------------------------------------------------

  /** Sent if the client asked for events of its kind. */
  #send(event: ServerEvent): void {
    const isSwitchable =
      event.type !== 'ping' && event.type !== 'error' && event.type !== 'metadata' && event.type !== 'flush_audio';
    if (isSwitchable && this.#profile?.events.has(event.type) !== true) return;
    this.#control(event);
  }

  #control(event: ServerEvent): void {
    this.#controlCount += 1;
    this.#links.toMain({ type: 'control', event });
  }

  #warn(errorType: 'invalid_message', message: string): void {
    this.#recorder.count('parley_errors_total', `stage="client",error_type="${errorType}"`);
    this.#send({ type: 'error', code: 1008, errorType, message });
  }

  #ping(now: number): void {
    this.#pingedAtMs = now;
    this.#pingId += 1;
    this.#send({ type: 'ping', eventId: this.#pingId, pingMs: this.#lastPingMs });
  }

  #pong(eventId: number): void {
    if (eventId !== this.#pingId) return;
    const roundTripMs = this.#now() - this.#pingedAtMs;
    this.#roundTrips.add(roundTripMs);
    const sorted = this.#roundTrips.toArray().sort((a, b) => a - b);
    const median = sorted[sorted.length >> 1]!;
    this.#lastPingMs = Math.round(median);
    this.#recorder.record('client_round_trip', roundTripMs);
    this.#slot.store(Cell.oneWayMs, Math.min(oneWayMaxMs, Math.round(median / 2)));
    const spreadMs = sorted.at(-1)! - sorted[0]!;
    this.#slot.store(Cell.linkJitterMs, Math.min(oneWayMaxMs, Math.round(spreadMs / 2)));
  }

  get #isText(): boolean {
    return this.#profile?.isTextOnly === true;
  }

  #nextEventId(): number {
    this.#eventId += 1;
    return this.#eventId;
  }

  #turnEvent(): number {
    if (this.#turnEventId === 0) this.#turnEventId = this.#nextEventId();
    return this.#turnEventId;
  }

  /** The input clock: samples judged by the detector; wall time for a session without audio. */
  #inputMs(): number {
    return this.#isText ? this.#now() - this.#startedAtMs : toMs(this.#judgedSample);
  }

  /** Monotonic instant at which input sample `sample` arrived, if the client streams in real time. */
  #instantOf(sample: number): number {
    return this.#now() - toMs(this.#slot.load(Cell.inputWritten) - sample);
  }
}

const firstPingMs = 200;
const farewellRoomMs = 300;
/** A client that delays its pongs must not make us believe in a link of seconds. */
const oneWayMaxMs = 400;

const toMs = (samples: number): number => (samples * 1000) / inputRateHz;
const toSamples = (milliseconds: number): number => (milliseconds * inputRateHz) / 1000;
