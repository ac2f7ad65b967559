/**
 * What a hostile client sends once its socket is open: malformed messages, oversized ones, messages that try to be expensive, and WebSocket frames
 * that break the rules. Pure; the same numbers give the same bytes. Runs on the sender's thread.
 */
import type { Random } from '../providers/seeded.js';
import { pickOf } from '../providers/seeded.js';

/** RFC 6455, section 5.2. */
export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9 } as const;

/** One frame before masking. `isFinal`: the message ends with it. */
export type Frame = {
  readonly opcode: number;
  readonly payload: Uint8Array;
  readonly isFinal?: boolean;
  /** Reserved bits, 0..7; none may be set. */
  readonly reserved?: number;
  /** Clients must mask; this one does not. */
  readonly isUnmasked?: boolean;
};

export type Kind = {
  readonly name: string;
  /** How often, in relation to the others. */
  readonly weight: number;
  readonly make: (random: Random) => Frame;
};

const text = (message: string): Frame => ({ opcode: opcodes.text, payload: Buffer.from(message) });
const json = (message: unknown): Frame => text(JSON.stringify(message));
const upTo = (random: Random, most: number): number => Math.floor(random() * most);

/** Bytes that are no sound, the same for every message: making fresh ones would cost the sender more than they cost the engine. */
const noise = Buffer.from(Uint8Array.from({ length: 1024 * 1024 }, (_, index) => Math.imul(index + 1, 2_654_435_761) >>> 24));
const noiseText = noise.toString('base64');
const chunk = (byteCount: number): string => noise.toString('base64', 0, byteCount);

const initiation = {
  type: 'conversation_initiation_client_data',
  conversation_config_override: { agent: { prompt: { prompt: 'Be terse.' } }, tts: { speed: 1 } },
  dynamic_variables: { name: 'Bo', secret__key: 'k' },
};
const proper: readonly object[] = [
  initiation,
  { type: 'pong', event_id: 3 },
  { type: 'contextual_update', text: 'cart total is 42', context_id: 'cart' },
  { type: 'client_tool_result', tool_call_id: 'call_1', result: '{"ok":true}', is_error: false },
  { type: 'multimodal_message', text: { type: 'user_message', text: 'see' }, files: [{ type: 'file_input', file_id: 'f' }] },
  { type: 'feedback', event_id: 2, score: 'like' },
];

/** A proper message cut short, or with a few bytes replaced. */
function broken(random: Random): Frame {
  const bytes = Buffer.from(JSON.stringify(pickOf(random, proper)));
  if (random() < 0.5) return { opcode: opcodes.text, payload: bytes.subarray(0, 1 + upTo(random, bytes.length - 1)) };
  for (let count = 1 + upTo(random, 4); count > 0; count--) bytes[upTo(random, bytes.length)] = 0x20 + upTo(random, 0x5f);
  return { opcode: opcodes.text, payload: bytes };
}

function nested(random: Random): Frame {
  const depth = pickOf(random, [33, 1000, 60_000]);
  const open = pickOf(random, ['[', '{"a":']);
  return text(`{"type":"client_tool_result","tool_call_id":"c","result":${open.repeat(depth)}`);
}

const wrongValues: readonly unknown[] = [null, [], {}, '', 'x', -1, 1.5, 1e300, true, [[[]]], { a: null }, '\ud800', '\u0000'];

/** Every field of a proper message but its type with a value of some other kind. */
function mistyped(random: Random): Frame {
  const fields = Object.entries(pickOf(random, proper)).map(([name, value]) => [
    name,
    name === 'type' && random() < 0.9 ? value : pickOf(random, wrongValues),
  ]);
  return json(Object.fromEntries(fields));
}

function polluting(random: Random): Frame {
  const poison = '{"isAdmin":true,"toString":null,"type":"pong","event_id":1}';
  return text(
    pickOf(random, [
      `{"type":"user_activity","__proto__":${poison},"constructor":{"prototype":${poison}}}`,
      `{"type":"__proto__","__proto__":${poison}}`,
      `{"type":"conversation_initiation_client_data","dynamic_variables":{"__proto__":"x","constructor":"y","hasOwnProperty":1},"custom_llm_extra_body":{"__proto__":${poison}}}`,
      `{"type":"client_tool_result","tool_call_id":"__proto__","result":{"__proto__":${poison}},"is_error":false}`,
    ]),
  );
}

/** Letters that are no base64, or a length that none has. */
function notBase64(random: Random): Frame {
  const bad = pickOf(random, ['@@@@', 'AAAAA', 'AA==AAAA', '=', 'data:audio/wav;base64,AAAA', '\u00e9\u00e9', 'A-_A', '']);
  return json({ user_audio_chunk: random() < 0.5 ? bad : `${chunk(600)}${bad}@` });
}

