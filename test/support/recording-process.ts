/**
 * A process that records a call of two seconds and comes to grief: `killed` dies in the middle of it; `ended` ends it and prints the facts.
 * `node recording-process.js FOLDER killed|ended`, for `recording.test.ts`.
 */
import { Recordings } from '../../src/api/recording.js';
import { createBlock, Slot } from '../../src/shared/slots.js';
import { RecordedCall } from './recorded-call.js';

export const processConversation = 'conv_process';

const [folder, fate] = process.argv.slice(2);
if (folder !== undefined && fate !== undefined) {
  const slot = new Slot(createBlock(1), 0);
  const call = new RecordedCall(slot);
  const { generation } = call;
  const recordings = new Recordings(
    folder,
    [slot],
    () => undefined,
    () => call.atMs,
  );
  await recordings.start();
  recordings.begin(processConversation, { slot: 0, generation });
  call.onPiece = (piece) => recordings.spoken({ type: 'spoken', slot: 0, generation, ...piece });
  call.say('one two three four five six.');
  for (let turn = 0; turn < 4; turn++) {
    call.run(500);
    await recordings.tick();
  }
  if (fate === 'killed') process.kill(process.pid, 'SIGKILL');
  call.close();
  console.log(JSON.stringify(await recordings.end(processConversation)));
}
