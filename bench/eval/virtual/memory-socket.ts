/**
 * Two ends of a connection in one process: what a TCP socket is to HTTP and WebSocket code, without a network. What one end writes reaches the
 * other in a turn of the event loop of its own, in order.
 */
import { Duplex } from 'node:stream';

/** As much as a kernel keeps for a slow reader, about. */
const bufferBytes = 256 * 1024;

/** One end. Time limits of sockets are those of the system's clock, which nobody here waits for. */
export class MemorySocket extends Duplex {
  readonly remoteAddress = '127.0.0.1';
  #peer: MemorySocket | undefined;
  /** Answers a write that waits for the other end to read. */
  #written: (() => void) | undefined;
  #isFinished = false;

  private constructor(allowHalfOpen: boolean) {
    super({ allowHalfOpen, readableHighWaterMark: bufferBytes, writableHighWaterMark: bufferBytes });
  }

  /** `server` may go on writing after the client has ended, as Node's servers want it. */
  static pair(): { readonly client: MemorySocket; readonly server: MemorySocket } {
    const [client, server] = [new MemorySocket(false), new MemorySocket(true)];
    client.#peer = server;
    server.#peer = client;
    return { client, server };
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  resetAndDestroy(): this {
    const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    this.#tell((peer) => peer.destroy(reset));
    return this.destroy();
  }

  override _read(): void {
    if (this.#peer !== undefined) this.#peer.#release();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error) => void): void {
    if (this.#peer === undefined || this.#peer.destroyed) {
      callback(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
      return;
    }
    // A copy: whoever reads may work on the bytes in place.
    const bytes = Buffer.from(chunk);
    this.#tell((peer) => {
      if (peer.destroyed || peer.push(bytes)) callback();
      // Full: the write is answered when the peer reads.
      else this.#written = callback;
    });
  }

  override _final(callback: () => void): void {
    this.#finish();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#finish();
    this.#release();
    if (this.#peer !== undefined) this.#peer.#release();
    callback(error);
  }

  /** Does something to the other end, when that has seen all there was before. */
  #tell(run: (peer: MemorySocket) => void): void {
    const peer = this.#peer;
    if (peer === undefined) return;
    setImmediate(() => run(peer));
  }

  #release(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  #finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#tell((peer) => {
      if (!peer.destroyed && !peer.readableEnded) peer.push(null);
    });
  }
}
