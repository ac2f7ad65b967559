/** The STT thread: cuts each open turn's audio out of the input ring and streams it to the recogniser. Evented. */
import { nowMs } from '../src/shared/clock.js';
import { problemOf } from '../src/shared/errors.js';
import { guarded } from '../src/shared/guard.js';
import type { FromStt, FromVad, InputGap, MetricsAsk, Released, SlotOrder, ToStt } from '../src/shared/links.js';
import { Board, Slot } from '../src/shared/slots.js';
import { createStt } from '../src/stt/create.js';
import { SttSession } from '../src/stt/session.js';
import { watchLoop } from '../src/telemetry/loop.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { type ProviderState, type SttStart, startOf } from '../src/thread-start.js';

const start = startOf<SttStart>('stt');
const { main, vad, conversation } = start.ports;
const recorder = new Recorder('stt', start.strip);
const provider = createStt(start.stt, {
  count: (name, labels) => recorder.count(name, labels),
  onState: (name, isOpen) =>
    start.control.postMessage({ type: 'provider', stage: 'stt', provider: name, isOpen } satisfies ProviderState),
});
const slots = Array.from({ length: start.block.slotCount }, (_, index) => new Slot(start.block, index));
/** Generation of each open slot; its session exists once conversation has configured it. */
const open = new Map<number, number>();
const sessions = new Map<number, SttSession>();
let missedSamples = 0;

/** Generation that each slot was last closed for. */
const closed = new Map<number, number>();

const isOpen = (message: { slot: number; generation: number }): boolean => open.get(message.slot) === message.generation;

main.on('message', (message: SlotOrder | InputGap) => {
  const { slot, generation } = message;
  if (message.type === 'open') {
    open.set(slot, generation);
  } else if (message.type === 'gap') {
    if (isOpen(message)) sessions.get(slot)?.gap(message.startSample, message.endSample);
  } else {
    if (isOpen(message)) {
      const session = sessions.get(slot);
      missedSamples += session?.missedSamples ?? 0;
      session?.close();
      sessions.delete(slot);
      open.delete(slot);
    }
    closed.set(slot, generation);
    main.postMessage({ type: 'released', slot, generation } satisfies Released);
  }
});

conversation.on('message', (message: ToStt) => {
  // Ports have no order among each other: the settings of a session may come before main's word that it is open.
  const isNewer = message.generation > Math.max(open.get(message.slot) ?? 0, closed.get(message.slot) ?? 0);
  if (message.type === 'configure' && isNewer) open.set(message.slot, message.generation);
  if (!isOpen(message)) return;
  const { slot, generation } = message;
  if (message.type === 'close_turn') {
    guarded(message, main, () => sessions.get(slot)?.closeTurn(message.turn, message.throughSample));
    return;
  }
  const { language, keywords, grammar } = message;
  const known = sessions.get(slot);
  if (known !== undefined) {
    known.configure({ language, keywords, grammar });
    return;
  }
  const session = new SttSession(slots[slot]!, provider, { language, keywords, grammar }, nowMs, (body) =>
    conversation.postMessage({ slot, generation, ...body } as FromStt),
  );
  sessions.set(slot, session);
});

vad.on('message', (message: FromVad) => {
  if (isOpen(message)) guarded(message, main, () => sessions.get(message.slot)?.speech(message));
});

const ticker = setInterval(() => {
  for (const [slot, session] of sessions) guarded({ slot, generation: open.get(slot) ?? 0 }, main, () => session.pull());
  Atomics.add(start.board, Board.sttBeat, 1);
}, start.pullMs);
recorder.figures = () => {
  let missed = missedSamples;
  for (const session of sessions.values()) missed += session.missedSamples;
  return { gauges: [], counters: [{ name: 'parley_input_overrun_samples_total', labels: 'reader="stt"', value: missed }] };
};
const loop = watchLoop(recorder);

start.control.on('message', (message: MetricsAsk | { type: 'stop' }) => {
  if (message.type === 'metrics') {
    start.control.postMessage(recorder.answer(message, [], recorder.figures().counters));
    return;
  }
  clearInterval(ticker);
  loop.stop();
  for (const session of sessions.values()) session.close();
  void provider.close().finally(() => {
    for (const port of [main, vad, conversation, start.control]) port.close();
  });
});

const warmth = provider.warm({ language: 'en', keywords: [], grammar: start.warmGrammar });
try {
  // A provider in the cloud that is away at start may be back at the first call, and says then what is wrong.
  if (start.stt.provider === 'embedded') await warmth;
  else
    warmth.catch((error: unknown) => recorder.count('parley_errors_total', `stage="stt",error_type="${problemOf(error).kind}"`));
  start.control.postMessage({ type: 'ready', says: [`recognition: ${provider.name}`] });
} catch (error) {
  start.control.postMessage({ type: 'failed', problem: problemOf(error) });
}
