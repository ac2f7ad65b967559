/** A link between two hosts in one thread: what a `MessagePort` is between two threads. Messages of all links arrive in the order of their posting. */
import type { Change } from './variation.js';

export class Link<Message extends object> {
  readonly #change: Change<Message>;
  readonly #queue: Message[] = [];
  #handle: (message: Message) => void = () => undefined;

  constructor(change: Change<Message> = (message) => message) {
    this.#change = change;
  }

  listen(handle: (message: Message) => void): void {
    this.#handle = handle;
  }

  /** The message is copied, as it is between threads, and arrives in a turn of the event loop of its own. */
  readonly post = (message: Message): void => {
    const changed = this.#change(message);
    if (changed === undefined) return;
    for (const each of isList(changed) ? changed : [changed]) {
      this.#queue.push(structuredClone(each));
      setImmediate(() => {
        const first = this.#queue.shift();
        if (first !== undefined) this.#handle(first);
      });
    }
  };

  /** Takes everything that was posted until now. */
  drain(handle: (message: Message) => void): void {
    for (let first = this.#queue.shift(); first !== undefined; first = this.#queue.shift()) handle(first);
  }
}

function isList<Message extends object>(changed: Message | readonly Message[]): changed is readonly Message[] {
  return Array.isArray(changed);
}
