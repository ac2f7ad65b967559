/**
 * The near end of a link whose far thread may be started anew: `renew` puts a fresh port in the place of the dead one. What was posted to
 * the dead one is lost, and so are its answers; whoever waits for an answer has a deadline of its own. Evented threads.
 */
import type { MessagePort, Transferable } from 'node:worker_threads';

export class RenewablePort<Out, In> {
  readonly #listen: (message: In) => void;
  #port: MessagePort;

  constructor(port: MessagePort, listen: (message: In) => void) {
    this.#listen = listen;
    this.#port = port;
    port.on('message', listen);
  }

  /** Harmless when nobody is there. `transfer`: buffers that are given away. */
  post(message: Out, transfer: readonly Transferable[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  renew(port: MessagePort): void {
    this.#port.close();
    this.#port = port;
    port.on('message', this.#listen);
  }

  close(): void {
    this.#port.close();
  }
}
