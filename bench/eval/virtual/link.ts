/** A link between two hosts in one thread: what a `MessagePort` is between two threads. Messages of all links arrive in the order of their posting. */

export class Link<Message> {
  readonly #change: (message: Message) => Message | undefined;
  readonly #queue: Message[] = [];
  #handle: (message: Message) => void = () => undefined;

  /** `change`: what becomes of each message on its way; undefined: it is lost. */
  constructor(change: (message: Message) => Message | undefined = (message) => message) {
    this.#change = change;
  }

  listen(handle: (message: Message) => void): void {
    this.#handle = handle;
  }

  /** The message is copied, as it is between threads, and arrives in a turn of the event loop of its own. */
  readonly post = (message: Message): void => {
    const changed = this.#change(message);
    if (changed === undefined) return;
    this.#queue.push(structuredClone(changed));
    setImmediate(() => {
      const first = this.#queue.shift();
      if (first !== undefined) this.#handle(first);
    });
  };

  /** Takes everything that was posted until now. */
  drain(handle: (message: Message) => void): void {
    for (let first = this.#queue.shift(); first !== undefined; first = this.#queue.shift()) handle(first);
  }
}
