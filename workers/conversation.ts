/** The conversation thread (`src/hosts/conversation-host.ts`). Evented. */
import { receiveMessageOnPort } from 'node:worker_threads';
import type { AgentChanged, FromApi, ToApi } from '../src/api/links.js';
import type { ToConversation } from '../src/conversation/links.js';
import type { ReadTurn } from '../src/conversation/turn-reader.js';
import { ConversationHost } from '../src/hosts/conversation-host.js';
import { createLlm } from '../src/llm/create.js';
import { LlmPool } from '../src/llm/pool.js';
import { nowMs } from '../src/shared/clock.js';
import { problemOf } from '../src/shared/errors.js';
import type { FromStt, FromTts, FromVad, MetricsAsk } from '../src/shared/links.js';
import { takePriority } from '../src/shared/priority.js';
import { RenewablePort } from '../src/shared/renewable-port.js';
import { createLog } from '../src/telemetry/log.js';
import { watchLoop } from '../src/telemetry/loop.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { turnModelReport } from '../src/telemetry/turn-model-report.js';
import { type ApiRenewed, type ConversationStart, type ProviderState, startOf } from '../src/thread-start.js';
import { PooledTurnModel } from '../src/turn-model/pooled.js';
import type { TurnModel } from '../src/turn-model/port.js';

const start = startOf<ConversationStart>('conversation');
if (start.isPriorityTaken) takePriority('turn');
const { block, board, agents, providers, limits, tickMs } = start;
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
const api = new RenewablePort<ToApi, FromApi | AgentChanged>(start.ports.api, (message) => host.fromApi(message));
let turnModel: TurnModel | undefined;
const readTurn: ReadTurn = async (lines) => turnModel?.judge({ kind: 'text', lines });
const host = new ConversationHost(
  {
    block,
    board,
    llms,
    agents,
    providers,
    limits,
    tickMs,
    recorder,
    log,
    readTurn: start.turnModel === undefined ? undefined : readTurn,
  },
  {
    toMain: (message) => main.postMessage(message),
    toStt: (message) => stt.postMessage(message),
    toTts: (message) => tts.postMessage(message),
    toApi: (message) => api.post(message),
    drainVad: (handle) => {
      for (let received = receiveMessageOnPort(vad); received !== undefined; received = receiveMessageOnPort(vad)) {
        handle(received.message as FromVad);
      }
    },
  },
);
main.on('message', (message: ToConversation) => host.fromMain(message));
vad.on('message', (message: FromVad) => host.fromVad(message));
stt.on('message', (message: FromStt) => host.fromStt(message));
tts.on('message', (message: FromTts) => host.fromTts(message));
const loop = watchLoop(recorder);

start.control.on('message', (message: MetricsAsk | ApiRenewed | { type: 'stop' }) => {
  if (message.type === 'api_renewed') {
    api.renew(message.port);
    return;
  }
  if (message.type === 'metrics') {
    start.control.postMessage(recorder.answer(message, host.figures().gauges));
    return;
  }
  host.close();
  loop.stop();
  api.close();
  void Promise.allSettled([llms.close(), turnModel?.close()]).then(() => {
    for (const port of [main, vad, stt, tts, start.control]) port.close();
  });
});
// Not waited for: a provider that is away at start may be back at the first call, and says then what is wrong.
llms.main.warm().catch((error: unknown) => {
  recorder.count('parley_errors_total', `stage="llm",error_type="${problemOf(error).kind}"`);
  log('llm.problem', { kind: problemOf(error).kind, message: problemOf(error).message });
});
try {
  if (start.turnModel !== undefined)
    turnModel = await PooledTurnModel.open(start.turnModel.path, { now: nowMs, onOutcome: turnModelReport(recorder) });
  const says = [`language model: ${llms.main.name}`, ...(turnModel === undefined ? [] : [`turn model: ${turnModel.name}`])];
  start.control.postMessage({ type: 'ready', says });
} catch (error) {
  start.control.postMessage({ type: 'failed', problem: problemOf(error) });
}
