/**
 * The API thread: the REST side, the store, server-side tools, recordings, retention. One a process, beside the lanes; evented. Everything
 * that may be slow is here, and no other thread waits for it.
 */

import { AgentDirectory } from '../src/api/agent-directory.js';
import { ConversationBook } from '../src/api/conversation-book.js';
import { ConversationDesk } from '../src/api/conversation-desk.js';
import { FleetLink } from '../src/api/fleet-link.js';
import { HttpDesk } from '../src/api/http-desk.js';
import { LaneLink } from '../src/api/lane-link.js';
import type { ToApiFromMain } from '../src/api/links.js';
import { Outbox, outboxLimits } from '../src/api/outbox.js';
import { PostCall } from '../src/api/post-call.js';
import { Recordings, recordingLimits } from '../src/api/recording.js';
import { createRest } from '../src/api/rest.js';
import { Retention, retentionLimits } from '../src/api/retention.js';
import { collectSeries } from '../src/api/series-collector.js';
import { SeriesHistory } from '../src/api/series-history.js';
import { abandonedCheckMs, closeAbandoned, Opening } from '../src/api/start-up.js';
import { ToolUsage } from '../src/api/tool-usage.js';
import { nowMs } from '../src/shared/clock.js';
import { problemOf } from '../src/shared/errors.js';
import type { MetricsAsk } from '../src/shared/links.js';
import { takePriority } from '../src/shared/priority.js';
import { randomId } from '../src/shared/random-id.js';
import { Slot } from '../src/shared/slots.js';
import { openStore } from '../src/store/open.js';
import { within } from '../src/store/within.js';
import { createLog } from '../src/telemetry/log.js';
import { watchLoop } from '../src/telemetry/loop.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { type ApiStart, type LaneRenewed, startOf } from '../src/thread-start.js';
import { AddressGuard, parseAllowedHosts } from '../src/tools/address-guard.js';
import { createToolRunner } from '../src/tools/runner.js';

/** What is still to be written when the process ends. */
const drainMs = 3000;
/** For what is left to do for calls that have just ended; what is not done by then is done by whoever comes next. */
const farewellMs = 1500;
/** Main sees by it that this thread does not hang. */
const beatMs = 100;

const start = startOf<ApiStart>('api');
if (start.isPriorityTaken) takePriority('background');
const { main } = start.ports;
const { setup } = start;
const unixMs = (): number => Date.now();
const recorder = new Recorder('api', start.strip);
const log = createLog(start.logLevel);

function problem(event: string, error: unknown, fields: Record<string, string | number> = {}): void {
  const { kind, message } = problemOf(error);
  recorder.count('parley_errors_total', `stage="${event.split('.')[0]}",error_type="${kind}"`);
  log(event, { kind, message, ...fields });
}

/** The way to the process that leads a fleet; undefined: this process is alone. */
const fleet = start.fleet === undefined ? undefined : new FleetLink(start.fleet);
const store = fleet?.store ?? openStore(setup.store, (error) => problem('store.problem', error));
const directory = new AgentDirectory(
  store,
  start.agents,
  start.processStartedAtMs,
  (message) => {
    for (const lane of lanes) lane.announce(message);
  },
  (agentId, message) => log('agent.problem', { agent_id: agentId, message }),
);
const slots = Array.from({ length: start.block.slotCount }, (_, index) => new Slot(start.block, index));
const recordings = setup.recordingsPath === undefined ? undefined : new Recordings(setup.recordingsPath, slots, log, nowMs);
const conversations = new ConversationBook(store, directory, recorder, (conversationId, message) =>
  log('store.problem', { conversation_id: conversationId, message }),
);
const tools = createToolRunner({
  guard: new AddressGuard(parseAllowedHosts(setup.toolHostsAllowed)),
  log,
  secret: async (secretId) => {
    const value = (await store.resource('secret', secretId))?.document['value'];
    return typeof value === 'string' ? value : undefined;
  },
  isMcpStdioAllowed: setup.isMcpStdioAllowed,
});
const toolUsage = new ToolUsage();
const retention = new Retention(store, directory, recordings, unixMs);
const postCall =
  setup.webhookUrl === ''
    ? undefined
    : new PostCall(setup.webhookUrl, setup.webhookSecret, unixMs, (message) => log('post_call.problem', { message }));

