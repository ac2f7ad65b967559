/**
 * Loaded into every thread of an engine that a rig starts (`--import`): says which thread it is and how the system numbers it, so that CPU can be
 * told apart by thread; and, when PARLEY_PROBE_SECONDS is set, collects garbage and says what is left (for `npm run soak`). Writes log lines.
 */
import { readlinkSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread, threadId } from 'node:worker_threads';

function threadName(): string {
  if (isMainThread) return 'main';
  return basename(process.argv[1] ?? `thread ${threadId}`, '.js');
}

function systemThreadId(): number {
  try {
    return Number(basename(readlinkSync('/proc/thread-self')));
  } catch {
    return 0;
  }
}

function say(event: string, fields: Readonly<Record<string, string | number>>): void {
  try {
    writeSync(
      2,
      `${JSON.stringify({ at: new Date().toISOString(), level: 'debug', event, thread: threadName(), thread_id: threadId, ...fields })}\n`,
    );
  } catch {
    // The pipe is full or closed: this sample is left out, and the engine must not notice.
  }
}

say('probe.thread', { system_id: systemThreadId() });

const seconds = Number(process.env['PARLEY_PROBE_SECONDS'] ?? '0');
if (seconds > 0) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const timer = setInterval(() => {
    collect();
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    const resources = process.getActiveResourcesInfo();
    const count = (pattern: RegExp): number => resources.filter((name) => pattern.test(name)).length;
    say('probe.memory', {
      heap_bytes: heapUsed,
      external_bytes: external,
      array_buffer_bytes: arrayBuffers,
      timers: count(/^(?:Timeout|Immediate)$/),
      sockets: count(/Wrap$/),
      ports: count(/MessagePort/),
    });
  }, seconds * 1000);
  timer.unref();
}
