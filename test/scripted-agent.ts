/**
 * A small server of the public protocol for tests of the client side: a tone for a voice, energy for a recogniser. It has no timers: the frames
 * of the caller's microphone, 20 ms each, are its clock, so a test shows what a caller did and not what two machines' timers did.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

export type AgentScript = {
  /** Length of each reply, the first being the greeting; the last is used again. 0 means no reply. */
  readonly replyMs: readonly number[];
  /** What may be broken on purpose. */
  readonly fault?:
    | 'no metadata'
    | 'refuse'
    | 'bad metadata'
    | 'stale audio'
    | 'hang up'
    | 'odd audio'
    | 'repeats itself'
    | 'understands nothing';
};

const chunkMs = 40;
const leadMs = 120;
/** Frames of loud microphone: that make us pause, that make us stop; and of silence that end a turn or resume. */
const [pauseFrames, stopFrames, quietFrames] = [3, 15, 12];

export class ScriptedAgent {
  readonly url: string;
  /** Every client message except audio. */
  readonly received: Record<string, unknown>[] = [];
  readonly protocols: string[] = [];
  audioMessages = 0;
  readonly #server: WebSocketServer;

  static async start(script: AgentScript): Promise<ScriptedAgent> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    return new ScriptedAgent(server, script);
  }

  private constructor(server: WebSocketServer, script: AgentScript) {
    this.#server = server;
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket, request) => {
      this.protocols.push(String(request.headers['sec-websocket-protocol']));
      this.#converse(socket, script);
    });
  }

  async close(): Promise<void> {
    for (const client of this.#server.clients) client.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #converse(socket: WebSocket, script: AgentScript): void {
    const send = (message: unknown) => socket.send(JSON.stringify(message));
    let [frames, loud, quiet, nextId, replies] = [0, 0, 0, 1, 0];
    let heardTurn = false;
    let owesAnswer = false;
    let reply: { id: number; lengthMs: number; sentMs: number; startFrame: number; isPaused: boolean } | undefined;

    const speak = () => {
      const lengthMs = script.replyMs[Math.min(replies, script.replyMs.length - 1)]!;
      replies += 1;
      reply = lengthMs === 0 ? undefined : { id: nextId++, lengthMs, sentMs: 0, startFrame: frames, isPaused: false };
      if (reply !== undefined)
        send({ type: 'agent_response', agent_response_event: { agent_response: `Reply ${replies}.`, event_id: reply.id } });
    };
    const tone = (id: number, fromMs: number, lengthMs: number, peak = 8000) => {
      const samples = Int16Array.from({ length: lengthMs * 16 + (script.fault === 'odd audio' ? 1 : 0) }, (_, i) =>
        Math.round(peak * Math.sin((i + fromMs * 16) * 0.2)),
      );
      const bytes = Buffer.from(samples.buffer).subarray(0, script.fault === 'odd audio' ? lengthMs * 32 - 1 : undefined);
      send({ type: 'audio', audio_event: { audio_base_64: bytes.toString('base64'), event_id: id } });
    };
    const stop = () => {
      const cut = reply!;
      reply = undefined;
      send({ type: 'interruption', interruption_event: { event_id: nextId++ } });
      tone(nextId++, 0, 10, 0);
      if (script.fault === 'stale audio') tone(cut.id, cut.sentMs, chunkMs);
    };
    const answer = () => {
      send({
        type: 'user_transcript',
        user_transcription_event: {
          user_transcript: script.fault === 'understands nothing' ? '[unintelligible]' : `turn before reply ${replies + 1}`,
          event_id: nextId++,
        },
      });
      if (script.fault === 'hang up') socket.close(1002, 'the agent has gone');
      else speak();
    };
    const onFrame = (samples: Int16Array) => {
      frames += 1;
      const isLoud = Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length) > 300;
      loud = isLoud ? loud + 1 : 0;
      quiet = isLoud ? 0 : quiet + 1;
      if (isLoud && reply === undefined) heardTurn = true;
      if (reply !== undefined) {
        if (loud >= pauseFrames) reply.isPaused = true;
        if (loud >= stopFrames) {
          stop();
          heardTurn = true;
        } else if (quiet >= quietFrames) reply.isPaused = false;
      }
      if (heardTurn && quiet >= quietFrames) {
        heardTurn = false;
        // The reply before once more, before the caller is answered.
        if (script.fault === 'repeats itself') {
          owesAnswer = true;
          speak();
        } else answer();
      }
      if (owesAnswer && reply === undefined) {
        owesAnswer = false;
        answer();
      }
      if (frames === 3) speak();
      if (frames % 25 === 0) send({ type: 'ping', ping_event: { event_id: frames / 25, ping_ms: null } });
      while (reply !== undefined && !reply.isPaused && reply.sentMs < (frames - reply.startFrame) * 20 + leadMs) {
        tone(reply.id, reply.sentMs, chunkMs);
        reply.sentMs += chunkMs;
        if (reply.sentMs >= reply.lengthMs) reply = undefined;
      }
    };
    socket.on('message', (data) => {
      const message = JSON.parse(data.toString()) as Record<string, unknown>;
      if (typeof message['user_audio_chunk'] === 'string') {
        this.audioMessages += 1;
        const bytes = Buffer.from(message['user_audio_chunk'], 'base64');
        onFrame(Int16Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readInt16LE(2 * i)));
        return;
      }
      this.received.push(message);
      if (message['type'] !== 'conversation_initiation_client_data' || script.fault === 'no metadata') return;
      if (script.fault === 'refuse') {
        socket.close(3000, 'unknown agent');
        return;
      }
      const format = script.fault === 'bad metadata' ? 'mp3_44100' : 'pcm_16000';
      send({
        type: 'conversation_initiation_metadata',
        conversation_initiation_metadata_event: {
          conversation_id: 'conv_test',
          agent_output_audio_format: format,
          user_input_audio_format: 'pcm_16000',
        },
      });
    });
  }
}
