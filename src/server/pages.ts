/** The console and the dashboard: the files of `web/dist/`, read and compressed once at start. Main thread. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';
import { EngineError } from '../shared/errors.js';
import type { WholeResponse } from './port.js';

/** Written by the build; names every file, so that nothing else in the folder is ever served. */
const manifestName = 'built-from.json';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/**
 * Nothing from elsewhere, nothing inline, not inside another site's frame. `connect-src 'self'` covers the WebSocket of the same host;
 * recordings are played from `blob:` because their request carries the key.
 */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  'media-src blob:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A third of the bytes; under 10 ms for all files together, at start. */
const brotliQuality = 6;

/** Beside the sources, and beside `dist/` where the compiled file lies one level deeper. */
function builtFolder(): URL {
  const candidates = ['../../web/dist/', '../../../web/dist/'].map((relative) => new URL(relative, import.meta.url));
  const found = candidates.find((folder) => existsSync(new URL(manifestName, folder)));
  if (found !== undefined) return found;
  const looked = candidates.map((folder) => fileURLToPath(folder)).join(' and ');
  throw new EngineError('missing', `The built console is missing; looked in ${looked}. "npm run build:web" makes it.`);
}

/** `undefined`: not a path of the console. `ifNoneMatch`, `acceptEncoding`: the request's headers of those names; a match is answered with 304. */
export type Pages = (method: string, path: string, ifNoneMatch?: string, acceptEncoding?: string) => WholeResponse | undefined;

type Variant = { readonly tag: string; readonly headers: Readonly<Record<string, string>>; readonly body: Uint8Array };
type Page = { readonly plain: Variant; readonly brotli: Variant };

/** Reads the files. Throws EngineError `missing` when they are not where the checkout has them. */
export function loadPages(): Pages {
  const folder = builtFolder();
  const { files } = JSON.parse(readFileSync(new URL(manifestName, folder), 'utf8')) as { files: Record<string, string> };
  const pages = new Map(Object.keys(files).map((name) => [pathOf(name), readPage(folder, name)] as const));
  return (method, path, ifNoneMatch, acceptEncoding) => {
    const page = pages.get(path);
    if (page === undefined) return undefined;
    const { tag, headers, body } = takesBrotli(acceptEncoding) ? page.brotli : page.plain;
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, headers: { allow: 'GET, HEAD' }, body: '' };
    return ifNoneMatch === tag ? { status: 304, headers, body: '' } : { status: 200, headers, body };
  };
}

/** Pages are found without their ending, the first at the root; all else under its name. */
function pathOf(name: string): string {
  return name === 'index.html' ? '/' : `/${name.replace(/\.html$/, '')}`;
}

function readPage(folder: URL, name: string): Page {
  const body = readFileSync(new URL(name, folder));
  const hash = createHash('sha256').update(body).digest('base64url').slice(0, 22);
  const headers = {
    'content-type': types[extname(name)] ?? 'application/octet-stream',
    // What has a hash in its name never changes; the page that names it is kept, but asked about each time.
    'cache-control': name.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    vary: 'accept-encoding',
    'content-security-policy': contentSecurityPolicy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'permissions-policy': 'microphone=(self)',
  };
  const variant = (tag: string, bytes: Uint8Array, more: Readonly<Record<string, string>>): Variant => ({
    tag,
    headers: { ...headers, ...more, etag: tag },
    body: bytes,
  });
  const compressed = brotliCompressSync(body, {
    params: { [constants.BROTLI_PARAM_QUALITY]: brotliQuality, [constants.BROTLI_PARAM_SIZE_HINT]: body.length },
  });
  return {
    plain: variant(`"${hash}"`, body, {}),
    brotli: variant(`"${hash}-br"`, compressed, { 'content-encoding': 'br' }),
  };
}

/** Whether the client lists `br` and does not refuse it by `q=0`. */
export function takesBrotli(acceptEncoding = ''): boolean {
  return acceptEncoding.split(',').some((entry) => /^\s*br\s*(;|$)/i.test(entry) && !/;\s*q=0(\.0*)?\s*$/i.test(entry));
}
