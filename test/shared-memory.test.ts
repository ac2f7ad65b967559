import fc from 'fast-check';
import { test } from 'tap';
import { FrameReader, type FrameStamp, FrameWriter } from '../src/shared/frames.js';
import { copyOut, InputReader, InputWriter } from '../src/shared/ring.js';
import {
  Cell,
  claim,
  createBlock,
  createBoard,
  framePayloadBytes,
  inputRingSamples,
  outputRingFrames,
  Slot,
} from '../src/shared/slots.js';

/** A slot between two others, whose memory must never change. */
function guardedSlot(): { slot: Slot; generation: number; neighboursAreUntouched: () => boolean } {
  const block = createBlock(3);
  const slot = new Slot(block, 1);
  const neighbours = [new Slot(block, 0), new Slot(block, 2)];
  const bytes = new Uint8Array(block.buffer);
  const start = slot.cells.byteOffset;
  const end = neighbours[1]!.cells.byteOffset;
  bytes.fill(0xa5, 0, start);
  bytes.fill(0x5a, end);
  const isWhole = (from: number, to: number, value: number): boolean => bytes.subarray(from, to).every((byte) => byte === value);
  return {
    slot,
    generation: claim(slot),
    neighboursAreUntouched: () => isWhole(0, start, 0xa5) && isWhole(end, bytes.length, 0x5a),
  };
}

/** Sample at position `index` of a counting sequence. */
const sequence = (index: number): number => ((index * 31) & 0x7fff) - 0x4000;

function fill(chunk: Int16Array, from: number): Int16Array {
  for (let index = 0; index < chunk.length; index++) chunk[index] = sequence(from + index);
  return chunk;
}

test('the input ring gives every reader every sample in order, or says how many it skipped', (t) => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ is: fc.constant('write' as const), count: fc.integer({ min: 0, max: 40_000 }) }),
      fc.record({ is: fc.constant('silence' as const), count: fc.integer({ min: 1, max: 5000 }) }),
      fc.record({
        is: fc.constant('read' as const),
        count: fc.integer({ min: 1, max: 6000 }),
        reader: fc.integer({ min: 0, max: 1 }),
      }),
    ),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(steps, (script) => {
      const { slot, neighboursAreUntouched } = guardedSlot();
      const writer = new InputWriter(slot);
      const readers = [new InputReader(slot, Cell.vadRead), new InputReader(slot, Cell.sttRead)];
      const silent: [number, number][] = [];
      const expected = (position: number): number =>
        silent.some(([from, to]) => position >= from && position < to) ? 0 : sequence(position);
      for (const item of script) {
        if (item.is === 'write') writer.write(fill(new Int16Array(item.count), writer.written));
        if (item.is === 'silence') {
          silent.push([writer.written, writer.written + item.count]);
          writer.writeSilence(item.count);
        }
        if (item.is === 'read') {
          const reader = readers[item.reader]!;
          const before: number = reader.position;
          const missedBefore = reader.overrunSamples;
          const into = new Int16Array(item.count);
          const skipped = reader.read(into);
          const jumped = reader.overrunSamples - missedBefore;
          if (skipped < 0) {
            if (reader.position !== before + jumped || reader.available() >= item.count) return false;
            continue;
          }
          if (skipped !== jumped || reader.position !== before + skipped + item.count) return false;
          if (into.some((sample, index) => sample !== expected(before + skipped + index))) return false;
          reader.publish();
        }
      }
      return neighboursAreUntouched();
    }),
    { numRuns: 150 },
  );
  t.pass('150 random scripts');
  t.end();
});

test('a reader that is too slow jumps to the newest second and counts what it missed', (t) => {
  const { slot } = guardedSlot();
  const writer = new InputWriter(slot);
  const reader = new InputReader(slot, Cell.vadRead);
  writer.write(fill(new Int16Array(inputRingSamples * 2), 0));
  const into = new Int16Array(512);
  t.equal(reader.read(into), inputRingSamples * 2 - 16000);
  t.equal(reader.overrunSamples, inputRingSamples * 2 - 16000);
  t.equal(into[0], sequence(inputRingSamples * 2 - 16000));
  t.notOk(copyOut(slot, 0, into), 'what was overwritten is not given out');
  t.end();
});

const stamp = (position: number, generation = 1): FrameStamp => ({
  generation,
  epoch: position % 7,
  take: position % 3,
  eventId: position + 1,
  speech: position % 5,
  afterControl: position % 11,
  position,
  sampleCount: 640,
  isLast: position % 2 === 0 ? 0 : 1,
  isTail: position % 13 === 0 ? 1 : 0,
  scheduledAtMs: position + 0.25,
});

test('the output ring keeps order, stamps and bytes, and refuses when it is full', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 1, max: framePayloadBytes }), fc.constant('read' as const)), { maxLength: 80 }),
      (script) => {
        const { slot, neighboursAreUntouched } = guardedSlot();
        const writer = new FrameWriter(slot);
        const reader = new FrameReader(slot);
        const sent: { stamp: FrameStamp; size: number }[] = [];
        let next = 0;
        for (const item of script) {
          if (item === 'read') {
            const frame = reader.peek();
            const oldest = sent.shift();
            if (frame === undefined || oldest === undefined) {
              if (frame !== undefined || oldest !== undefined) return false;
              continue;
            }
            const { payload, alignment, ...fields } = frame;
            if (JSON.stringify(fields) !== JSON.stringify(oldest.stamp)) return false;
            if (payload.length !== oldest.size || payload.some((byte) => byte !== (oldest.stamp.position & 0xff))) return false;
            if (alignment.length !== 3) return false;
            reader.advance();
            continue;
          }
          const accepted = writer.push(stamp(next), new Uint8Array(item).fill(next & 0xff), new Uint8Array(3));
          if (accepted !== sent.length < outputRingFrames) return false;
          if (accepted) sent.push({ stamp: stamp(next), size: item });
          next += 1;
        }
        return neighboursAreUntouched();
      },
    ),
    { numRuns: 150 },
  );
  t.pass('150 random scripts');
  t.end();
});

test('a slot given out again has a new generation and clean cells', (t) => {
  const { slot, generation } = guardedSlot();
  slot.store(Cell.epoch, 9);
  slot.store(Cell.holdsRaised, 3);
  t.ok(slot.held);
  t.equal(claim(slot), generation + 1);
  t.equal(slot.load(Cell.epoch), 0);
  t.equal(slot.load(Cell.startHops), 2);
  t.notOk(slot.held);
  t.equal(createBoard().length, 128);
  t.throws(() => createBlock(0), /slotCount/);
  t.throws(() => new Slot(createBlock(2), 2), /inside the block/);
  t.end();
});
