/**
 * One conversation: feeds the pure turn machine with what the other threads report and carries out what it decides. Conversation thread.
 * Everything that decides is in `src/turn/`; here is only the doing, in the order in which it was decided.
 */
import { randomUUID } from 'node:crypto';
import type { FromApi } from '../api/links.js';
import type { ChatFile, LlmProvider } from '../llm/port.js';
import type { Address, FromStt, FromTts, FromVad } from '../shared/links.js';
import { Cell, type Slot } from '../shared/slots.js';
import type { AgentConfig } from '../store/agents.js';
import type { Recorder } from '../telemetry/recorder.js';
import { step } from '../turn/machine.js';
import { type Action, initialState, type TurnEvent, type TurnState } from '../turn/state.js';
import { keyOf } from '../turn/words.js';
import type { ClientEvent, Initiation, ServerEvent } from '../wire/events.js';
import { describeFormat } from '../wire/formats.js';
import { admit, unknownAgent } from './admission.js';
import type { ProviderNames, SessionContext, SessionLimits } from './context.js';
import { History } from './history.js';
import { Interruptions } from './interruptions.js';
import type { HandshakeFacts, ToConversation } from './links.js';
import { Outlet } from './outlet.js';
import { noInitiation, type Profile, resolveProfile } from './profile.js';
import { Records } from './records.js';
import { Replies } from './replies.js';
import type { After } from './reply.js';
import type { SessionLinks } from './session-links.js';
import { SystemTools } from './system-tools.js';
import { ToolDesk } from './tool-desk.js';
import { TurnClock, toMs } from './turn-clock.js';
import { type ReadTurn, TurnReader } from './turn-reader.js';
import { TurnTimer } from './turn-timer.js';

const farewellRoomMs = 300;
/** An agent is waited for this long when the store says that it is slow. */
const slowLookupMs = 5000;
/** After our close frame the socket takes at most this long to be gone, as far as the record waits for it. */
const closeWaitMs = 1000;
/** After its time is over a call may still say so. */
const lastWordsMaxMs = 15_000;
/** Messages that are kept while the agent is looked for. */
const earlyMax = 64;
/** Files of a typed turn are waited for this long. */
const filesWaitMs = 5000;

/** Typed turns that wait while the agent cannot be interrupted. */
const waitingTypedMax = 16;

type TypedFiles = { readonly files: readonly ChatFile[]; readonly fileIds: readonly string[] };
const noFiles: TypedFiles = { files: [], fileIds: [] };

/** What the session needs of its thread. */
export type SessionHost = {
  /** Agents known here; calls to come see a changed one. */
  readonly agents: ReadonlyMap<string, AgentConfig>;
  readonly llmFor: (agent: AgentConfig) => LlmProvider;
  /** Of an agent's configuration; 0: it is not from the store. */
  readonly versionOf: (agentId: string) => number;
  readonly providers: ProviderNames;
  readonly limits: SessionLimits;
  /** A learned model of turn-taking that reads. */
  readonly readTurn?: ReadTurn | undefined;
  readonly recorder: Recorder;
  readonly now: () => number;
  /** Unix milliseconds. */
  readonly wallNow: () => number;
};

export class Session {
  readonly #address: Address;
  readonly #slot: Slot;
  readonly #facts: HandshakeFacts;
  readonly #host: SessionHost;
  readonly #links: SessionLinks;
  readonly #now: () => number;
  readonly #openedAtMs: number;
  readonly #outlet: Outlet;
  readonly #clock: TurnClock;
  readonly #records: Records;
  readonly #history = new History();
  readonly #tools: ToolDesk;
  readonly #system: SystemTools;
  readonly #replies: Replies;
  readonly #interruptions: Interruptions;
  readonly #reader: TurnReader | undefined;

