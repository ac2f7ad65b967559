/** Reads `multipart/form-data` bodies as the official SDKs send them. Pure; file contents are views of the body, not copies. */

export type FormPart = {
  readonly name: string;
  readonly fileName?: string;
  readonly contentType?: string;
  readonly data: Buffer;
};

/** A form with more parts than this is refused. */
const partsMax = 64;

/** The boundary named in a Content-Type header, or undefined when it is not a form. */
export function boundaryOf(contentType: string | undefined): string | undefined {
  const match = /^multipart\/form-data;.*?\bboundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType ?? '');
  return match?.[1] ?? match?.[2];
}

/** The parts in order, or what is wrong with the body. */
export function readForm(body: Buffer, boundary: string): { readonly parts: readonly FormPart[] } | { readonly problem: string } {
  const opening = Buffer.from(`--${boundary}`, 'latin1');
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  if (body.indexOf(opening) !== 0) return { problem: 'the body does not begin with its boundary' };
  const parts: FormPart[] = [];
  for (let at = opening.length; ; ) {
    const mark = body.toString('latin1', at, at + 2);
    if (mark === '--') return { parts };
    if (mark !== '\r\n') return { problem: 'a boundary is followed by neither a part nor the end' };
    if (parts.length >= partsMax) return { problem: `more than ${partsMax} parts` };
    const headEnd = body.indexOf('\r\n\r\n', at);
    const end = headEnd < 0 ? -1 : body.indexOf(delimiter, headEnd + 4);
    if (end < 0) return { problem: 'a part has no end' };
    const head = body.toString('utf8', at + 2, headEnd);
    const name = /\bname="([^"]*)"/i.exec(head)?.[1];
    if (name === undefined) return { problem: 'a part has no name' };
    const fileName = /\bfilename="([^"]*)"/i.exec(head)?.[1];
    const contentType = /^content-type:\s*(.+)$/im.exec(head)?.[1]?.trim();
    parts.push({
      name,
      data: body.subarray(headEnd + 4, end),
      ...(fileName === undefined ? {} : { fileName }),
      ...(contentType === undefined ? {} : { contentType }),
    });
    at = end + delimiter.length;
  }
}
