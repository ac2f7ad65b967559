/**
 * The conversation thread: the turn machine of every session, language-model streams, history. It owns the epoch and holdsReleased cells.
 * Evented: woken by its ports and by one timer for all sessions.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { AgentChanged, FromApi, ToApi } from '../src/api/links.js';
import type { SessionLinks } from '../src/conversation/context.js';
import type { FromConversation, ToConversation } from '../src/conversation/links.js';
import { customLlmOf } from '../src/conversation/profile.js';
import { Session, type SessionHost } from '../src/conversation/session.js';
import { createLlm } from '../src/llm/create.js';
import { LlmPool } from '../src/llm/pool.js';
import { nowMs } from '../src/shared/clock.js';
import { problemOf } from '../src/shared/errors.js';
import { guarded } from '../src/shared/guard.js';
import type { FromStt, FromTts, FromVad, MetricsAsk } from '../src/shared/links.js';
import { RenewablePort } from '../src/shared/renewable-port.js';
import { Board, Slot } from '../src/shared/slots.js';
import type { AgentConfig } from '../src/store/agents.js';
import { createLog } from '../src/telemetry/log.js';
import { watchLoop } from '../src/telemetry/loop.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { type ApiRenewed, type ConversationStart, type ProviderState, startOf } from '../src/thread-start.js';

const start = startOf<ConversationStart>('conversation');
const { main, vad, stt, tts } = start.ports;
const recorder = new Recorder('conversation', start.strip);
const log = createLog(start.logLevel);
const llms = new LlmPool(
  createLlm(start.llm, {
    count: (name, labels) => recorder.count(name, labels),
    onState: (provider, isOpen) =>
      start.control.postMessage({ type: 'provider', stage: 'llm', provider, isOpen } satisfies ProviderState),
  }),
);
const agents = new Map(start.agents.map((agent) => [agent.agent_id, agent]));
/** Versions of those that came from the store. */
const versions = new Map<string, number>();
const slots = Array.from({ length: start.block.slotCount }, (_, index) => new Slot(start.block, index));
const sessions = new Map<number, Session>();
/** The API thread knows sessions by their conversation. */
const slotOf = new Map<string, number>();

const host: SessionHost = {
  agents,
  versionOf: (agentId) => versions.get(agentId) ?? 0,
  llmFor: (agent) => llms.of(customLlmOf(agent)),
  providers: start.providers,
  limits: start.limits,
  recorder,
  now: nowMs,
  wallNow: Date.now,
};

function open(message: Extract<ToConversation, { type: 'open' }>): void {
  const { slot, generation, conversationId } = message;
  const address = { slot, generation };
  slotOf.set(conversationId, slot);
  const links: SessionLinks = {
    toMain: (body) => main.postMessage({ ...address, ...body } as FromConversation),
    toStt: (body) => stt.postMessage({ ...address, ...body }),
    toTts: (body) => tts.postMessage({ ...address, ...body }),
    toApi: (body) => api.post({ conversationId, ...body } as ToApi),
    log: (event, fields) => log(event, { conversation_id: conversationId, slot, ...fields }),
  };
  guarded(address, main, () => sessions.set(slot, new Session(address, slots[slot]!, message, links, host)));
}

/** Nothing is left of the session here. */
function release(slot: number, generation: number): void {
  const session = sessions.get(slot);
  if (session?.generation === generation) {
    sessions.delete(slot);
    slotOf.delete(session.conversationId);
  }
  main.postMessage({ type: 'released', slot, generation } satisfies FromConversation);
}

main.on('message', (message: ToConversation) => {
  const { slot, generation } = message;
  if (message.type === 'open') {
    open(message);
    return;
  }
  const session = sessions.get(slot);
  if (session?.generation === generation) guarded(message, main, () => session.fromMain(message));
  if (message.type === 'close' && (session?.generation !== generation || session.isGone)) release(slot, generation);
});

function fromVad(message: FromVad): void {
  const session = sessions.get(message.slot);
  if (session?.generation === message.generation) guarded(message, main, () => session.fromVad(message));
}
vad.on('message', fromVad);
stt.on('message', (message: FromStt) => {
  const session = sessions.get(message.slot);
  if (session?.generation === message.generation) guarded(message, main, () => session.fromStt(message));
});
tts.on('message', (message: FromTts) => {
  const session = sessions.get(message.slot);
  if (session?.generation === message.generation) guarded(message, main, () => session.fromTts(message));
});

/** An answer of the API thread is for one session; a changed agent is for calls to come. */
const api = new RenewablePort<ToApi, FromApi | AgentChanged>(start.ports.api, (message) => {
  if (message.type === 'agent_changed' || (message.type === 'agent' && message.agent !== undefined)) {
    keepAgent(message.agentId, message.agent, message.version);
  }
  if (message.type === 'agent_changed') return;
  const session = sessions.get(slotOf.get(message.conversationId) ?? -1);
  if (session !== undefined) guarded(session.address, main, () => session.fromApi(message));
});

function keepAgent(agentId: string, agent: AgentConfig | undefined, version: number): void {
  if (agent === undefined) {
    agents.delete(agentId);
    versions.delete(agentId);
  } else {
    agents.set(agentId, agent);
    versions.set(agentId, version);
  }
}

/** Events of the detector that were posted before its cursor moved are dealt with before the timers look at the cursor. */
function drain(port: MessagePort, handle: (message: FromVad) => void): void {
  for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port)) {
    handle(received.message as FromVad);
  }
}

const ticker = setInterval(() => {
  for (const session of sessions.values()) session.readClock();
  drain(vad, fromVad);
  for (const [slot, session] of sessions) {
    guarded(session.address, main, () => session.tick());
    if (session.isGone) release(slot, session.generation);
  }
  Atomics.add(start.board, Board.conversationBeat, 1);
}, start.tickMs);

recorder.figures = () => ({
  gauges: [{ name: 'parley_conversation_sessions', labels: '', value: sessions.size }],
  counters: [],
});
const loop = watchLoop(recorder);
start.control.on('message', (message: MetricsAsk | ApiRenewed | { type: 'stop' }) => {
  if (message.type === 'api_renewed') {
    api.renew(message.port);
    return;
  }
  if (message.type === 'metrics') {
    start.control.postMessage(recorder.answer(message, recorder.figures().gauges));
    return;
  }
  clearInterval(ticker);
  loop.stop();
  for (const session of sessions.values()) session.close();
  api.close();
  void llms.close().finally(() => {
    for (const port of [main, vad, stt, tts, start.control]) port.close();
  });
});
// Not waited for: a provider that is away at start may be back at the first call, and says then what is wrong.
llms.main.warm().catch((error: unknown) => {
  recorder.count('parley_errors_total', `stage="llm",error_type="${problemOf(error).kind}"`);
  log('llm.problem', { kind: problemOf(error).kind, message: problemOf(error).message });
});
start.control.postMessage({ type: 'ready', says: [`language model: ${llms.main.name}`] });
