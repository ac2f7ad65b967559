/**
 * Server-sent events out of bytes, cut anywhere. Conversation thread.
 *
 * Used instead of the SDKs' stream reader because that one has no bound on an event, works in quadratic time when an event comes byte by
 * byte, prints what it cannot parse (a caller's words) to the console, and does not tell whether `[DONE]` was seen.
 */
import { EngineError } from '../shared/errors.js';

export type SseEvent = {
  /** Empty when not named. */
  readonly name: string;
  readonly data: string;
  /** False for what stood at the end of the bytes without the empty line that completes an event. */
  readonly complete: boolean;
};

const lineEnd = /\r\n|\n|\r/;

/**
 * The events of `bytes`, in order. Comments, ids and retry times are skipped. What the end of the bytes cuts off is given as it is.
 * Throws `garbage` when more than `eventBytesMax` bytes come without completing an event.
 */
export async function* sseEvents(bytes: AsyncIterable<Uint8Array>, eventBytesMax: number, who: string): AsyncGenerator<SseEvent> {
  const decoder = new TextDecoder();
  /** The line that is not complete yet, in pieces: joined once, however many there are. */
  let pieces: string[] = [];
  let endedWithReturn = false;
  let name = '';
  let data: string[] = [];
  let pendingBytes = 0;
  const take = (line: string) => {
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') data.push(value);
    else if (field === 'event') name = value;
  };
  for await (const chunk of bytes) {
    pendingBytes += chunk.length;
    let text = decoder.decode(chunk, { stream: true });
    if (text === '') continue;
    // A return and a newline are one line end, also when they come in two chunks.
    if (endedWithReturn && text.startsWith('\n')) text = text.slice(1);
    endedWithReturn = text === '' ? false : text.endsWith('\r');
    const lines = text.split(lineEnd);
    for (const [index, part] of lines.entries()) {
      pieces.push(part);
      if (index === lines.length - 1) break;
      const line = pieces.length === 1 ? part : pieces.join('');
      pieces = [];
      if (line !== '') {
        take(line);
        continue;
      }
      if (data.length > 0) yield { name, data: data.join('\n'), complete: true };
      name = '';
      data = [];
      pendingBytes = 0;
    }
    if (pendingBytes > eventBytesMax)
      throw new EngineError('garbage', `${who} sent an event of more than ${eventBytesMax} bytes`);
  }
  take(pieces.join(''));
  if (data.length > 0) yield { name, data: data.join('\n'), complete: false };
}
