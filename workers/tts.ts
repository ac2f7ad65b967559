/** The TTS thread: synthesis streams and the pacer of every session, on one grid. It owns the take, outputWritten and floor cells. Evented. */
import type { SpokenAudio } from '../src/api/links.js';
import { nowMs } from '../src/shared/clock.js';
import { problemOf } from '../src/shared/errors.js';
import { guarded } from '../src/shared/guard.js';
import type { CutSent, FromTts, MetricsAsk, Released, SlotOrder, ToTts } from '../src/shared/links.js';
import { RenewablePort } from '../src/shared/renewable-port.js';
import { Board, Slot } from '../src/shared/slots.js';
import { type Hz, hz } from '../src/shared/units.js';
import { watchLoop } from '../src/telemetry/loop.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { type ApiRenewed, type ProviderState, startOf, type TtsStart } from '../src/thread-start.js';
import { createTts, plainVoice } from '../src/tts/create.js';
import type { TtsVoice } from '../src/tts/port.js';
import { pacing, type TtsCounters, TtsSession } from '../src/tts/session.js';
import { alignmentJson } from '../src/wire/audio-out.js';

const start = startOf<TtsStart>('tts');
const { main, conversation } = start.ports;
const recorder = new Recorder('tts', start.strip);
const provider = createTts(start.tts, {
  count: (name, labels) => recorder.count(name, labels),
  onState: (name, isOpen) =>
    start.control.postMessage({ type: 'provider', stage: 'tts', provider: name, isOpen } satisfies ProviderState),
});
const slots = Array.from({ length: start.block.slotCount }, (_, index) => new Slot(start.block, index));
const open = new Map<number, number>();
const sessions = new Map<number, TtsSession>();
const counters: TtsCounters = { underruns: 0, frames: 0, rewinds: 0, framesWaited: 0 };

/** Nothing comes back on it. */
const api = new RenewablePort<SpokenAudio, never>(start.ports.api, () => undefined);

/** Generation that each slot was last closed for. */
const closed = new Map<number, number>();

const isOpen = (message: { slot: number; generation: number }): boolean => open.get(message.slot) === message.generation;

/** Many frames, one wake-up: the first writer after main's last look sends it. Frames are stored before the bell is rung. */
function ringMain(): void {
  if (Atomics.exchange(start.board, Board.mainBell, 1) === 0) main.postMessage({ type: 'ring' });
}

main.on('message', (message: SlotOrder | CutSent) => {
  const { slot, generation } = message;
  if (message.type === 'open') {
    open.set(slot, generation);
  } else if (message.type === 'cut_sent') {
    if (isOpen(message)) guarded(message, main, () => sessions.get(slot)?.cutSent(message));
  } else {
    if (isOpen(message)) {
      sessions.get(slot)?.close();
      sessions.delete(slot);
      open.delete(slot);
    }
    closed.set(slot, generation);
    main.postMessage({ type: 'released', slot, generation } satisfies Released);
  }
});

conversation.on('message', (message: ToTts) => {
  // Ports have no order among each other: the settings of a session may come before main's word that it is open.
  const isNewer = message.generation > Math.max(open.get(message.slot) ?? 0, closed.get(message.slot) ?? 0);
  if (message.type === 'configure' && isNewer) open.set(message.slot, message.generation);
  if (!isOpen(message)) return;
  const { slot, generation } = message;
  if (message.type !== 'configure') {
    guarded(message, main, () => sessions.get(slot)?.receive(message));
    return;
  }
  const { voiceId, modelId, language, speed, stability, similarityBoost, encoding } = message;
  const voice: TtsVoice = { voiceId, modelId, language, speed, stability, similarityBoost };
  const rateHz = hz(message.rateHz);
  const known = sessions.get(slot);
  if (known !== undefined) {
    known.setVoice(voice);
    warm(voice, rateHz);
    return;
  }
  const session = new TtsSession(
    slots[slot]!,
    generation,
    { provider, voice, rateHz, encoding, alignmentJson },
    counters,
    (holeMs) => recorder.record('resume_hole', holeMs),
    nowMs,
    (body) => conversation.postMessage({ slot, generation, ...body } as FromTts),
    ringMain,
    message.isRecorded === true
      ? (piece) => api.post({ type: 'spoken', slot, generation, ...piece }, [piece.pcm.buffer])
      : undefined,
  );
  sessions.set(slot, session);
  warm(voice, rateHz);
});

/** Opens what the first reply would wait for; a failure shows when something is to be said. */
function warm(voice: TtsVoice, rateHz: Hz): void {
  provider.warm(voice, rateHz).catch((error: unknown) => {
    recorder.count('parley_errors_total', `stage="tts",error_type="${problemOf(error).kind}"`);
  });
}

/** One timer for all sessions, on absolute multiples of the grid: a late tick does not shift the next. */
let ticker: NodeJS.Timeout;
function tickAt(dueAtMs: number): void {
  ticker = setTimeout(
    () => {
      const atMs = nowMs();
      for (const [slot, session] of sessions) {
        if (session.isBusy) guarded({ slot, generation: open.get(slot) ?? 0 }, main, () => session.gridTick(atMs, dueAtMs));
      }
      Atomics.add(start.board, Board.ttsBeat, 1);
      tickAt((Math.floor(nowMs() / pacing.gridMs) + 1) * pacing.gridMs);
    },
    Math.max(1, Math.ceil(dueAtMs - nowMs())),
  );
}
tickAt((Math.floor(nowMs() / pacing.gridMs) + 1) * pacing.gridMs);
recorder.figures = () => ({
  gauges: [],
  counters: [
    { name: 'parley_pacer_underruns_total', labels: '', value: counters.underruns },
    { name: 'parley_pacer_frames_total', labels: '', value: counters.frames },
    { name: 'parley_pacer_rewinds_total', labels: '', value: counters.rewinds },
    { name: 'parley_output_ring_full_total', labels: '', value: counters.framesWaited },
  ],
});
const loop = watchLoop(recorder);

start.control.on('message', (message: MetricsAsk | ApiRenewed | { type: 'stop' }) => {
  if (message.type === 'api_renewed') {
    api.renew(message.port);
    return;
  }
  if (message.type === 'metrics') {
    start.control.postMessage(recorder.answer(message, [], recorder.figures().counters));
    return;
  }
  clearTimeout(ticker);
  loop.stop();
  for (const session of sessions.values()) session.close();
  api.close();
  void provider.close().finally(() => {
    for (const port of [main, conversation, start.control]) port.close();
  });
});

try {
  if (start.tts.provider === 'embedded') {
    await provider.warm(plainVoice, hz(16_000));
  }
  start.control.postMessage({ type: 'ready', says: [`synthesis: ${provider.name}`] });
} catch (error) {
  start.control.postMessage({ type: 'failed', problem: problemOf(error) });
}