/** The names are what the report shows. */
export const kinds: readonly Kind[] = [
  { name: 'broken JSON', weight: 14, make: broken },
  { name: 'deep nesting', weight: 4, make: nested },
  { name: 'wrong types', weight: 14, make: mistyped },
  { name: 'unknown type', weight: 8, make: (random) => json({ type: `x${'y'.repeat(upTo(random, 2000))}`, z: chunk(90) }) },
  { name: 'prototype pollution', weight: 8, make: polluting },
  { name: 'bad base64', weight: 8, make: notBase64 },
  { name: 'odd bytes of audio', weight: 8, make: (random) => json({ user_audio_chunk: chunk(1 + 2 * upTo(random, 400)) }) },
  { name: 'audio faster than time', weight: 3, make: () => json({ user_audio_chunk: chunk(64_000) }) },
  { name: 'control flood', weight: 16, make: (random) => json({ type: 'user_activity', filler: chunk(upTo(random, 300)) }) },
  {
    name: 'context flood',
    weight: 5,
    make: (random) => json({ type: 'contextual_update', text: noiseText.slice(0, 8192), context_id: `c${upTo(random, 1e9)}` }),
  },
  { name: 'typed turns', weight: 1, make: (random) => json({ type: 'user_message', text: `hostile ${upTo(random, 1e9)}` }) },
  { name: 'initiation again', weight: 2, make: () => json(initiation) },
  {
    name: 'answers to no question',
    weight: 5,
    make: (random) =>
      pickOf(random, [
        json({ type: 'client_tool_result', tool_call_id: `c${upTo(random, 1e9)}`, result: [[]], is_error: true }),
        json({ type: 'mcp_tool_approval_result', tool_call_id: `c${upTo(random, 1e9)}`, is_approved: true }),
        json({ type: 'feedback', event_id: upTo(random, 1e9), score: 'like' }),
        json({ type: 'pong', event_id: upTo(random, 1e9) }),
      ]),
  },
  { name: 'pings of the socket', weight: 2, make: () => ({ opcode: opcodes.ping, payload: noise.subarray(0, 125) }) },
  // What follows ends the call, each by a rule of its own.
  { name: 'control of 200 KiB', weight: 0.4, make: () => json({ type: 'user_message', text: noiseText.slice(0, 200_000) }) },
  { name: 'audio of 200 KiB', weight: 0.4, make: () => json({ user_audio_chunk: noiseText.slice(0, 200_000) }) },
  { name: 'message of 1.2 MB', weight: 0.2, make: () => json({ type: 'x', text: noiseText.slice(0, 1_200_000) }) },
  { name: 'binary frame', weight: 0.4, make: () => ({ opcode: opcodes.binary, payload: noise.subarray(0, 640) }) },
  { name: 'text that is no UTF-8', weight: 0.4, make: () => ({ opcode: opcodes.text, payload: noise.subarray(0, 300) }) },
  { name: 'reserved opcode', weight: 0.3, make: () => ({ opcode: 3, payload: noise.subarray(0, 30) }) },
  { name: 'reserved bits', weight: 0.3, make: () => ({ ...text('{"type":"user_activity"}'), reserved: 5 }) },
  { name: 'unmasked frame', weight: 0.3, make: () => ({ ...text('{"type":"user_activity"}'), isUnmasked: true }) },
  { name: 'ping of 300 bytes', weight: 0.3, make: () => ({ opcode: opcodes.ping, payload: noise.subarray(0, 300) }) },
  {
    name: 'message without an end',
    weight: 0.4,
    make: () => ({ opcode: opcodes.text, payload: noise.subarray(0, 64_000), isFinal: false }),
  },
  { name: 'continuation of nothing', weight: 0.3, make: () => ({ opcode: opcodes.continuation, payload: noise.subarray(0, 9) }) },
];

const weightSum = kinds.reduce((sum, { weight }) => sum + weight, 0);

/** One kind, by its weight. */
export function kindOf(random: Random): Kind {
  let left = random() * weightSum;
  return kinds.find(({ weight }) => (left -= weight) < 0) ?? kinds[0]!;
}

/** First messages of a hostile client: half of them begin as they should. */
export function firstFrame(random: Random): Frame | undefined {
  const mood = random();
  if (mood < 0.5) return json(initiation);
  if (mood < 0.8) return undefined;
  return json({ ...initiation, conversation_config_override: { agent: { prompt: { prompt: noiseText.slice(0, 400_000) } } } });
}

/** The bytes of a frame as they go over the line. The mask is fixed: nobody in between must be fooled. */
export function bytesOf({ opcode, payload, isFinal = true, reserved = 0, isUnmasked = false }: Frame): Buffer {
  const { length } = payload;
  const lengthBytes = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const maskBytes = isUnmasked ? 0 : 4;
  const bytes = Buffer.allocUnsafe(2 + lengthBytes + maskBytes + length);
  bytes[0] = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode;
  bytes[1] = (isUnmasked ? 0 : 0x80) | (lengthBytes === 0 ? length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) bytes.writeUInt16BE(length, 2);
  if (lengthBytes === 8) bytes.writeBigUInt64BE(BigInt(length), 2);
  const start = 2 + lengthBytes + maskBytes;
  bytes.set(payload, start);
  if (isUnmasked) return bytes;
  // All zeros would do for the protocol, and would leave nothing for the engine to undo.
  bytes.fill(0x5a, start - 4, start);
  for (let index = start; index < bytes.length; index++) bytes[index] = bytes[index]! ^ 0x5a;
  return bytes;
}
