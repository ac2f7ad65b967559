/**
 * The conversation thread: the turn machine of every session, language-model streams, history. It owns the epoch and holdsReleased cells.
 * Evented: woken by its ports and by one timer for all sessions.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { FromConversation, ToConversation } from '../src/conversation/links.js';
import { Session } from '../src/conversation/session.js';
import { createLlm } from '../src/llm/create.js';
import { nowMs } from '../src/shared/clock.js';
import { problemOf } from '../src/shared/errors.js';
import { guarded } from '../src/shared/guard.js';
import type { FromStt, FromTts, FromVad, MetricsAsk } from '../src/shared/links.js';
import { Board, Slot } from '../src/shared/slots.js';
import { createLog } from '../src/telemetry/log.js';
import { watchLoop } from '../src/telemetry/loop.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { type ConversationStart, startOf } from '../src/thread-start.js';

const start = startOf<ConversationStart>('conversation');
const { main, vad, stt, tts } = start.ports;
const recorder = new Recorder('conversation');
const log = createLog(start.logLevel);
const llm = createLlm(start.llm);
const agents = new Map(start.agents.map((agent) => [agent.agent_id, agent]));
const slots = Array.from({ length: start.block.slotCount }, (_, index) => new Slot(start.block, index));
const sessions = new Map<number, Session>();

function toMain(message: FromConversation): void {
  main.postMessage(message);
}

main.on('message', (message: ToConversation) => {
  const { slot, generation } = message;
  if (message.type === 'open') {
    const address = { slot, generation };
    const session = new Session(
      address,
      slots[slot]!,
      message,
      agents,
      llm,
      start.providers,
      {
        toMain: (body) => toMain({ ...address, ...body } as FromConversation),
        toStt: (body) => stt.postMessage({ ...address, ...body }),
        toTts: (body) => tts.postMessage({ ...address, ...body }),
        log: (event, fields) => log(event, { conversation_id: message.conversationId, slot, ...fields }),
      },
      start.limits,
      recorder,
      nowMs,
    );
    sessions.set(slot, session);
    return;
  }
  const session = sessions.get(slot);
  if (session?.generation === generation) guarded(message, main, () => session.fromMain(message));
  if (message.type === 'close') {
    if (session?.generation === generation) sessions.delete(slot);
    toMain({ type: 'released', slot, generation });
  }
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

/** Events of the detector that were posted before its cursor moved are dealt with before the timers look at the cursor. */
function drain(port: MessagePort, handle: (message: FromVad) => void): void {
  for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port)) {
    handle(received.message as FromVad);
  }
}

const ticker = setInterval(() => {
  for (const session of sessions.values()) session.readClock();
  drain(vad, fromVad);
  for (const [slot, session] of sessions) guarded({ slot, generation: session.generation }, main, () => session.tick());
  Atomics.add(start.board, Board.conversationBeat, 1);
}, start.tickMs);

const loop = watchLoop(recorder);
start.control.on('message', (message: MetricsAsk | { type: 'stop' }) => {
  if (message.type === 'metrics') {
    start.control.postMessage(
      recorder.answer(message, [{ name: 'parley_conversation_sessions', labels: '', value: sessions.size }]),
    );
    return;
  }
  clearInterval(ticker);
  loop.stop();
  for (const session of sessions.values()) session.close();
  void llm.close().finally(() => {
    for (const port of [main, vad, stt, tts, start.control]) port.close();
  });
});
// Not waited for: a provider that is away at start may be back at the first call, and says then what is wrong.
llm.warm().catch((error: unknown) => {
  recorder.count('parley_errors_total', `stage="llm",error_type="${problemOf(error).kind}"`);
  log('llm.problem', { kind: problemOf(error).kind, message: problemOf(error).message });
});
start.control.postMessage({ type: 'ready', says: [`language model: ${llm.name}`] });