  #agent: AgentConfig | undefined;
  /** The store is opening, or away. */
  #isLookupSlow = false;
  /** An initiation that came while the agent was still being looked for. */
  #initiation: Initiation | undefined;
  readonly #early: ClientEvent[] = [];
  #profile: Profile | undefined;
  #startedAtMs = 0;
  #state: TurnState = initialState;
  readonly #events: TurnEvent[] = [];
  readonly #actions: Action[] = [];
  #isWorking = false;
  #hangUpAtMs = 0;
  #isOverTime = false;
  /** Typed turns whose files are not here yet; only the first is asked for. */
  readonly #awaited: { readonly text: string; readonly fileIds: readonly string[]; dueAtMs: number }[] = [];
  /** Files of the typed turns that are not committed yet, in their order; then those of the turn that was. */
  readonly #typedFiles: TypedFiles[] = [];
  #committedFiles: TypedFiles & { readonly speech: number } = { ...noFiles, speech: 0 };
  readonly #timer = new TurnTimer();
  /** Detector's cursor, read before its events were drained. */
  #judgedSample = 0;
  #isClosed = false;
  /** The conversation is over; only the word of what was heard, and of what the model took, may still come, until `dueAtMs`. */
  #leaving:
    | {
        readonly status: 'done' | 'failed';
        readonly document: Readonly<Record<string, unknown>>;
        dueAtMs: number;
        isHeardDue: boolean;
      }
    | undefined;
  #isSocketClosed = false;

