/** The `Range` header of HTTP for one range of bytes, which is what players ask for. Pure. */

/** First and last byte, both included. */
export type ByteRange = { readonly first: number; readonly last: number };

/**
 * What part of `byteLength` bytes a header asks for: `whole` without a header, and with one that is not a single range of bytes (a server may
 * ignore those); `unsatisfiable` (416) when it begins behind the end.
 */
export function parseByteRange(header: string | undefined, byteLength: number): ByteRange | 'whole' | 'unsatisfiable' {
  const match = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header ?? '');
  const [, from = '', to = ''] = match ?? [];
  if (from === '' && to === '') return 'whole';
  if (from === '') {
    // The last so many bytes.
    const count = Math.min(Number(to), byteLength);
    return count === 0 ? 'unsatisfiable' : { first: byteLength - count, last: byteLength - 1 };
  }
  const first = Number(from);
  if (to !== '' && Number(to) < first) return 'whole';
  if (first >= byteLength) return 'unsatisfiable';
  return { first, last: to === '' ? byteLength - 1 : Math.min(Number(to), byteLength - 1) };
}
