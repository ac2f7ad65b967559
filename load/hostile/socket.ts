/**
 * One hostile connection: its handshake and frames are written by hand, since no library would send them. Sees how the engine ends it, and ends
 * for good then; whoever owns it opens another. Runs on the sender's thread.
 */
import { connect, type Socket } from 'node:net';

const path = '/v1/convai/conversation?source=hostile';
const headBytesMax = 16_384;
/** A connection that has not been answered for this long is given up; the engine has its own, shorter patience. */
const answerWaitMs = 20_000;

export type Address = { readonly host: string; readonly port: number };

/** `101` for a proper upgrade, else the HTTP status. */
export function upgradeHead(host: string): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: aG9zdGlsZSBjbGllbnQhIQ==',
    'Sec-WebSocket-Version: 13',
    '',
    '',
  ].join('\r\n');
}

/** `how`: HTTP status of a refusal, code of a close frame, or `cut` when the connection just ended. */
export type Ending = { readonly how: string };

export class HostileSocket {
  /** The engine has accepted the upgrade. */
  isOpen = false;
  readonly #socket: Socket;
  readonly #onEnd: (ending: Ending) => void;
  readonly #reader = new ServerFrames();
  #head = '';
  #hasEnded = false;
  #timer: NodeJS.Timeout;

  constructor(address: Address, onOpen: () => void, onEnd: (ending: Ending) => void) {
    this.#onEnd = onEnd;
    this.#timer = setTimeout(() => this.#end('no answer'), answerWaitMs);
    this.#socket = connect({ ...address, noDelay: true });
    this.#socket.write(upgradeHead(address.host));
    this.#socket.on('data', (data) => {
      if (this.isOpen) {
        this.#read(data);
        return;
      }
      this.#head += data.toString('latin1');
      const headEnd = this.#head.indexOf('\r\n\r\n');
      if (headEnd < 0 && this.#head.length < headBytesMax) return;
      clearTimeout(this.#timer);
      const status = /^HTTP\/1\.1 (\d+)/.exec(this.#head)?.[1] ?? 'no HTTP';
      if (status !== '101') {
        this.#end(status);
        return;
      }
      this.isOpen = true;
      onOpen();
      this.#read(Buffer.from(this.#head.slice(headEnd + 4), 'latin1'));
      this.#head = '';
    });
    // An error is followed by `close`; how the engine cut the connection makes no difference here.
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('close', () => this.#end('cut'));
  }

  /** Bytes that the engine has not taken yet. */
  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  send(bytes: Uint8Array): void {
    if (!this.#hasEnded) this.#socket.write(bytes);
  }

  /** Goes without a word. */
  drop(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#socket.destroy();
  }

  /** A close frame is not answered. */
  #read(data: Buffer): void {
    this.#reader.push(data);
    if (this.#reader.closeCode !== undefined) this.#end(`${this.#reader.closeCode}`);
  }

  #end(how: string): void {
    if (this.#hasEnded) return;
    this.drop();
    this.#onEnd({ how });
  }
}

/** Walks over the engine's frames and keeps nothing but the code of its close frame. */
export class ServerFrames {
  closeCode: number | undefined;
  /** What is left of a frame's head, and payload still to be passed over. */
  #rest: Buffer = Buffer.alloc(0);
  #skip = 0;

  push(data: Buffer): void {
    const passed = Math.min(this.#skip, data.length);
    this.#skip -= passed;
    if (passed === data.length) return;
    let bytes = Buffer.concat([this.#rest, data.subarray(passed)]);
    for (;;) {
      const head = headOf(bytes);
      if (head === undefined) break;
      const isClose = (bytes[0]! & 0x0f) === 8;
      if (isClose && bytes.length < head.headBytes + Math.min(2, head.payloadBytes)) break;
      if (isClose) this.closeCode ??= head.payloadBytes < 2 ? 1005 : bytes.readUInt16BE(head.headBytes);
      const frameBytes = head.headBytes + head.payloadBytes;
      this.#skip = Math.max(0, frameBytes - bytes.length);
      bytes = bytes.subarray(Math.min(frameBytes, bytes.length));
    }
    this.#rest = Buffer.from(bytes);
  }
}

/** Undefined while the head is not all there. Servers do not mask. */
function headOf(bytes: Buffer): { headBytes: number; payloadBytes: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes[1]! & 0x7f;
  if (short < 126) return { headBytes: 2, payloadBytes: short };
  const headBytes = short === 126 ? 4 : 10;
  if (bytes.length < headBytes) return undefined;
  return { headBytes, payloadBytes: short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2)) };
}
