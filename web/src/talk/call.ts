/** One call through the official client, and everything that the views show of it. */
import {
  Conversation,
  type InputController,
  type OutputController,
  type PartialOptions,
  postOverallFeedback,
  type VoiceConversation,
} from '@elevenlabs/client';
import concatWorklet from '@elevenlabs/client/worklets/audioConcatProcessor.js?url';
import rawWorklet from '@elevenlabs/client/worklets/rawAudioProcessor.js?url';
import type { Json } from '../agents/document.js';
import { readAgent, signedUrl } from '../api/agents.js';
import { ApiError } from '../api/api-error.js';
import { Store } from '../store.js';
import { askingFor } from './asking-socket.js';
import { explained, type Problem } from './explained.js';
import { Lane, Onsets, Probe } from './levels.js';
import { microphoneObstacle, startProblem } from './problems.js';
import { resamplerUrl, serveResampler } from './resampling.js';
import * as transcript from './transcript.js';
import { type Board, emptyBoard, matchSounds, readTurnEvent, report } from './turns.js';

export type CallState = {
  readonly phase: 'idle' | 'connecting' | 'live';
  readonly mode: 'listening' | 'thinking' | 'speaking';
  readonly isTextOnly: boolean;
  readonly isMuted: boolean;
  readonly conversationId: string;
  readonly pingMs: number | undefined;
  readonly problem: Problem | undefined;
  readonly ending: string;
  readonly lines: transcript.Lines;
  readonly board: Board;
  /** Whether the server tells of its turns: without that the timeline has levels and no marks. */
  readonly hasTurnEvents: boolean;
  readonly overallRating: transcript.Rating;
};

const idle: CallState = {
  phase: 'idle',
  mode: 'listening',
  isTextOnly: false,
  isMuted: false,
  conversationId: '',
  pingMs: undefined,
  problem: undefined,
  ending: '',
  lines: [],
  board: emptyBoard,
  hasTurnEvents: false,
  overallRating: null,
};

/** What the console shows beyond the protocol's usual events. */
const shownEvents = [
  'vad_score',
  'tentative_user_transcript',
  'agent_chat_response_part',
  'agent_tool_request',
  'agent_tool_response',
  'mcp_tool_call',
  'parley_turn_event',
];

type Variables = Record<string, string>;
type Live = { readonly conversation: Awaited<ReturnType<typeof Conversation.startSession>>; readonly probes: Probes | undefined };
type Probes = { readonly caller: Probe; readonly agent: Probe };
/** A message of the server as it came; its payload lies under a key of its own. */
type Incoming = { readonly type: string; readonly [payload: string]: unknown };

export class Call {
  readonly store = new Store<CallState>(idle);
  /** Too quick for a store: read by whoever draws. */
  readonly callerLane = new Lane();
  readonly agentLane = new Lane();
  vadScore = 0;
  /** Page clock; 0 before the first call. */
  beganAtMs = 0;
  endedAtMs = 0;
  #onsets = new Onsets();
  #live: Live | undefined;
  /** Grows with every start and end: what belongs to an older number is not wanted any more. */
  #attempt = 0;
  /** Typed before the call was ready. */
  #unsent: string[] = [];
  #variables: Variables = {};
  #decisions = new Map<string, (isApproved: boolean) => void>();

  async start(agentId: string, isTextOnly: boolean, variables: Variables, firstText = ''): Promise<void> {
    if (this.store.state.phase !== 'idle') return;
    this.#variables = variables;
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#unsent = [];
    this.#onsets = new Onsets();
    this.vadScore = 0;
    this.beganAtMs = performance.now();
    this.endedAtMs = 0;
    this.store.set({ ...idle, phase: 'connecting', isTextOnly });
    if (firstText !== '') this.say(firstText);
    try {
      const { target, events, isTextAgent } = await this.#look(agentId);
      if (attempt !== this.#attempt) return;
      // With an agent that only writes there is nothing to speak for.
      if (isTextAgent) this.store.set({ isTextOnly: true });
      const obstacle = this.store.state.isTextOnly ? undefined : microphoneObstacle();
      if (obstacle !== undefined) {
        this.#fall(obstacle);
        return;
      }
      await this.#open(attempt, target, events);
    } catch (error) {
      await this.#failed(attempt, error);
    }
  }

  async #failed(attempt: number, error: unknown): Promise<void> {
    const problem = await startProblem(error);
    if (attempt === this.#attempt) this.#fall(problem);
  }

  /** The agent lets nobody choose events: once more, with its own. */
  #openPlainly(target: Target): void {
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#live = undefined;
    this.store.set({ phase: 'connecting' });
    this.#open(attempt, target, []).catch((error: unknown) => this.#failed(attempt, error));
  }

