/** One uploaded file out of a multipart body. API thread. */

export type Upload = { readonly name: string; readonly mimeType: string; readonly bytes: Uint8Array };

const nameCharsMax = 256;

/** Undefined: not multipart, broken, or without a file in that field. */
export async function readUpload(body: Uint8Array, contentType: string | undefined, field: string): Promise<Upload | undefined> {
  if (contentType === undefined || !/^multipart\/form-data\s*;/i.test(contentType)) return undefined;
  let file: unknown;
  try {
    file = (await new Response(body, { headers: { 'content-type': contentType } }).formData()).get(field);
  } catch {
    return undefined; // not what its own header says
  }
  if (!(file instanceof File)) return undefined;
  const name = plainName(file.name);
  return { name, mimeType: file.type.split(';')[0]!.trim().toLowerCase(), bytes: new Uint8Array(await file.arrayBuffer()) };
}

/** Without folders and control characters. */
function plainName(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return last.replace(/[\u0000-\u001f\u007f]/g, '').slice(0, nameCharsMax) || 'file';
}

const megabyte = 1024 * 1024;

/** What may be uploaded: how large, and how its first bytes look. */
export const uploadKinds: Readonly<Record<string, { readonly bytesMax: number; readonly begins: RegExp }>> = {
  'image/png': { bytesMax: 10 * megabyte, begins: /^\x89PNG\r\n/ },
  'image/jpeg': { bytesMax: 10 * megabyte, begins: /^\xff\xd8\xff/ },
  'image/gif': { bytesMax: 10 * megabyte, begins: /^GIF8[79]a/ },
  'image/webp': { bytesMax: 10 * megabyte, begins: /^RIFF[\s\S]{4}WEBP/ },
  'application/pdf': { bytesMax: 20 * megabyte, begins: /^[\s\S]{0,1000}%PDF-/ },
};

const headBytes = 1024;

/** The beginning of a file, a character a byte. */
export function beginningOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(headBytes, bytes.byteLength)).toString('latin1');
}
