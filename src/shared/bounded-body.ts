/** Reads the body of an HTTP answer that should be small, and gives up when it is not. Evented threads that host providers. */
import { EngineError } from './errors.js';

/** The whole body as text. Throws `garbage` beyond `bytesMax`, and then the connection is closed. */
export async function readText(response: Response, bytesMax: number, who: string): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return '';
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(parts).toString('utf8');
    bytes += value.length;
    if (bytes > bytesMax) {
      await reader.cancel();
      throw new EngineError('garbage', `${who} answered more than ${bytesMax} bytes`);
    }
    parts.push(value);
  }
}