  /** How to reach the agent, which events to ask for, and whether it only writes. */
  async #look(agentId: string): Promise<{ target: Target; events: readonly string[]; isTextAgent: boolean }> {
    const origin = location.origin.replace(/^http/, 'ws');
    const open: Target = { agentId, origin };
    const unknown = { target: open, events: [], isTextAgent: false };
    if (agentId === '') return unknown;
    let agent: Json;
    try {
      agent = await readAgent(agentId);
    } catch (error) {
      // An engine that does not show its agents still talks.
      if (error instanceof ApiError && error.status !== 0) return unknown;
      throw error;
    }
    const at = (...names: string[]): unknown =>
      names.reduce<unknown>((value, name) => (value as Json | undefined)?.[name], agent);
    const own = at('conversation_config', 'conversation', 'client_events');
    const mayAsk =
      at('platform_settings', 'overrides', 'conversation_config_override', 'conversation', 'client_events') !== false;
    const events = Array.isArray(own) && mayAsk ? [...new Set([...(own as string[]), ...shownEvents])] : [];
    const isGuarded = at('platform_settings', 'auth', 'enable_auth') === true;
    const isTextAgent = at('conversation_config', 'conversation', 'text_only') === true;
    return { target: isGuarded ? { signedUrl: await signedUrl(agentId), origin } : open, events, isTextAgent };
  }

  async #open(attempt: number, target: Target, events: readonly string[]): Promise<void> {
    const { isTextOnly } = this.store.state;
    const whenCurrent = <Args extends unknown[]>(act: (...args: Args) => void) => {
      return (...args: Args): void => {
        if (attempt === this.#attempt) act(...args);
      };
    };
    const options: PartialOptions = {
      ...target,
      connectionType: 'websocket',
      textOnly: isTextOnly,
      dynamicVariables: this.#variables,
      connectionDelay: { default: 0, android: 0 },
      workletPaths: { rawAudioProcessor: rawWorklet, audioConcatProcessor: concatWorklet },
      libsampleratePath: resamplerUrl,
      onIncomingEvent: whenCurrent((event: Incoming) => this.#incoming(event)),
      onVadScore: whenCurrent(({ vadScore }) => (this.vadScore = vadScore)),
      onModeChange: whenCurrent(({ mode }) => {
        // Thinking ends by speaking; the client knows of no thinking.
        if (mode === 'speaking' || this.store.state.mode === 'speaking') this.store.set({ mode });
      }),
      onError: whenCurrent((message: string) => this.#notice(message.replace(/^Server error: /, ''))),
      onMCPToolApprovalRequest: ({ tool_call_id }, { signal }) => this.#ask(tool_call_id, signal),
      onDisconnect: whenCurrent((details) => {
        if (details.reason === 'error' && details.message.includes("'client_events'") && events.length > 0) {
          this.#openPlainly(target);
          return;
        }
        this.#ended(details);
      }),
    };
    if (!isTextOnly) serveResampler();
    const conversation = await askingFor(events, () => Conversation.startSession(options));
    if (attempt !== this.#attempt) {
      await conversation.endSession();
      return;
    }
    if (!conversation.isOpen()) return; // it was ended while it was set up, and that was told
    this.#live = { conversation, probes: isTextOnly ? undefined : probesOf(conversation as VoiceConversation) };
    this.store.set({ phase: 'live', conversationId: conversation.getId() });
    if (this.store.state.isMuted && !isTextOnly) conversation.setMicMuted(true);
    for (const text of this.#unsent.splice(0)) conversation.sendUserMessage(text);
  }

  async stop(): Promise<void> {
    const live = this.#live;
    if (live !== undefined) {
      await live.conversation.endSession();
      return;
    }
    // Still connecting: whatever comes of it is ended by `#open`.
    if (this.store.state.phase === 'connecting') this.#fall(undefined);
  }

  mute(isMuted: boolean): void {
    this.store.set({ isMuted });
    if (!this.store.state.isTextOnly) this.#live?.conversation.setMicMuted(isMuted);
  }

  say(text: string): void {
    this.#lines(transcript.add(this.store.state.lines, { kind: 'caller', text, isTentative: false, isTyped: true }));
    if (this.#live === undefined) {
      this.#unsent.push(text);
      return;
    }
    this.#live.conversation.sendUserMessage(text);
    this.store.set({ mode: 'thinking' });
  }

  /** The visitor is typing: the agent waits a moment before it speaks. */
  typing(): void {
    const now = performance.now();
    if (now - this.#typedAtMs < typingPauseMs) return;
    this.#typedAtMs = now;
    this.#live?.conversation.sendUserActivity();
  }
  #typedAtMs = 0;

  rate(eventId: number, rating: transcript.Rating): void {
    this.#lines(transcript.rated(this.store.state.lines, eventId, rating));
    this.#live?.conversation.sendFeedback(rating === null ? null : rating === 'like', eventId);
  }

  async rateAll(rating: 'like' | 'dislike'): Promise<void> {
    const { conversationId } = this.store.state;
    const response = await postOverallFeedback(conversationId, rating === 'like', location.origin);
    if (response.ok) this.store.set({ overallRating: rating });
    else this.#notice(`The feedback was not accepted (${response.status}).`);
  }

  decide(toolCallId: string, isApproved: boolean): void {
    this.#decisions.get(toolCallId)?.(isApproved);
  }

  /** Takes in what was heard and played since the last picture. */
  listen(): void {
    const probes = this.#live?.probes;
    if (probes === undefined) return;
    const now = performance.now();
    probes.caller.read(this.callerLane, undefined, now);
    probes.agent.read(this.agentLane, this.#onsets, now);
    const { board } = this.store.state;
    const matched = matchSounds(board, this.#onsets.atMs);
    if (matched !== board) this.store.set({ board: matched });
  }

  #lines(lines: transcript.Lines): void {
    if (lines !== this.store.state.lines) this.store.set({ lines });
  }

  #notice(text: string): void {
    this.#lines(transcript.add(this.store.state.lines, { kind: 'notice', text }));
  }

  /** Every message of the server, before the client acts on it. */
  #incoming(event: Incoming): void {
    const { lines, board } = this.store.state;
    const payload = (name: string): Record<string, unknown> => (event[name] ?? {}) as Record<string, unknown>;
    switch (event.type) {
      case 'ping': {
        const { ping_ms } = payload('ping_event');
        if (typeof ping_ms === 'number') this.store.set({ pingMs: ping_ms });
        return;
      }
      case 'tentative_user_transcript':
        this.#lines(transcript.hearing(lines, String(payload('tentative_user_transcription_event')['user_transcript'])));
        return;
      case 'user_transcript':
        this.store.set({
          lines: transcript.heard(lines, String(payload('user_transcription_event')['user_transcript'])),
          mode: 'thinking',
        });
        return;
      case 'agent_chat_response_part': {
        const { event_id, type, text } = payload('text_response_part');
        this.#lines(transcript.growing(lines, Number(event_id), type as 'start' | 'delta' | 'stop', String(text ?? '')));
        return;
      }
      case 'agent_response': {
        const { event_id, agent_response } = payload('agent_response_event');
        this.#lines(transcript.said(lines, Number(event_id), String(agent_response)));
        if (this.store.state.isTextOnly) this.store.set({ mode: 'listening' });
        return;
      }
      case 'agent_response_correction': {
        const { event_id, original_agent_response, corrected_agent_response } = payload('agent_response_correction_event');
        this.#lines(
          transcript.corrected(lines, Number(event_id), String(original_agent_response), String(corrected_agent_response)),
        );
        return;
      }
      case 'client_tool_call':
      case 'agent_tool_request':
      case 'agent_tool_response': {
        const { tool_call_id, tool_name, is_error } = payload(event.type);
        const state = event.type !== 'agent_tool_response' ? 'running' : is_error === true ? 'failed' : 'done';
        this.#lines(transcript.tool(lines, String(tool_call_id), String(tool_name), state));
        return;
      }
      case 'mcp_tool_call': {
        const { tool_call_id, tool_name, state } = payload('mcp_tool_call');
        const shown = { awaiting_approval: 'asking', loading: 'running', success: 'done', failure: 'failed' } as const;
        this.#lines(
          transcript.tool(lines, String(tool_call_id), String(tool_name), shown[state as keyof typeof shown] ?? 'running'),
        );
        return;
      }
      default: {
        const turnEvent = readTurnEvent(event);
        if (turnEvent === undefined) return;
        const next = report(board, turnEvent, performance.now());
        this.store.set({ board: next, hasTurnEvents: true });
        if (turnEvent.kind === 'drop' || turnEvent.kind === 'resume') this.#lines(transcript.notHearing(lines));
        if (turnEvent.kind === 'undo')
          this.#lines(transcript.undone(lines, turnEvent.event_id ?? 0, turnEvent.new_event_id ?? 0));
      }
    }
  }

  /** Resolves with what the visitor decides; false when it does not matter any more. */
  #ask(toolCallId: string, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (isApproved: boolean): void => {
        this.#decisions.delete(toolCallId);
        resolve(isApproved);
      };
      this.#decisions.set(toolCallId, settle);
      signal.addEventListener('abort', () => settle(false), { once: true });
    });
  }

  #ended(details: { reason: string; message?: string; closeCode?: number; closeReason?: string }): void {
    if (details.reason !== 'error') {
      this.#fall(
        undefined,
        details.reason === 'agent' ? (details.closeReason ?? 'The agent ended the call.') : 'You ended the call.',
      );
      return;
    }
    if (details.closeCode === 1006) {
      this.#fall({ title: 'The connection was lost.', advice: 'The server or the network went away. Start again.' });
      return;
    }
    this.#fall(explained(details.message ?? 'The call ended with an error.', details.closeCode));
  }

  /** What keeps a call from being started is said in the same place as what ended one. */
  refuse(problem: Problem): void {
    this.store.set({ problem });
  }

  /** Something is being done about it. */
  forgive(): void {
    if (this.store.state.problem !== undefined) this.store.set({ problem: undefined });
  }

  #fall(problem: Problem | undefined, ending = ''): void {
    this.#attempt += 1;
    this.#live = undefined;
    this.#unsent = [];
    this.#decisions.clear();
    this.vadScore = 0;
    this.endedAtMs = performance.now();
    if (this.store.state.conversationId === '') this.beganAtMs = 0; // there was no call to be drawn
    this.store.set({ phase: 'idle', mode: 'listening', problem, ending, lines: transcript.notHearing(this.store.state.lines) });
  }
}

type Target = { readonly agentId: string; readonly origin: string } | { readonly signedUrl: string; readonly origin: string };

/** More often than this says nothing new: the server waits two seconds after each. */
const typingPauseMs = 800;

/**
 * The client offers volumes only, smoothed over 200 ms; its two controllers hold the analysers behind them. They are private to TypeScript, and
 * the client's version is pinned.
 */
function probesOf(conversation: VoiceConversation): Probes | undefined {
  const { input, output } = conversation as unknown as { input: InputController; output: OutputController };
  const [caller, agent] = [input.getAnalyser(), output.getAnalyser()];
  return caller === undefined || agent === undefined ? undefined : { caller: new Probe(caller), agent: new Probe(agent) };
}

/** The page has one. */
export const call = new Call();
