/** A client that writes down what it receives and sends whatever it is told to, valid or not. Runs on the rig's thread. */
import WebSocket from 'ws';
import { EngineError } from '../../src/shared/errors.js';

const waitMs = 15_000;
const samplesPerMs = 16;

export type Received = { readonly type: string; readonly atMs: number; readonly body: Record<string, Record<string, unknown>> };
export type Closed = { readonly code: number; readonly reason: string; readonly atMs: number };
export type Turn = { readonly text: string; readonly eventId: unknown };

export class Client {
  readonly socket: WebSocket;
  readonly received: Received[] = [];
  closed: Closed | undefined;
  readonly #waiters = new Set<() => void>();

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data) => {
      const body = JSON.parse(data.toString()) as Record<string, Record<string, unknown>>;
      this.received.push({ type: String(body['type']), atMs: performance.now(), body });
      if (String(body['type']) === 'ping') this.send({ type: 'pong', event_id: body['ping_event']!['event_id'] });
      this.#wake();
    });
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString(), atMs: performance.now() };
      this.#wake();
    });
    // What went wrong shows in how it closed.
    socket.on('error', () => undefined);
  }

  /** Opens the socket and, unless told otherwise, begins the call. Fails with `rejected` and the HTTP status when it is refused. */
  static open(url: string, agentId: string, initiation: object | false = {}): Promise<Client> {
    const socket = new WebSocket(`${url.replace(/\/$/, '')}/v1/convai/conversation?agent_id=${agentId}`, ['convai'], {
      perMessageDeflate: false,
    });
    return new Promise((resolve, reject) => {
      socket.once('unexpected-response', (_request, response) => {
        const fields = { status: response.statusCode ?? 0, retryAfter: String(response.headers['retry-after'] ?? '') };
        let text = '';
        response.on('data', (data: Buffer) => (text += data.toString()));
        response.on('end', () => reject(new EngineError('rejected', `${fields.status} ${text}`, { fields })));
      });
      socket.once('error', (cause) => reject(new EngineError('refused', cause.message, { cause })));
      socket.once('open', () => {
        socket.removeAllListeners('error');
        const client = new Client(socket);
        if (initiation !== false) client.send({ type: 'conversation_initiation_client_data', ...initiation });
        resolve(client);
      });
    });
  }

  send(message: unknown): void {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const isRaw = typeof message === 'string' || message instanceof Uint8Array;
    this.socket.send(isRaw ? message : JSON.stringify(message));
  }

  /** Resolves with the first answer of `look` that is not undefined; fails when the connection ends or the time is over without one. */
  until<Answer>(what: string, look: () => Answer | undefined, timeoutMs = waitMs): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const finish = (answer: Answer | undefined, why: string): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        if (answer === undefined) reject(new EngineError('broken', `no ${what}: ${why}; received ${this.kinds()}`));
        else resolve(answer);
      };
      const waiter = (): void => {
        const answer = look();
        if (answer !== undefined) finish(answer, '');
        else if (this.closed !== undefined) finish(undefined, `closed with ${this.closed.code} "${this.closed.reason}"`);
      };
      const timer = setTimeout(() => finish(look(), `${timeoutMs} ms passed`), timeoutMs);
      this.#waiters.add(waiter);
      waiter();
    });
  }

  /** The fields of the first event of `type` after `skip` others. */
  async event(type: string, skip = 0, timeoutMs = waitMs): Promise<Record<string, unknown>> {
    const found = await this.until(type, () => this.of(type)[skip], timeoutMs);
    return Object.entries(found.body).find(([key]) => key !== 'type')?.[1] ?? {};
  }

  ended(timeoutMs = waitMs): Promise<Closed> {
    return this.until('close', () => this.closed, timeoutMs);
  }

  of(type: string): Received[] {
    return this.received.filter((item) => item.type === type);
  }

  kinds(): string {
    return [...new Set(this.received.map(({ type }) => type))].join(' ') || 'nothing';
  }

  /** One typed turn: its answer. */
  async ask(text: string, timeoutMs = waitMs): Promise<Turn> {
    const before = this.of('agent_response').length;
    this.send({ type: 'user_message', text });
    const answer = await this.event('agent_response', before, timeoutMs);
    return { text: String(answer['agent_response']), eventId: answer['event_id'] };
  }

  audioOf(turn: Turn): Received[] {
    return this.of('audio').filter((item) => item.body['audio_event']!['event_id'] === turn.eventId);
  }

  async firstAudio(turn: Turn): Promise<number> {
    return (await this.until('audio', () => this.audioOf(turn)[0])).atMs;
  }

  /** Samples of the whole reply. */
  async heardOut(turn: Turn): Promise<number> {
    await this.until('end of the reply', () =>
      this.of('agent_response_complete').find((item) =>
        Object.values(item.body).some((fields) => fields['event_id'] === turn.eventId),
      ),
    );
    return this.audioOf(turn).reduce((sum, item) => sum + samplesOf(item), 0);
  }

  /** How a player fares that starts with the first frame: its longest wait for sound, and the most it ever had in hand, ms. */
  playback(): { holeMs: number; leadMs: number; frames: number } {
    const frames = this.of('audio');
    let playEndMs = frames[0]?.atMs ?? 0;
    let [holeMs, leadMs] = [0, 0];
    for (const frame of frames) {
      holeMs = Math.max(holeMs, frame.atMs - playEndMs);
      playEndMs = Math.max(playEndMs, frame.atMs) + samplesOf(frame) / samplesPerMs;
      leadMs = Math.max(leadMs, playEndMs - frame.atMs);
    }
    return { holeMs, leadMs, frames: frames.length };
  }

  async close(): Promise<void> {
    if (this.closed !== undefined) return;
    this.socket.close(1000);
    await this.ended().catch(() => this.socket.terminate());
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter();
  }
}

function samplesOf(frame: Received): number {
  return Buffer.byteLength(String(frame.body['audio_event']!['audio_base_64']), 'base64') >> 1;
}
