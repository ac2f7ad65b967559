/** The TTS thread (`src/hosts/tts-host.ts`). Evented. */
import type { SpokenAudio } from '../src/api/links.js';
import { TtsHost } from '../src/hosts/tts-host.js';
import { problemOf } from '../src/shared/errors.js';
import type { CutSent, MetricsAsk, SlotOrder, ToTts } from '../src/shared/links.js';
import { takePriority } from '../src/shared/priority.js';
import { RenewablePort } from '../src/shared/renewable-port.js';
import { hz } from '../src/shared/units.js';
import { watchLoop } from '../src/telemetry/loop.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { type ApiRenewed, type ProviderState, startOf, type TtsStart } from '../src/thread-start.js';
import { createTts, plainVoice } from '../src/tts/create.js';

const start = startOf<TtsStart>('tts');
if (start.isPriorityTaken) takePriority('media');
const { block, board } = start;
const { main, conversation } = start.ports;
const recorder = new Recorder('tts', start.strip);
const provider = createTts(start.tts, {
  count: (name, labels) => recorder.count(name, labels),
  onState: (name, isOpen) =>
    start.control.postMessage({ type: 'provider', stage: 'tts', provider: name, isOpen } satisfies ProviderState),
});
/** Nothing comes back on it. */
const api = new RenewablePort<SpokenAudio, never>(start.ports.api, () => undefined);
const host = new TtsHost(
  { block, board, provider, recorder },
  {
    toMain: (message) => main.postMessage(message),
    toConversation: (message) => conversation.postMessage(message),
    toApi: start.isRecording ? (message) => api.post(message, [message.pcm.buffer]) : undefined,
  },
);
main.on('message', (message: SlotOrder | CutSent) => host.fromMain(message));
conversation.on('message', (message: ToTts) => host.fromConversation(message));
const loop = watchLoop(recorder);

start.control.on('message', (message: MetricsAsk | ApiRenewed | { type: 'stop' }) => {
  if (message.type === 'api_renewed') {
    api.renew(message.port);
    return;
  }
  if (message.type === 'metrics') {
    start.control.postMessage(recorder.answer(message, [], host.figures().counters));
    return;
  }
  host.close();
  loop.stop();
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
