/** Main's own figures, in the form in which the other threads give theirs. */
import type { MetricsAnswer, MetricsAsk } from '../shared/links.js';
import type { Recorder } from '../telemetry/recorder.js';
import type { Calls } from './calls.js';

export function callsMetrics(calls: Calls, recorder: Recorder, form: MetricsAsk['form']): MetricsAnswer {
  const { staleFrames, supersededFrames, sentFrames, heldTimes } = calls.counters;
  const memory = process.memoryUsage();
  const plain = (name: string, value: number): { name: string; labels: string; value: number } => ({ name, labels: '', value });
  return recorder.answer(
    { id: 0, form },
    [
      plain('parley_calls', calls.liveCount),
      plain('parley_slots_free', calls.freeCount),
      plain('parley_resident_bytes', memory.rss),
      plain('parley_cpu_seconds', process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6),
    ],
    [
      plain('parley_frames_sent_total', sentFrames),
      plain('parley_frames_stale_total', staleFrames),
      plain('parley_frames_superseded_total', supersededFrames),
      plain('parley_holds_obeyed_total', heldTimes),
    ],
  );
}
