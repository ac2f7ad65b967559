/**
 * How large messages may be. Of a client's, before it is looked at: the socket library cuts at 1 MiB with 1006 and no reason; these softer limits
 * leave room to say what was wrong. Main thread.
 */
export const wireLimits = {
  firstMessageBytesMax: 512 * 1024, // an initiation may carry a whole prompt
  controlBytesMax: 128 * 1024,
  audioBytesMax: 128 * 1024, // 2 s of 24 kHz audio; clients send 20 to 250 ms
  filesMax: 16, // of one multimodal message
  toolResultCharsMax: 16_384, // of a tool's result on its way to the client, at most six bytes each
} as const;

/** `audio_too_large`: dropped and counted, the call goes on. `too_large`: the call ends with 1008. */
export type SizeVerdict = 'fits' | 'audio_too_large' | 'too_large';

const audioHead = /^\s*\{\s*"user_audio_chunk"\s*:/;
const headBytes = 64;
/** As every official client writes it. */
const resultHead = /^\s*\{\s*"type"\s*:\s*"client_tool_result"\s*,\s*"tool_call_id"\s*:\s*"([^"\\]{1,256})"/;
const resultHeadBytes = 512;

/** Judges a message by its length, and only a long one by its first bytes. `isFirst`: nothing but audio has come on this connection yet. */
export function judgeSize(frame: Uint8Array, isFirst: boolean): SizeVerdict {
  if (frame.length <= Math.min(wireLimits.controlBytesMax, wireLimits.audioBytesMax)) return 'fits';
  const head = Buffer.from(frame.buffer, frame.byteOffset, Math.min(frame.length, headBytes)).toString('latin1');
  if (audioHead.test(head)) return frame.length <= wireLimits.audioBytesMax ? 'fits' : 'audio_too_large';
  return frame.length <= (isFirst ? wireLimits.firstMessageBytesMax : wireLimits.controlBytesMax) ? 'fits' : 'too_large';
}

/** The id of the call whose result a message that is `too_large` brings; undefined when it brings none. Only its first bytes are read. */
export function overlongResultOf(frame: Uint8Array): string | undefined {
  const head = Buffer.from(frame.buffer, frame.byteOffset, Math.min(frame.length, resultHeadBytes)).toString('utf8');
  return resultHead.exec(head)?.[1];
}
