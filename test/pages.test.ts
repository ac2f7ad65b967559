import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { openSocketServer } from '../src/server/open.js';
import { loadPages } from '../src/server/pages.js';

const pages = loadPages();

test('every file that the page asks for is there, with its type', (t) => {
  const page = pages('GET', '/');
  const html = String(page?.body);
  t.match(page, { status: 200, headers: { 'content-type': 'text/html; charset=utf-8', 'x-content-type-options': 'nosniff' } });
  const wanted = [...html.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map((match) => match[1]!);
  t.same(wanted.sort(), ['/style.css', '/talk.js']);
  t.match(pages('GET', '/style.css')?.headers, { 'content-type': 'text/css; charset=utf-8' });
  const script = String(pages('GET', '/talk.js')?.body);
  const worklet = /addModule\('([^']+)'\)/.exec(script)?.[1] ?? '';
  for (const path of ['/talk.js', worklet])
    t.match(pages('GET', path)?.headers, { 'content-type': 'text/javascript; charset=utf-8' });
  for (const id of script.matchAll(/page\.(\w+)/g)) t.ok(html.includes(`id="${id[1]}"`), `the page has ${id[1]}`);
  t.end();
});

test('nothing from elsewhere, nothing that the policy would stop', (t) => {
  const policy = pages('GET', '/')?.headers?.['content-security-policy'] ?? '';
  t.match(policy, /^default-src 'none'/);
  t.notMatch(policy, /unsafe|\*|http/);
  const html = String(pages('GET', '/')?.body);
  t.notMatch(html, /\sstyle=|\son\w+=|<style|<script(?! type="module" src=)/, 'nothing inline');
  for (const path of ['/', '/talk.js', '/microphone.js', '/style.css']) {
    const text = String(pages('GET', path)?.body).replaceAll('https:// and localhost', '');
    t.notMatch(text, /(https?:)?\/\/[a-z]+\./, `${path} asks nobody else`);
  }
  t.end();
});

test('other methods and paths', (t) => {
  t.equal(pages('HEAD', '/')?.status, 200);
  t.match(pages('POST', '/'), { status: 405, headers: { allow: 'GET, HEAD' } });
  for (const path of ['/index.html', '/../package.json', '/talk.js/', '//', '/constructor', ''])
    t.equal(pages('GET', path), undefined, path);
  t.end();
});

test('a visitor who has the newest version gets no second copy', (t) => {
  const tag = pages('GET', '/')?.headers?.['etag'] ?? '';
  t.match(tag, /^"[\w-]{22}"$/);
  t.match(pages('GET', '/', tag), { status: 304, headers: { etag: tag }, body: '' });
  t.equal(pages('GET', '/', '"older"')?.status, 200);
  t.not(pages('GET', '/talk.js')?.headers?.['etag'], tag);
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
    headerBytesMax: 16 * 1024,
    bufferedBytesMax: 1024 * 1024,
  };
  const server = await openSocketServer(
    'auto',
    {
      ...handlers,
      http: ({ method, path, header }) => pages(method, path, header('if-none-match')) ?? { status: 404, body: '' },
    },
    limits,
  );
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
  const first = await fetch(`${url}/talk.js`);
  t.equal(await first.text(), readFileSync(new URL('../../web/talk.js', import.meta.url), 'utf8'));
  const again = await fetch(`${url}/talk.js`, {
    headers: { 'if-none-match': first.headers.get('etag') ?? '', 'cache-control': 'no-cache' },
  });
  t.equal(again.status, 304);
  t.equal((await fetch(`${url}/nothing`)).status, 404);
});
