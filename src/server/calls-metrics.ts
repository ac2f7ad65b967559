/** Main's own figures, in the form in which the other threads give theirs. */
import type { MetricsAnswer } from '../shared/links.js';
import type { Figures, Recorder } from '../telemetry/recorder.js';
import type { Calls } from './calls.js';

const plain = (name: string, value: number): { name: string; labels: string; value: number } => ({ name, labels: '', value });

/** What is known without asking the operating system. */
export function callsFigures(calls: Calls): Figures {
  const { staleFrames, supersededFrames, sentFrames, heldTimes } = calls.counters;
  return {
    gauges: [plain('parley_calls', calls.liveCount), plain('parley_slots_free', calls.freeCount)],
    counters: [
      plain('parley_frames_sent_total', sentFrames),
      plain('parley_frames_stale_total', staleFrames),
      plain('parley_frames_superseded_total', supersededFrames),
      plain('parley_holds_obeyed_total', heldTimes),
    ],
  };
}

/** What the operating system knows of the process. */
export function processGauges(): Figures['gauges'] {
  const { user, system } = process.cpuUsage();
  return [plain('parley_resident_bytes', process.memoryUsage.rss()), plain('parley_cpu_seconds', user / 1e6 + system / 1e6)];
}

export function callsMetrics(calls: Calls, recorder: Recorder): MetricsAnswer {
  const { gauges, counters } = callsFigures(calls);
  return recorder.answer({ id: 0 }, [...gauges, ...processGauges()], counters);
}
