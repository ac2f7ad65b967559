/** What the model gets of a tool's answer: text within a bound, without secrets. Pure; API thread. */

/** Types of answers that are no text, whatever their bytes look like. */
const binaryTypes =
  /^(image|audio|video|font)\/|^application\/(octet-stream|pdf|zip|gzip|x-tar|wasm|vnd\.|msword|protobuf|x-protobuf|msgpack|cbor)/i;
/** Shorter secrets would strike out ordinary words. */
const secretCharsMin = 6;
const truncationNote = '\n[cut off]';

/** The text of an answer, or undefined when it is not text. `isCut`: the bytes may end inside a character. */
export function textOf(bytes: Uint8Array, contentType: string | undefined, isCut: boolean): string | undefined {
  const type = contentType ?? '';
  if (binaryTypes.test(type) && !/\+(json|xml)\b/i.test(type)) return undefined;
  const charset = /charset="?([\w-]+)/i.exec(type)?.[1] ?? 'utf-8';
  try {
    const text = new TextDecoder(charset, { fatal: true }).decode(bytes, { stream: isCut });
    return text.includes('\0') ? undefined : text;
  } catch {
    // An unknown character set, or bytes that are none of its characters: the answer is no text to us.
    return undefined;
  }
}

/** At most `charsMax` characters; what is cut off is said to be. Never ends in half a character. */
export function capped(
  text: string,
  charsMax: number,
  wasCut = false,
): { readonly result: string; readonly isTruncated: boolean } {
  if (text.length <= charsMax && !wasCut) return { result: text, isTruncated: false };
  const end = Math.min(text.length, charsMax - truncationNote.length);
  const isHalf = /[\uD800-\uDBFF]/.test(text.charAt(end - 1));
  return { result: text.slice(0, isHalf ? end - 1 : end) + truncationNote, isTruncated: true };
}

/** The text with every secret struck out: servers like to repeat what they were sent. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const long = secrets.filter((secret) => secret.length >= secretCharsMin).sort((a, b) => b.length - a.length);
  return long.reduce((clean, secret) => clean.replaceAll(secret, '[secret]'), text);
}
