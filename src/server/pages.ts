/** The page to talk from a browser: plain files of `web/`, read once at start. Main thread. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../shared/errors.js';
import type { HttpResponse } from './port.js';

const files: readonly { readonly path: string; readonly name: string; readonly type: string }[] = [
  { path: '/', name: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/talk.js', name: 'talk.js', type: 'text/javascript; charset=utf-8' },
  { path: '/microphone.js', name: 'microphone.js', type: 'text/javascript; charset=utf-8' },
  { path: '/style.css', name: 'style.css', type: 'text/css; charset=utf-8' },
];

/** Nothing from elsewhere, nothing inline, not inside another site's frame. `data:` is the empty icon. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Beside the sources, and beside `dist/` where the compiled file lies one level deeper. */
function webFolder(): URL {
  const candidates = ['../../web/', '../../../web/'].map((relative) => new URL(relative, import.meta.url));
  const found = candidates.find((folder) => existsSync(new URL('index.html', folder)));
  if (found !== undefined) return found;
  throw new EngineError(
    'missing',
    `The files of the page are missing; looked in ${candidates.map((folder) => fileURLToPath(folder)).join(' and ')}.`,
  );
}

/** `undefined`: not a path of the page. `ifNoneMatch`: the request's header of that name; a match is answered with 304. */
export type Pages = (method: string, path: string, ifNoneMatch?: string) => HttpResponse | undefined;

/** Reads the files. Throws EngineError `missing` when they are not where the checkout has them. */
export function loadPages(): Pages {
  const folder = webFolder();
  const pages = new Map(
    files.map(({ path, name, type }) => {
      const body = readFileSync(new URL(name, folder));
      const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
      const headers = {
        'content-type': type,
        etag: tag,
        'cache-control': 'no-cache', // kept, but asked about each time: a new version is seen at once
        'content-security-policy': contentSecurityPolicy,
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'permissions-policy': 'microphone=(self)',
      };
      return [path, { tag, headers, body }] as const;
    }),
  );
  return (method, path, ifNoneMatch) => {
    const page = pages.get(path);
    if (page === undefined) return undefined;
    const { tag, headers, body } = page;
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, headers: { allow: 'GET, HEAD' }, body: '' };
    return ifNoneMatch === tag ? { status: 304, headers, body: '' } : { status: 200, headers, body };
  };
}