const outbox =
  postCall === undefined
    ? undefined
    : new Outbox({
        ...{ store, directory, recordings, post: postCall, publicUrl: setup.publicUrl, nowMs: unixMs },
        onProblem: (error) => problem('post_call.problem', error),
      });

/** It is told before anything of it is deleted. */
async function onOver(conversationId: string): Promise<void> {
  await outbox?.tell(conversationId).catch((error: unknown) => problem('post_call.problem', error));
  await retention.atEnd(conversationId);
}

const history = new SeriesHistory(randomId());
const seriesFacts = { sessions_max: slots.length, providers: start.providers };
const series = collectSeries(start.strips, slots, (bucket) => {
  if (fleet === undefined) history.add(bucket);
  else fleet.note({ type: 'bucket', bucket });
});
if (fleet !== undefined) {
  conversations.elsewhere = (conversationId) => fleet.live(conversationId);
  conversations.onBegin = (conversationId, live) => fleet.note({ type: 'begin', conversationId, live });
  conversations.onWritten = (conversationId) => fleet.note({ type: 'end', conversationId });
  directory.onChanged = (agentId) => fleet.note({ type: 'agent_changed', agentId });
  fleet.onNews = (news) => {
    if (news.type === 'untold') tellUntold();
    else directory.changedElsewhere(news.agentId).catch((error: unknown) => problem('store.problem', error));
  };
}
const desk = new ConversationDesk({
  store,
  directory,
  conversations,
  tools,
  toolUsage,
  recordings,
  nowMs: unixMs,
  tellAtMs: () => outbox?.tellAtMs(),
  onOver,
  log,
});
const rest = createRest(
  {
    store,
    directory,
    recordings,
    retention,
    conversations,
    toolUsage,
    setup,
    version: start.version,
    signingKey: start.signingKey,
    isLoopback: start.isLoopback,
    series: async (query) => fleet?.series(query) ?? history.answer(query, seriesFacts),
    nowMs: unixMs,
  },
  (ask, error) => {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    recorder.count('parley_errors_total', 'stage="rest",error_type="unknown"');
    log('http.failed', { method: ask.method, path: ask.path, message: stack });
  },
);
const http = new HttpDesk(
  async (ask) => {
    const startedAtMs = nowMs();
    const answer = await rest.answer(ask);
    recorder.record('rest_request', nowMs() - startedAtMs);
    recorder.count('parley_rest_requests_total', `status="${answer.status}"`);
    return answer;
  },
  (message) => main.postMessage(message),
  (error) => problem('rest.problem', error),
);

main.on('message', (message: ToApiFromMain) => void http.receive(message));
const lanes = start.ports.conversations.map(
  (conversation, index) =>
    new LaneLink(conversation, start.ports.voices[index]!, {
      onMessage: (message, answer) => desk.receive(message, answer),
      onSpoken: (message) => recordings?.spoken(message),
      nowMs: unixMs,
    }),
);

/** A lane was started anew: it knows the agents of files, and gets to know what became of them since. */
function renewLane({ lane, conversation, voice }: LaneRenewed): void {
  lanes[lane]?.renew(conversation, voice);
  directory.announceFiles().catch((error: unknown) => problem('store.problem', error));
}

const recordingTimer =
  recordings === undefined
    ? undefined
    : setInterval(() => {
        recordings.tick().catch((error: unknown) => problem('recording.problem', error));
      }, recordingLimits.tickMs);
