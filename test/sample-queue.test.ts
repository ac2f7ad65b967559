import fc from 'fast-check';
import { test } from 'tap';
import { SampleQueue } from '../src/audio/sample-queue.js';
import { giveBack, lend } from '../src/shared/lent-memory.js';

type Step =
  | { readonly kind: 'append'; readonly queue: number; readonly count: number }
  | { readonly kind: 'silence'; readonly queue: number; readonly count: number }
  | { readonly kind: 'truncate'; readonly queue: number; readonly ratio: number }
  | { readonly kind: 'forget'; readonly queue: number; readonly ratio: number }
  | { readonly kind: 'clear'; readonly queue: number };

const queues = 3;
const queue = fc.nat(queues - 1);
const ratio = fc.double({ min: 0, max: 1.2, noNaN: true });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('append' as const), queue, count: fc.nat(9000) }),
    fc.record({ kind: fc.constant('silence' as const), queue, count: fc.nat(6000) }),
    fc.record({ kind: fc.constant('truncate' as const), queue, ratio }),
    fc.record({ kind: fc.constant('forget' as const), queue, ratio }),
    fc.record({ kind: fc.constant('clear' as const), queue }),
  ),
  { maxLength: 25 },
);

test('queues that share their memory keep their own samples, whatever is appended, cut off and forgotten', (t) => {
  fc.assert(
    fc.property(steps, (list) => {
      const kept = Array.from({ length: queues }, () => ({ queue: new SampleQueue(), expected: [] as number[], start: 0 }));
      let next = 1;
      for (const step of list) {
        const one = kept[step.queue]!;
        if (step.kind === 'append') {
          const chunk = Int16Array.from({ length: step.count }, () => (next++ % 32_000) + 1);
          one.queue.append(chunk);
          // The queue has a copy: what becomes of the chunk is nothing to it.
          one.expected.push(...chunk);
          chunk.fill(-1);
        } else if (step.kind === 'silence') {
          one.queue.appendSilence(step.count);
          one.expected.push(...new Array<number>(step.count).fill(0));
        } else if (step.kind === 'truncate') {
          const end = Math.floor(step.ratio * one.expected.length);
          one.queue.truncate(end);
          one.expected.length = Math.max(one.start, Math.min(one.expected.length, end));
        } else if (step.kind === 'forget') {
          const before = Math.floor(step.ratio * one.expected.length);
          one.queue.forgetBefore(before);
          if (one.queue.start > Math.max(one.start, before)) return false;
          one.start = one.queue.start;
        } else {
          one.queue.clear();
          one.start = one.expected.length;
        }
        for (const { queue: other, expected, start } of kept) {
          if (other.end !== expected.length || other.start !== start) return false;
          const from = start + ((next * 31) % (expected.length - start + 1));
          const into = new Int16Array(5000);
          const count = other.copy(from, into);
          if (count !== Math.min(into.length, expected.length - from)) return false;
          for (let index = 0; index < count; index += 1) if (into[index] !== expected[from + index]) return false;
          if (start > 0 && other.copy(start - 1, into) !== 0) return false;
        }
      }
      return true;
    }),
    { numRuns: 60 },
  );
  t.end();
});

test('lent memory is long enough, is nobody else’s, and is used again when it was given back', (t) => {
  const first = lend(300_000);
  giveBack(first);
  t.equal(lend(299_000), first);
  fc.assert(
    fc.property(fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 500_000 }), isReturned: fc.boolean() })), (wishes) => {
      const out = new Set<ArrayBuffer>();
      for (const { bytes, isReturned } of wishes) {
        const memory = lend(bytes);
        if (memory.byteLength < bytes || out.has(memory)) return false;
        out.add(memory);
        if (!isReturned) continue;
        giveBack(memory);
        out.delete(memory);
      }
      return true;
    }),
  );
  t.end();
});

test('beyond what a thread keeps for ever, samples are kept and forgotten all the same', (t) => {
  const queue = new SampleQueue();
  const chunk = new Int16Array(100_003);
  // 40 MB, of which 32 are shared blocks.
  const chunks = 200;
  for (let round = 1; round <= 2; round += 1) {
    const from = queue.end;
    for (let index = 0; index < chunks; index += 1) queue.append(chunk.fill(round * 1000 + index));
    const found = new Int16Array(1);
    const wrong = Array.from({ length: chunks }, (_, index) => {
      queue.copy(from + index * chunk.length, found);
      return found[0] === round * 1000 + index;
    }).filter((isRight) => !isRight);
    t.equal(wrong.length, 0);
    queue.clear();
    t.equal(queue.end - queue.start, 0);
  }
  t.end();
});
