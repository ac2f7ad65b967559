/**
 * Logs: one line of JSON an event, on standard error, with named fields and units. Speech, transcripts and keys stay out of them.
 * Every thread. Repeats of one event by one stage within ten seconds are counted, not repeated.
 */

export const logLevels = ['silent', 'error', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];
export type Log = (event: string, fields?: Record<string, string | number>) => void;

/** Events that are worth a line at `info`; the rest are `debug`. Problems are `error`. */
const infoEvents = new Set([
  'session.opened',
  'session.closed',
  'session.ended',
  'session.refused',
  'agent.warning',
  'engine.ready',
  'thread.restarted',
  'process.restarted',
  'engine.stopping',
]);

const repeatWindowMs = 10_000;
const kindsMax = 1000;

function levelOf(event: string): LogLevel {
  if (event.endsWith('.problem') || event.endsWith('.disorder') || event.endsWith('.failed')) return 'error';
  return infoEvents.has(event) ? 'info' : 'debug';
}

/** Waits for whoever reads the log; beyond it lines are lost, and counted in the next one. */
const waitingBytesMax = 1024 * 1024;

/** `write` gets whole lines; standard error by default, which never holds up anybody. */
export function createLog(level: LogLevel, write: (line: string) => void = boundedWriter(process.stderr)): Log {
  const highest = logLevels.indexOf(level);
  const repeats = new Map<string, { sinceMs: number; count: number }>();
  return (event, fields = {}) => {
    const eventLevel = levelOf(event);
    if (logLevels.indexOf(eventLevel) > highest) return;
    const atMs = Date.now();
    let repeated = 0;
    if (eventLevel === 'error') {
      const key = `${event} ${fields['kind'] ?? ''}`;
      const last = repeats.get(key);
      if (last !== undefined && atMs - last.sinceMs < repeatWindowMs) {
        last.count += 1;
        return;
      }
      repeated = last?.count ?? 0;
      if (repeats.size >= kindsMax) repeats.clear();
      repeats.set(key, { sinceMs: atMs, count: 0 });
    }
    const line = { at: new Date(atMs).toISOString(), level: eventLevel, event, ...fields, ...(repeated > 0 ? { repeated } : {}) };
    write(`${JSON.stringify(line)}\n`);
  };
}

/** Writes lines while no more than a bound of them waits. */
export function boundedWriter(
  target: { readonly writableLength: number; write(line: string): unknown },
  bytesMax = waitingBytesMax,
): (line: string) => void {
  let lost = 0;
  return (line) => {
    if (target.writableLength + line.length > bytesMax) {
      lost += 1;
      return;
    }
    if (lost > 0)
      target.write(`${JSON.stringify({ at: new Date().toISOString(), level: 'error', event: 'log.lost', lines: lost })}\n`);
    lost = 0;
    target.write(line);
  };
}
