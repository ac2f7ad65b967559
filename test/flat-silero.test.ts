import { readFile } from 'node:fs/promises';
import { test } from 'tap';
import { hopSamples } from '../src/shared/units.js';
import { loadFlite } from '../src/tts/embedded/flite.js';
import { flatSilero } from '../src/vad/flat-silero.js';
import { contextSamples, defaultModelPath, ModelBatch, rowSamples, SileroModel } from '../src/vad/model.js';

const file = await readFile(defaultModelPath());
const speech = (await loadFlite()).synthesise('Good morning, I would like to book a table for four people on Friday.').audio;

test('the plain graph answers as the file does, hop after hop, whatever the number of rows', async (t) => {
  const flat = await SileroModel.load();
  const asItIs = await SileroModel.loadAsItIs(defaultModelPath(), file);
  for (const rows of [1, 3, 16, 67]) {
    const [left, right] = [new ModelBatch(rows), new ModelBatch(rows)];
    let worst = 0;
    let heard = 0;
    for (let hop = 0; hop < 30; hop += 1) {
      for (const batch of [left, right]) {
        for (let row = 0; row < rows; row += 1) {
          // Each row is somewhere else in the speech, and at another level.
          const from = (row * 977) % 20_000;
          for (let index = 0; index < rowSamples; index += 1) {
            const at = from + hop * hopSamples + index - contextSamples;
            batch.input[row * rowSamples + index] = at < 0 ? 0 : (speech[at] ?? 0) / 32768 / (1 + (row % 5));
          }
        }
        batch.state.set(batch.nextState.subarray(0, batch.state.length));
      }
      await flat.run(left, rows);
      await asItIs.run(right, rows);
      for (let row = 0; row < rows; row += 1) {
        worst = Math.max(worst, Math.abs(left.output[row]! - right.output[row]!));
        heard = Math.max(heard, left.output[row]!);
      }
    }
    t.ok(heard > 0.9, `${rows} rows: there is speech in them`);
    t.ok(worst < 1e-5, `${rows} rows: at most ${worst} apart`);
  }
  await flat.close();
  await asItIs.close();
});

test('a file without those weights is left as it is', (t) => {
  t.equal(flatSilero(new Uint8Array(0)), undefined);
  t.equal(flatSilero(Uint8Array.from({ length: 5000 }, (_, index) => (index * 31) % 256)), undefined);
  for (const length of [100, 5000, file.length - 1])
    t.equal(flatSilero(file.subarray(0, length)), undefined, `cut off at ${length}`);
  const renamed = Buffer.from(file);
  // One of the names is another: the weight is missing.
  for (
    let at = renamed.indexOf('encoder.2.reparam_conv.bias');
    at >= 0;
    at = renamed.indexOf('encoder.2.reparam_conv.bias', at + 1)
  )
    renamed[at] = 0x78;
  t.equal(flatSilero(renamed), undefined);
  t.end();
});
