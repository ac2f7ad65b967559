/** Stands at the far end of `api-thread.test.ts`: greets every lane, and ends when it is told so. */
import { type MessagePort, workerData } from 'node:worker_threads';

type Start = {
  readonly control: MessagePort;
  readonly ports: { main: MessagePort; conversations: MessagePort[]; voices: MessagePort[] };
  readonly life: number;
};

const { control, ports, life } = workerData as Start;
for (const port of [...ports.conversations, ...ports.voices]) port.postMessage({ life });
ports.main.on('message', (message: { path?: string }) => {
  if (message.path === '/die') throw new Error('told to die');
  ports.main.postMessage({ type: 'http_answer', id: 1, status: life, headers: {}, body: new Uint8Array(0), isLast: true });
});
control.on('message', () => process.exit(0));
