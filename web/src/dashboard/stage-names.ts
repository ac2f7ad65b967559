/** Stages as people call them, in the order of a turn. What is not here is shown under its own name. Pure. */

const known: readonly (readonly [name: string, label: string])[] = [
  ['speech_end_to_first_frame_sent', 'Speech end → first audio sent'],
  ['endpoint_lateness', 'Endpoint delay over → commit'],
  ['engine_overhead', 'of which the engine itself'],
  ['onset_to_hold', 'Onset → HOLD'],
  ['hold_to_verdict', 'HOLD → verdict'],
  ['decision_to_last_frame', 'Decision → last frame sent'],
  ['decision_to_interruption_sent', 'Decision → interruption sent'],
  ['estimated_tail', 'Decision → silence at the client'],
  ['resume_hole', 'Hole after a false alarm'],
  ['speech_end_to_final', 'Speech end → final transcript'],
  ['speech_end_to_commit', 'Speech end → turn committed'],
  ['commit_to_first_token', 'Commit → first token'],
  ['first_token_to_first_segment', 'First token → first segment'],
  ['first_segment_to_first_chunk', 'First segment → first chunk'],
  ['first_chunk_to_first_frame_sent', 'First chunk → first frame sent'],
  ['tool_call', 'Tool call'],
  ['vad_lag', 'VAD lag'],
  ['vad_pass', 'VAD pass'],
  ['pacing_jitter', 'Pacing jitter'],
  ['input_ring', 'Input ring, unread'],
  ['vad_batch', 'VAD batch, sessions'],
  ['output_ring_frames', 'Output ring, frames'],
  ['client_round_trip', 'Client round trip'],
  ['store_write', 'Store write'],
  ['rest_request', 'REST request'],
];
const labels = new Map(known);
const order = new Map(known.map(([name], index) => [name, index]));

/** Histograms that count something; all others are microseconds. */
const sizes: ReadonlySet<string> = new Set(['vad_batch', 'output_ring_frames']);
export const isTimed = (name: string): boolean => !sizes.has(name);

export function stageLabel(name: string): string {
  const [stage = name, thread] = name.split('/');
  if (stage === 'loop_delay' && thread !== undefined) return `Event-loop delay, ${thread}`;
  return labels.get(name) ?? name.replaceAll('_', ' ');
}

/** Known stages in the order of a turn, then the others by name. */
export function inOrder(names: Iterable<string>): string[] {
  const placeOf = (name: string): number => order.get(name) ?? known.length;
  return [...names].sort((left, right) => placeOf(left) - placeOf(right) || left.localeCompare(right));
}
