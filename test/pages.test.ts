import { readdirSync, readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';
import { test } from 'tap';
import { openSocketServer } from '../src/server/open.js';
import { loadPages } from '../src/server/pages.js';

const built = new URL('../../web/dist/', import.meta.url);
const pages = loadPages();
const assets = readdirSync(new URL('assets/', built)).map((name) => `/assets/${name}`);
const script = assets.find((path) => /\/index-.*\.js$/.test(path)) ?? '';

test('every file that the page asks for is there, with its type', (t) => {
  const page = pages('GET', '/');
  const html = String(page?.body);
  t.match(page, { status: 200, headers: { 'content-type': 'text/html; charset=utf-8', 'x-content-type-options': 'nosniff' } });
  const wanted = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map((match) => match[1]!);
  t.ok(wanted.length >= 3 && wanted.includes(script), 'icon, script and style');
  for (const path of wanted) t.ok(assets.includes(path), `${path} is in the build`);
  const types: Record<string, string> = {
    js: 'text/javascript; charset=utf-8',
    css: 'text/css; charset=utf-8',
    svg: 'image/svg+xml',
  };
  for (const path of assets) t.equal(pages('GET', path)?.headers?.['content-type'], types[path.split('.').at(-1)!], path);
  const dashboard = pages('GET', '/dashboard');
  t.match(dashboard?.headers, { 'content-type': 'text/html; charset=utf-8' });
  const its = [...String(dashboard?.body).matchAll(/(?:src|href)="([^"]*)"/g)].map((match) => match[1]!);
  t.ok(
    its.some((path) => /\/dashboard-.*\.js$/.test(path)) && its.every((path) => assets.includes(path)),
    'so are those of the dashboard',
  );
  const worklets = [...String(pages('GET', script)?.body).matchAll(/\/assets\/[\w.-]+\.js/g)].map(([path]) => path);
  t.ok(worklets.length >= 3, 'the client’s two worklets and the resampler are files of the page');
  for (const path of worklets) t.equal(pages('GET', path)?.status, 200, path);
  t.end();
});

test('nothing from elsewhere, nothing that the policy would stop', (t) => {
  const policy = pages('GET', '/')?.headers?.['content-security-policy'] ?? '';
  t.match(policy, /^default-src 'none'/);
  t.notMatch(policy, /unsafe|\*|http|data:/);
  const html = String(pages('GET', '/')?.body);
  t.notMatch(html, /\sstyle=|\son\w+=|<style|<script(?! type="module" crossorigin src="\/)/, 'nothing inline');
  t.notMatch(html, /(https?:)?\/\/[a-z]+\./, 'the page names no other host');
  for (const path of assets.filter((name) => name.endsWith('.css')))
    t.notMatch(String(pages('GET', path)?.body), /url\((?!#)|@import/, 'the style sheet loads nothing');
  t.end();
});

test('other methods and paths', (t) => {
  t.equal(pages('HEAD', '/')?.status, 200);
  t.match(pages('POST', '/'), { status: 405, headers: { allow: 'GET, HEAD' } });
  const others = [
    '/index.html',
    '/built-from.json',
    '/assets',
    '/assets/',
    '/../package.json',
    `${script}/`,
    '//',
    '/constructor',
    '',
  ];
  for (const path of others) t.equal(pages('GET', path), undefined, path);
  t.end();
});

test('what has its hash in the name is kept for good; the page that names it is asked about each time', (t) => {
  t.equal(pages('GET', '/')?.headers?.['cache-control'], 'no-cache');
  t.equal(pages('GET', script)?.headers?.['cache-control'], 'public, max-age=31536000, immutable');
  const tag = pages('GET', '/')?.headers?.['etag'] ?? '';
  t.match(tag, /^"[\w-]{22}"$/);
  t.match(pages('GET', '/', tag), { status: 304, headers: { etag: tag }, body: '' });
  t.equal(pages('GET', '/', '"older"')?.status, 200);
  t.not(pages('GET', script)?.headers?.['etag'], tag);
  t.end();
});

test('brotli for those who take it', (t) => {
  const plain = pages('GET', script)!;
  const compressed = pages('GET', script, undefined, 'gzip, deflate, br, zstd')!;
  const [plainBytes, bytes] = [plain.body as Uint8Array, compressed.body as Uint8Array];
  t.match(compressed.headers, { 'content-encoding': 'br', vary: 'accept-encoding' });
  t.ok(bytes.length < plainBytes.length / 2.5, `${bytes.length} instead of ${plainBytes.length} bytes`);
  t.same(brotliDecompressSync(bytes), plainBytes);
  t.not(compressed.headers?.['etag'], plain.headers?.['etag'], 'two bodies, two tags');
  for (const refused of ['gzip', 'br;q=0', 'br; q=0.0', 'zebra', ''])
    t.equal(pages('GET', script, undefined, refused)?.headers?.['content-encoding'], undefined, refused);
  t.equal(pages('GET', script, undefined, 'br;q=0.5')?.headers?.['content-encoding'], 'br');
  t.end();
});

test('the files arrive as they are', async (t) => {
  const handlers = {
    upgrade: () => ({ accept: false, response: { status: 503, body: '' } }) as const,
    opened: () => undefined,
    message: () => undefined,
    pong: () => undefined,
    closed: () => undefined,
  };
  const limits = {
    messageBytesMax: 1024,
    bodyBytesMax: 1024,
    bodyTimeoutMs: 1000,
    bodiesBytesMax: 4096,
    headerBytesMax: 16 * 1024,
    bufferedBytesMax: 1024 * 1024,
  };
  const server = await openSocketServer(
    'auto',
    {
      ...handlers,
      http: ({ method, path, header }) =>
        pages(method, path, header('if-none-match'), header('accept-encoding')) ?? { status: 404, body: '' },
    },
    limits,
  );
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
  const expected = readFileSync(new URL(script.slice(1), built), 'utf8');
  for (const encoding of ['br', 'identity']) {
    const response = await fetch(`${url}${script}`, { headers: { 'accept-encoding': encoding } });
    t.equal(await response.text(), expected, encoding);
    const again = await fetch(`${url}${script}`, {
      headers: { 'accept-encoding': encoding, 'if-none-match': response.headers.get('etag') ?? '', 'cache-control': 'no-cache' },
    });
    t.equal(again.status, 304);
  }
  t.equal((await fetch(`${url}/nothing`)).status, 404);
});
