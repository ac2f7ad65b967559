/**
 * The start race (C8) as a program: the official JavaScript client opens text conversations one after the other and hears, or misses, the first
 * message. `node start-race.js ORIGIN AGENT COUNT ws|global`; prints how many it heard.
 */
import { WebSocket } from 'ws';

const [origin = '', agentId = '', count = '0', library = 'ws'] = process.argv.slice(2);
/** The first message is there some 30 ms after the start, or never. */
const waitMs = 2000;

if (library === 'ws') Object.assign(globalThis, { WebSocket });
// The client takes what is global when it is loaded.
const { Conversation } = await import('@elevenlabs/client');

let heard = 0;
for (let run = 0; run < Number(count); run++) {
  let resolve: (isHeard: boolean) => void = () => undefined;
  const first = new Promise<boolean>((settle) => {
    resolve = settle;
  });
  const timer = setTimeout(() => resolve(false), waitMs);
  const conversation = await Conversation.startSession({
    agentId,
    textOnly: true,
    origin,
    onMessage: ({ role }) => resolve(role === 'agent'),
  });
  if (await first) heard += 1;
  clearTimeout(timer);
  await conversation.endSession();
}
console.log(heard);
