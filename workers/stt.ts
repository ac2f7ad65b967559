/** The STT thread (`src/hosts/stt-host.ts`). Evented. */
import { SttHost } from '../src/hosts/stt-host.js';
import { nowMs } from '../src/shared/clock.js';
import { problemOf } from '../src/shared/errors.js';
import type { FromVad, InputGap, MetricsAsk, SlotOrder, ToStt } from '../src/shared/links.js';
import { takePriority } from '../src/shared/priority.js';
import { inputRateHz } from '../src/shared/units.js';
import { createStt } from '../src/stt/create.js';
import type { Listener } from '../src/stt/session.js';
import { watchLoop } from '../src/telemetry/loop.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { turnModelReport } from '../src/telemetry/turn-model-report.js';
import { type ProviderState, type SttStart, startOf } from '../src/thread-start.js';
import { PooledTurnModel } from '../src/turn-model/pooled.js';
import { type TurnModel, windowSeconds } from '../src/turn-model/port.js';

const start = startOf<SttStart>('stt');
if (start.isPriorityTaken) takePriority('turn');
const { block, board, pullMs } = start;
const { main, vad, conversation } = start.ports;
const recorder = new Recorder('stt', start.strip);
const provider = createStt(start.stt, {
  count: (name, labels) => recorder.count(name, labels),
  onState: (name, isOpen) =>
    start.control.postMessage({ type: 'provider', stage: 'stt', provider: name, isOpen } satisfies ProviderState),
});
let turnModel: TurnModel | undefined;
const listener: Listener = {
  windowSamples: windowSeconds * inputRateHz,
  judge: async (audio) => turnModel?.judge({ kind: 'audio', audio }),
};
const host = new SttHost(
  { block, board, provider, recorder, pullMs, listener: start.turnModel === undefined ? undefined : listener },
  {
    toMain: (message) => main.postMessage(message),
    toConversation: (message) => conversation.postMessage(message),
  },
);
main.on('message', (message: SlotOrder | InputGap) => host.fromMain(message));
conversation.on('message', (message: ToStt) => host.fromConversation(message));
vad.on('message', (message: FromVad) => host.fromVad(message));
const loop = watchLoop(recorder);

start.control.on('message', (message: MetricsAsk | { type: 'stop' }) => {
  if (message.type === 'metrics') {
    start.control.postMessage(recorder.answer(message, [], host.figures().counters));
    return;
  }
  host.close();
  loop.stop();
  void Promise.allSettled([provider.close(), turnModel?.close()]).then(() => {
    for (const port of [main, vad, conversation, start.control]) port.close();
  });
});

const warmth = provider.warm({ language: 'en', keywords: [], grammar: start.warmGrammar });
try {
  // A provider in the cloud that is away at start may be back at the first call, and says then what is wrong.
  if (start.stt.provider === 'embedded') await warmth;
  else
    warmth.catch((error: unknown) => recorder.count('parley_errors_total', `stage="stt",error_type="${problemOf(error).kind}"`));
  if (start.turnModel !== undefined)
    turnModel = await PooledTurnModel.open(start.turnModel.path, { now: nowMs, onOutcome: turnModelReport(recorder) });
  const says = [`recognition: ${provider.name}`, ...(turnModel === undefined ? [] : [`turn model: ${turnModel.name}`])];
  start.control.postMessage({ type: 'ready', says });
} catch (error) {
  start.control.postMessage({ type: 'failed', problem: problemOf(error) });
}