const sweepTimer = setInterval(sweep, retentionLimits.sweepEveryMs);
/** Other processes may share the database, and die while this one lives. */
const abandonedTimer =
  setup.store.kind !== 'postgres'
    ? undefined
    : setInterval(() => {
        closeAbandoned(store, retention, unixMs(), unixMs, outbox).then(
          (closedCount) => recorder.count('parley_conversations_abandoned_total', '', closedCount),
          (error: unknown) => problem('store.problem', error),
        );
      }, abandonedCheckMs);
const outboxTimer = outbox === undefined ? undefined : setInterval(tellUntold, outboxLimits.sweepEveryMs);
const beatTimer = setInterval(() => Atomics.add(start.beat, 0, 1), beatMs);

function sweep(): void {
  retention
    .sweep((conversationId) => conversations.isLive(conversationId) || desk.isEnding(conversationId))
    .then(
      (deletedCount) => recorder.count('parley_conversations_expired_total', '', deletedCount),
      (error: unknown) => problem('retention.problem', error),
    );
}

function tellUntold(): void {
  outbox?.sweep().catch((error: unknown) => problem('post_call.problem', error));
}

const opening = new Opening({
  store,
  directory,
  retention,
  processStartedAtMs: start.processStartedAtMs,
  nowMs: unixMs,
  outbox,
  onOpen: (closedCount) => {
    recorder.count('parley_conversations_abandoned_total', '', closedCount);
    sweep();
    tellUntold();
  },
  onProblem: (error) => problem('store.problem', error),
  tell: (message) => main.postMessage(message),
});

recorder.figures = () => {
  const { running, mcpServers } = tools.counts();
  const gauges: readonly (readonly [string, number])[] = [
    ['parley_api_conversations', conversations.liveCount],
    ['parley_api_requests', http.workingCount],
    ['parley_store_queue', conversations.queuedCount],
    ['parley_tools_running', running],
    ['parley_mcp_servers', mcpServers],
    ['parley_recordings', recordings?.activeCount ?? 0],
  ];
  const counters = Object.entries(recordings?.counters ?? {}).map(([name, value]) => ({
    name: `parley_recordings_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`,
    labels: '',
    value,
  }));
  return { gauges: gauges.map(([name, value]) => ({ name, labels: '', value })), counters };
};
const loop = watchLoop(recorder);
start.control.on('message', (message: MetricsAsk | LaneRenewed | { type: 'stop' }) => {
  if (message.type === 'lane_renewed') {
    renewLane(message);
    return;
  }
  if (message.type === 'metrics') {
    const { gauges, counters } = recorder.figures();
    start.control.postMessage(recorder.answer(message, gauges, counters));
    return;
  }
  clearInterval(recordingTimer);
  clearInterval(sweepTimer);
  clearInterval(abandonedTimer);
  clearInterval(outboxTimer);
  opening.stop();
  clearInterval(beatTimer);
  loop.stop();
  series.stop();
  void stop();
});

async function stop(): Promise<void> {
  // What the lanes said before they ended is read first: it came by other ports.
  await new Promise(setImmediate);
  const lastActs = within(desk.settled(), drainMs, 'the last acts of calls');
  const closing = [http.close(), tools.close(), conversations.drain(drainMs), recordings?.close(), lastActs];
  for (const result of await Promise.allSettled(closing)) if (result.status === 'rejected') problem('api.problem', result.reason);
  await postCall?.close(farewellMs);
  await store.close().catch((error: unknown) => problem('store.problem', error));
  fleet?.close();
  for (const port of [main, ...lanes, start.control]) port.close();
}

recordings?.start().catch((error: unknown) => problem('recording.problem', error));
const says = [
  `store: ${store.name}`,
  setup.recordingsPath === undefined ? 'recordings: off' : `recordings: ${setup.recordingsPath}`,
];
start.control.postMessage({ type: 'ready', says });
setImmediate(() => opening.begin());