  constructor(address: Address, slot: Slot, facts: HandshakeFacts, links: SessionLinks, host: SessionHost) {
    this.#address = address;
    this.#slot = slot;
    this.#facts = facts;
    this.#host = host;
    this.#links = links;
    const { recorder, limits, now } = host;
    this.#now = now;
    this.#openedAtMs = now();
    this.#outlet = new Outlet(links, slot, recorder, now, limits.pingIntervalMs);
    this.#clock = new TurnClock(slot, recorder, links, now);
    this.#records = new Records(links, host.wallNow);
    const context: SessionContext = {
      conversationId: facts.conversationId,
      slot,
      links,
      limits,
      recorder,
      now,
      outlet: this.#outlet,
      history: this.#history,
      records: this.#records,
      clock: this.#clock,
      profile: () => this.#started(),
      setVariables: (values) => {
        const profile = this.#started();
        this.#profile = { ...profile, variables: { ...profile.variables, ...values } };
      },
      llm: () => host.llmFor(this.#started().agent),
      fail: (error) =>
        links.toMain({
          type: 'session_failed',
          message: error instanceof Error ? (error.stack ?? error.message) : String(error),
        }),
      feed: (event) => this.#feed(event),
      turn: () => this.#state.turn,
      epoch: () => this.#state.epoch,
      isHeldBack: (speech) => {
        const { agent } = this.#state;
        return agent.phase === 'thinking' && agent.speech === speech && agent.isHeldBack;
      },
      isUndoable: (speech) => this.#state.undo?.speech === speech,
      onCounted: () => this.#leaveWhenKnown(),
      onHeard: (after) => this.#after(after),
    };
    this.#system = new SystemTools(context, (profile) => this.#changeProfile(profile));
    this.#tools = new ToolDesk(context, this.#system.run);
    this.#replies = new Replies(context, this.#tools);
    this.#interruptions = new Interruptions(context, this.#replies, this.#tools);
    if (host.readTurn !== undefined) this.#reader = new TurnReader(host.readTurn, this.#history, (event) => this.#feed(event));
    this.#seekAgent();
  }

  get address(): Address {
    return this.#address;
  }

  get generation(): number {
    return this.#address.generation;
  }

  get conversationId(): string {
    return this.#facts.conversationId;
  }

  /** The socket is closed, and nothing more is waited for. */
  get isGone(): boolean {
    return this.#isSocketClosed && this.#isClosed;
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
        if (this.#leaving === undefined) this.#clientEvent(message.event);
        return;
      case 'first_frame':
        this.#replies.firstFrame(message.speech, message.atMs);
        return;
      case 'close':
        this.#leave(message.code);
        return;
    }
  }

  fromVad(message: FromVad): void {
    if (this.#profile === undefined || this.#leaving !== undefined) return;
    if (message.type !== 'score') this.#judgedSample = Math.max(this.#judgedSample, message.atSample);
    switch (message.type) {
      case 'score':
        this.#outlet.send({ type: 'vad_score', score: message.score });
        return;
      case 'speech_dip':
        if (message.isSure) this.#feed({ type: 'speech_dip', t0Ms: toMs(message.lastSpeechSample), speechMs: message.speechMs });
        return;
      case 'speech_start':
        if (message.hold > 0) this.#interruptions.noteHold(message.hold, message.decidedAtMs);
        this.#outlet.happened(this.#state.turn, { kind: 'speech_start' }, this.#clock.instantOf(message.startSample));
        this.#feed({ type: 'speech_start', startMs: toMs(message.startSample), hold: message.hold });
        return;
      case 'speech_hop':
        if (message.hold > 0) this.#interruptions.noteHold(message.hold, this.#now());
        this.#feed({
          type: 'speech_hop',
          speechMs: message.speechMs,
          continuousMs: message.continuousMs,
          meanProbability: message.meanProbability,
          levelOverCallerDb: message.levelOverCallerDb,
          hold: message.hold,
        });
        return;
      case 'speech_end':
        this.#records.cost.sttSeconds += message.speechMs / 1000;
        this.#clock.open.mark('speechEnd', this.#clock.instantOf(message.lastSpeechSample));
        this.#clock.open.pauseAtMs = this.#now();
        this.#clock.open.pauseThroughMs = toMs(message.atSample);
        this.#outlet.happened(this.#state.turn, { kind: 'speech_end' }, this.#clock.instantOf(message.lastSpeechSample));
        this.#feed({
          type: 'speech_end',
          t0Ms: toMs(message.lastSpeechSample),
          speechMs: message.speechMs,
          levelOverCallerDb: message.levelOverCallerDb,
          ...(message.isEcho === true ? { isEcho: true } : {}),
        });
        return;
    }
  }

  fromStt(message: FromStt): void {
    if (this.#leaving !== undefined) return;
    const { recorder } = this.#host;
    if (message.type === 'turn_asked' || message.type === 'turn_score') {
      const { lastSpeechSample, ...event } = message;
      this.#feed({ ...event, throughMs: toMs(lastSpeechSample) });
      return;
    }
    if (message.type === 'stt_problem') {
      recorder.count('parley_errors_total', `stage="stt",error_type="${message.problem.kind}"`);
      this.#links.log('stt.problem', { kind: message.problem.kind, message: message.problem.message });
      this.#feed({ type: 'stt_problem', turn: message.turn });
      return;
    }
    const throughMs = toMs(message.lastSample);
    // The final that the reply is made from counts; a later one that says the same does not.
    const draftKey = this.#state.open?.draft?.key;
    if (message.turn === this.#state.turn && message.isFinal && draftKey !== keyOf(message.text)) {
      this.#clock.open.mark('finalAsked', message.askedAtMs);
      this.#clock.open.mark('finalAnswered', message.answeredAtMs);
      this.#clock.open.finalThroughMs = throughMs;
    }
    this.#feed({ type: 'transcript', turn: message.turn, text: message.text, isFinal: message.isFinal, throughMs });
  }

  fromTts(message: FromTts): void {
    if (this.#leaving !== undefined) {
      if (message.type === 'heard') this.#interruptions.heard(message);
      if (message.type === 'heard' || message.type === 'drained') {
        this.#leaving.isHeardDue = false;
        this.#leaveWhenKnown();
      }
      return;
    }
    switch (message.type) {
      case 'resume_ready':
        this.#interruptions.releaseHolds(message.hold);
        this.#links.toMain({ type: 'ring' });
        return;
      case 'heard':
        this.#interruptions.heard(message);
        this.#work();
        return;
      case 'caught_up':
        this.#replies.caughtUp(message.speech);
        return;
      case 'drained':
        this.#replies.drained(message.speech, message.heardChars);
        return;
      case 'speech_timing': {
        const times = this.#clock.of(message.speech);
        times?.mark('firstSegment', message.firstSegmentAtMs);
        times?.mark('firstChunk', message.firstChunkAtMs);
        this.#replies.completeTimes(message.speech);
        return;
      }
      case 'tts_problem':
        this.#host.recorder.count('parley_errors_total', `stage="tts",error_type="${message.problem.kind}"`);
        this.#links.log('tts.problem', { kind: message.problem.kind, message: message.problem.message });
        if (!message.isHeard) this.#replies.unheard(message.speech);
        this.#feed({ type: 'tts_failed', speech: message.speech, isHeard: message.isHeard });
        return;
    }
  }

  fromApi(message: FromApi): void {
    if (this.#isClosed || this.#leaving !== undefined) return;
    switch (message.type) {
      case 'agent':
        if (this.#agent === undefined) this.#agentFound(message.agent);
        else this.#system.agentFound(message.agentId, message.agent);
        return;
      case 'agent_unavailable':
        this.#isLookupSlow = true;
        return;
      case 'begin_refused':
        this.#end(3000, 'The signed URL was used before. Ask your server for a new one.', 'failed');
        return;
      case 'mcp_tools':
        this.#tools.mcpTools(message.tools, message.servers);
        return;
      case 'tool_outcome':
        this.#tools.outcome(message.toolCallId, message.outcome);
        return;
      case 'files':
        this.#filesCame(message.files);
        return;
    }
  }

  /** To be called before the detector's events are drained: a timer then never overtakes an event of its own past. */
  readClock(): void {
    this.#judgedSample = this.#slot.load(Cell.vadRead);
  }

  /** Called about a hundred times a second, after `readClock` and the draining: the timers of the session. */
  tick(): void {
    const now = this.#now();
    if (this.#leaving !== undefined && now >= this.#leaving.dueAtMs) this.#left();
    if (this.#isClosed || this.#leaving !== undefined) return;
    if (this.#profile === undefined) {
      this.#tickBefore(now);
      return;
    }
    if (this.#interruptions.isOverdue(now)) this.#work();
    this.#outlet.tick(now);
    this.#tools.tick(now);
    this.#replies.tick(now, this.#state.agent);
    if (now >= (this.#awaited[0]?.dueAtMs ?? Number.POSITIVE_INFINITY)) this.#filesCame([]);
    const overMs = now - this.#startedAtMs - this.#profile.maxDurationMs;
    if (overMs >= 0) this.#overTime(overMs);
    if (this.#hangUpAtMs > 0 && now >= this.#hangUpAtMs) this.#hangUp();
    if (this.#isClosed) return;
    const dueMs = this.#timer.nextMs(this.#state, this.#profile.turn);
    if (dueMs === undefined || dueMs > this.#inputMs()) return;
    this.#feed({ type: 'time' });
    this.#timer.served(dueMs, this.#state, this.#profile.turn);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#replies.close();
    this.#tools.close();
    this.#events.length = 0;
    this.#actions.length = 0;
  }

  // The start -------------------------------------------------------------------------------------------------------------------------

  #seekAgent(): void {
    const agentId = this.#facts.agentId === '' ? 'default' : this.#facts.agentId;
    const agent = this.#host.agents.get(agentId);
    if (agent !== undefined || this.#facts.access.kind === 'refused') this.#agentFound(agent);
    else this.#links.toApi({ type: 'find_agent', agentId });
  }

  #agentFound(agent: AgentConfig | undefined): void {
    const refused = admit(agent, this.#facts);
    if (refused !== undefined || agent === undefined) {
      const { code, reason } = refused ?? unknownAgent;
      this.#end(code, reason, 'failed');
      return;
    }
    this.#agent = agent;
    if (this.#initiation !== undefined) this.#start(this.#initiation);
    for (const event of this.#early.splice(0)) this.#clientEvent(event);
  }

  #tickBefore(now: number): void {
    const waitedMs = now - this.#openedAtMs;
    if (this.#agent === undefined) {
      if (this.#isLookupSlow) {
        if (waitedMs >= slowLookupMs) this.#end(1013, 'The agent cannot be looked up now. Please call again.', 'failed');
      } else if (waitedMs >= this.#host.limits.agentWaitMs) {
        this.#agentFound(undefined);
      }
    } else if (waitedMs >= this.#host.limits.initiationGraceMs) {
      this.#start(noInitiation);
    }
  }

  #start(initiation: Initiation): void {
    if (this.#profile !== undefined || this.#isClosed) return;
    if (this.#agent === undefined) {
      if (initiation !== noInitiation || this.#initiation === undefined) this.#initiation = initiation;
      return;
    }
    const resolved = resolveProfile(this.#agent, initiation, this.#systemVariables(this.#agent));
    const { asr, tts, conversation } = this.#agent.conversation_config;
    const { user_input_audio_format: inputFormat } = asr;
    const { agent_output_audio_format: outputFormat } = tts;
    const isTextOnly = resolved.ok ? resolved.profile.isTextOnly : conversation.text_only;
    // First of all: audio that waited flows from `begin` on, and recognition must be ready when the first speech in it is found.
    if (resolved.ok) this.#configure(resolved.profile);
    this.#links.toMain({
      type: 'begin',
      inputFormat,
      outputFormat,
      isTextOnly,
      sendsAudio: resolved.ok && resolved.profile.events.has('audio'),
      sendsScores: resolved.ok && resolved.profile.events.has('vad_score'),
    });
    const metadata: ServerEvent = {
      type: 'metadata',
      conversationId: this.#facts.conversationId,
      inputFormat,
      outputFormat,
    };
    if (!resolved.ok) {
      this.#outlet.control(metadata);
      const { errorType, code, reason } = resolved.refusal;
      this.#links.log('session.refused', { error_type: errorType });
      const { agent_id: agentId } = this.#agent;
      const agentVersion = this.#host.versionOf(agentId);
      const { conversationId } = this.#facts;
      this.#records.begin(
        { conversationId, agentId, agentVersion, userId: initiation.userId, document: { text_only: isTextOnly } },
        undefined,
      );
      // A forbidden override is told by the close alone, as clients know it.
      if (errorType !== 'override_error') this.#outlet.control({ type: 'error', code, errorType, message: reason });
      this.#end(code, reason, 'failed');
      return;
    }
    const { profile } = resolved;
    this.#profile = profile;
    this.#startedAtMs = this.#now();
    this.#slot.store(Cell.wantsScores, profile.events.has('vad_score') ? 1 : 0);
    this.#outlet.open(profile.events);
    this.#outlet.control(metadata);
    if (!isTextOnly) this.#outlet.send({ type: 'asr_initiation_metadata' });
    const { agents } = this.#host;
    this.#system.begin({ agents, initiation, variablesOf: (agent) => this.#systemVariables(agent) });
    this.#record(profile, initiation);
    if (profile.mcpServerIds.length > 0)
      this.#links.toApi({ type: 'open_mcp', agent: profile.agent, variables: profile.variables });
    this.#feed({ type: 'started', firstMessage: profile.firstMessage });
  }

  #configure(profile: Profile): void {
    if (profile.isTextOnly) return;
    const { rateHz, encoding } = describeFormat(profile.outputFormat);
    const { language, keywords, grammar, voice, leadMs, isRecorded } = profile;
    const { stt, tts } = this.#host.providers;
    this.#links.toStt({ type: 'configure', provider: stt, language, keywords, grammar });
    this.#links.toTts({ type: 'configure', provider: tts, ...voice, rateHz, encoding, leadMs, isRecorded });
  }

  #record(profile: Profile, initiation: Initiation): void {
    const facts = this.#facts;
    this.#records.llmModel = profile.model === '' ? this.#host.providers.llm : profile.model;
    this.#records.ttsModel = profile.voice.modelId === '' ? this.#host.providers.tts : profile.voice.modelId;
    this.#records.begin(
      {
        conversationId: facts.conversationId,
        agentId: profile.agentId,
        agentVersion: this.#host.versionOf(profile.agentId),
        userId: profile.userId,
        document: {
          privacy: profile.agent.platform_settings.privacy,
          text_only: profile.isTextOnly,
          main_language: profile.language,
          environment: initiation.environment ?? (facts.environment === '' ? 'production' : facts.environment),
          conversation_initiation_source: initiation.sourceInfo?.source ?? facts.source,
          conversation_initiation_source_version: initiation.sourceInfo?.version ?? facts.version,
          conversation_initiation_client_data: initiation.document ?? {},
          user_input_audio_format: profile.inputFormat,
          agent_output_audio_format: profile.outputFormat,
          providers: this.#host.providers,
        },
      },
      profile.isRecorded && !profile.isTextOnly ? this.#address : undefined,
    );
  }

  #systemVariables(agent: AgentConfig): Record<string, string | number> {
    return {
      system__agent_id: this.#agent?.agent_id ?? agent.agent_id,
      system__current_agent_id: agent.agent_id,
      system__conversation_id: this.#facts.conversationId,
      system__time_utc: new Date(this.#host.wallNow()).toISOString(),
      system__call_duration_secs: this.#startedAtMs === 0 ? 0 : Math.floor((this.#now() - this.#startedAtMs) / 1000),
    };
  }

  /** Another agent, or another language, from now on. */
  #changeProfile(profile: Profile): void {
    const before = this.#profile;
    this.#profile = profile;
    this.#configure(profile);
    // What was made for the agent before, or in another language, is not said.
    this.#feed({ type: 'context_changed' });
    if (before?.agent === profile.agent) return;
    this.#tools.forgetMcp();
    if (profile.mcpServerIds.length > 0 || (before?.mcpServerIds.length ?? 0) > 0)
      this.#links.toApi({ type: 'open_mcp', agent: profile.agent, variables: profile.variables });
  }

  #started(): Profile {
    if (this.#profile === undefined) throw new Error('the conversation has begun');
    return this.#profile;
  }

  // The client ------------------------------------------------------------------------------------------------------------------------

  #clientEvent(event: ClientEvent): void {
    if (event.type === 'enclave_setup_config') return;
    if (this.#agent === undefined && event.type !== 'initiation') {
      if (this.#early.length < earlyMax) this.#early.push(event);
      return;
    }
    if (event.type === 'initiation') {
      if (this.#profile === undefined) this.#start(event.initiation);
      else this.#outlet.warn('invalid_message', 'The conversation has already begun; this initiation is ignored.');
      return;
    }
    if (this.#profile === undefined) this.#start(noInitiation);
    if (this.#profile === undefined || this.#isClosed) return;
    switch (event.type) {
      case 'pong':
        this.#outlet.pong(event.eventId);
        return;
      case 'user_message':
        if (event.text !== undefined && event.text.trim() !== '') this.#type(event.text, noFiles);
        return;
      case 'multimodal_message':
        this.#multimodal(event.text?.trim() ?? '', event.fileIds);
        return;
      case 'user_activity':
        this.#feed({ type: 'activity' });
        return;
      case 'contextual_update':
        this.#history.setContext(event.contextId, event.text);
        this.#records.context(event.text, event.contextId);
        this.#feed({ type: 'context_changed' });
        return;
      case 'client_tool_result':
        this.#tools.clientResult(event.toolCallId, event.result, event.isError);
        return;
      case 'mcp_tool_approval_result':
        this.#tools.approval(event.toolCallId, event.isApproved);
        return;
      case 'feedback':
        if (!this.#records.feedback(event.eventId, event.score))
          this.#outlet.warn('value_error', 'feedback: no reply has this event_id.');
        return;
      default:
        this.#host.recorder.count('parley_ignored_messages_total', `type="${event.type}"`);
        return;
    }
  }

  #type(text: string, files: TypedFiles): void {
    if ((this.#state.waitingTyped?.texts.length ?? 0) >= waitingTypedMax) {
      this.#outlet.warn('value_error', 'Too many messages wait for the end of a reply that cannot be interrupted.');
      return;
    }
    this.#typedFiles.push(files);
    this.#feed({ type: 'typed', text });
  }

  #multimodal(text: string, fileIds: readonly string[]): void {
    if (fileIds.length === 0) {
      if (text !== '') this.#type(text, noFiles);
      return;
    }
    this.#awaited.push({ text, fileIds, dueAtMs: Number.POSITIVE_INFINITY });
    if (this.#awaited.length === 1) this.#askForFiles();
  }

  #askForFiles(): void {
    const first = this.#awaited[0];
    if (first === undefined) return;
    first.dueAtMs = this.#now() + filesWaitMs;
    this.#links.toApi({ type: 'get_files', fileIds: first.fileIds });
  }

  #filesCame(files: readonly (ChatFile & { readonly fileId: string })[]): void {
    const awaited = this.#awaited.shift();
    if (awaited === undefined) return;
    const found = awaited.fileIds.flatMap((fileId) => files.find((file) => file.fileId === fileId) ?? []);
    if (found.length < awaited.fileIds.length)
      this.#outlet.warn('value_error', 'A file of the message is not there; it is answered without it.');
    const kept = found.map(({ name, mimeType, base64 }) => ({ name, mimeType, base64 }));
    this.#type(awaited.text === '' ? '(sent a file)' : awaited.text, { files: kept, fileIds: awaited.fileIds });
    this.#askForFiles();
  }

  // The machine -----------------------------------------------------------------------------------------------------------------------

  #feed(event: TurnEvent): void {
    if (this.#isClosed || this.#leaving !== undefined || this.#profile === undefined) return;
    this.#events.push(event);
    this.#work();
  }

  /** Events and actions one after another; an action that causes an event does not overtake the actions decided before. */
  #work(): void {
    if (this.#isWorking || this.#profile === undefined) return;
    this.#settle();
    this.#reader?.look(this.#state);
  }

  #settle(): void {
    this.#isWorking = true;
    try {
      for (;;) {
        const action = this.#actions[0];
        if (action !== undefined) {
          if (this.#interruptions.mustWait(action)) return;
          this.#actions.shift();
          this.#do(action);
          continue;
        }
        const event = this.#events.shift();
        if (event === undefined || this.#isClosed || this.#leaving !== undefined) return;
        const { turn, idlePhrases, apology } = this.#started();
        const result = step(this.#state, event, this.#inputMs(), turn, { idle: idlePhrases, apology });
        this.#state = result.state;
        if (event.type !== 'time') this.#timer.forget();
        this.#actions.push(...result.actions);
      }
    } finally {
      this.#isWorking = false;
    }
  }

  #do(action: Action): void {
    switch (action.type) {
      case 'generate':
        this.#replies.generate(action, this.#committedFiles.speech === action.speech ? this.#committedFiles.files : []);
        return;
      case 'discard':
        this.#replies.discard(action.speech);
        this.#links.toTts({ type: 'discard', speech: action.speech });
        return;
      case 'commit':
        this.#commit(action);
        return;
      case 'drop_turn':
        this.#drop(action);
        return;
      case 'tentative':
        this.#outlet.send({ type: 'tentative_user_transcript', text: action.text, eventId: this.#outlet.turnEventId() });
        return;
      case 'say':
        this.#replies.say(action.speech, action.kind, action.text);
        return;
      case 'hold_back':
        this.#links.toTts({ type: 'hold_back', speech: action.speech });
        return;
      case 'release':
        this.#replies.release(action.speech);
        return;
      case 'release_hold':
        this.#interruptions.releaseHolds(action.hold);
        this.#outlet.happened(this.#state.turn, { kind: 'release' });
        this.#links.toMain({ type: 'ring' });
        return;
      case 'resume':
        this.#outlet.happened(this.#state.turn, { kind: 'resume', reason: action.reason });
        this.#interruptions.verdict('false', action.reason);
        this.#links.toTts({ type: 'resume', hold: action.hold });
        return;
      case 'cut':
        this.#interruptions.cut(action);
        return;
      case 'undo':
        this.#interruptions.undo(action);
        return;
      case 'start_hops':
        this.#slot.store(Cell.startHops, action.hops);
        return;
      case 'end_call':
        this.#endCall(action.reason);
        return;
    }
  }

  #commit(action: Extract<Action, { type: 'commit' }>): void {
    this.#clock.committed(action.t0Ms, action.delayMs);
    const { files, fileIds } = action.isTyped ? (this.#typedFiles.shift() ?? noFiles) : noFiles;
    this.#committedFiles = { files, fileIds, speech: action.speech };
    const eventId = this.#outlet.turnEventId();
    if (!action.isTyped && action.text !== '') this.#outlet.send({ type: 'user_transcript', text: action.text, eventId });
    if (!action.isAdopted && action.speech > 0) this.#clock.bind(action.speech);
    const sttMs = this.#clock.open.spoken().finalMs;
    this.#closeTurn(action.turn);
    if (action.isMerged) this.#history.replaceUser(action.mergedText);
    else this.#history.addUser(action.mergedText, files);
    if (action.text !== '') {
      const medium = action.isTyped ? 'text' : 'audio';
      this.#records.user({
        text: action.text,
        atSeconds: action.startMs / 1000,
        medium,
        eventId,
        isBackchannel: false,
        sttMs,
        files: fileIds,
      });
    }
    this.#outlet.happened(action.turn, { kind: 'commit', isTyped: action.isTyped, isAdopted: action.isAdopted });
    this.#host.recorder.count('parley_turns_total', `kind="${action.isTyped ? 'typed' : 'spoken'}"`);
    this.#links.log('turn.committed', {
      turn: action.turn,
      at_ms: this.#now(),
      last_speech_ms: action.t0Ms,
      delay_ms: Math.round(action.delayMs),
      merged: action.isMerged ? 1 : 0,
      adopted: action.isAdopted ? 1 : 0,
    });
    const reply = action.isAdopted ? this.#replies.get(action.speech) : undefined;
    if (reply !== undefined) this.#replies.goLive(reply);
  }

  #drop(action: Extract<Action, { type: 'drop_turn' }>): void {
    const { text } = action;
    const eventId = text === '' ? 0 : this.#outlet.turnEventId();
    this.#closeTurn(action.turn);
    if (action.reason === 'backchannel' && text !== '')
      this.#records.user({
        text,
        atSeconds: this.#inputMs() / 1000,
        medium: 'audio',
        eventId,
        isBackchannel: true,
        sttMs: undefined,
        files: [],
      });
    this.#outlet.happened(action.turn, { kind: 'drop', reason: action.reason });
    this.#host.recorder.count('parley_turns_dropped_total', `reason="${action.reason}"`);
    this.#links.log('turn.dropped', { turn: action.turn, reason: action.reason });
  }

  #closeTurn(turn: number): void {
    if (!this.#isText) this.#links.toStt({ type: 'close_turn', turn, throughSample: this.#judgedSample });
    this.#outlet.closeTurn();
    this.#clock.closeTurn(turn);
  }

  // The end ---------------------------------------------------------------------------------------------------------------------------

  #after(after: After): string | undefined {
    return after.type === 'transfer' ? this.#system.transfer(after) : undefined;
  }

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

  #overTime(overMs: number): void {
    const message = this.#profile?.maxDurationMessage ?? '';
    if (message !== '' && !this.#isOverTime) {
      this.#isOverTime = true;
      this.#feed({ type: 'last_words', text: message });
      return;
    }
    if (message === '' || overMs >= lastWordsMaxMs) this.#endOverTime();
  }

  #endOverTime(): void {
    const message = 'The maximum call duration is reached.';
    this.#outlet.send({ type: 'error', code: 1000, errorType: 'max_duration_exceeded', message });
    this.#end(1000, 'Maximum call duration reached.');
  }

  #hangUp(): void {
    this.#hangUpAtMs = 0;
    if (this.#isOverTime) {
      this.#endOverTime();
      return;
    }
    const event = { toolName: 'end_call', toolType: 'system', isError: false, isCalled: true } as const;
    const toolCallId = this.#system.endCallId ?? `call_${randomUUID()}`;
    this.#outlet.send({
      type: 'agent_tool_response',
      ...event,
      toolCallId,
      eventId: this.#system.endEventId ?? this.#outlet.lastEventId,
    });
    this.#end(1000, 'The agent ended the call.', 'done', 'end_call tool was called.');
  }

  #fail(errorType: 'llm_error' | 'tts_cascade_error' | 'asr_transcription_error', message: string): void {
    this.#outlet.send({ type: 'error', code: 1002, errorType, message });
    this.#end(1002, message, 'failed');
  }

  #end(code: number, reason: string, status: 'done' | 'failed' = 'done', recorded: string = reason): void {
    if (this.#isClosed || this.#leaving !== undefined) return;
    this.#links.toMain({ type: 'end', code, reason });
    this.#links.log('session.ended', { code, reason });
    const document = { termination_reason: recorded, ...(status === 'failed' ? { error: { code, reason } } : {}) };
    this.#finish(status, document);
  }

  /** The socket is closed, by whichever side. */
  #leave(code: number): void {
    this.#isSocketClosed = true;
    if (this.#leaving === undefined) this.#finish('done', { termination_reason: `Client disconnected: ${code}` });
    else this.#leaving.dueAtMs = Math.min(this.#leaving.dueAtMs, this.#now() + this.#host.limits.heardAtEndWaitMs);
  }

  /**
   * Nothing more happens, but what was heard of the reply on the floor is known to the pacer, and what the last one took to its model: both are
   * waited for.
   */
  #finish(status: 'done' | 'failed', document: Readonly<Record<string, unknown>>): void {
    if (this.#isClosed) return;
    const { phase } = this.#state.agent;
    const isHeard = phase === 'speaking' || phase === 'held';
    const waitMs = this.#isSocketClosed ? this.#host.limits.heardAtEndWaitMs : closeWaitMs;
    const isHeardDue = this.#profile !== undefined && !this.#isText && (isHeard || this.#interruptions.isHeardPending);
    this.#leaving = { status, document, dueAtMs: this.#now() + waitMs, isHeardDue };
    this.#replies.stop();
    this.#leaveWhenKnown();
  }

  #leaveWhenKnown(): void {
    if (this.#leaving === undefined || this.#leaving.isHeardDue || this.#replies.isCountDue(this.#now())) return;
    this.#left();
  }

  #left(): void {
    if (this.#isClosed || this.#leaving === undefined) return;
    const { status, document } = this.#leaving;
    this.#replies.leave();
    this.#records.end(status, document);
    this.close();
  }

  get #isText(): boolean {
    return this.#profile?.isTextOnly === true;
  }

  /** The input clock: samples judged by the detector; wall time for a session without audio. */
  #inputMs(): number {
    return this.#isText ? this.#now() - this.#startedAtMs : toMs(this.#judgedSample);
  }
}
