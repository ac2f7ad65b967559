/** Where clients reach this server, as far as can be known. Pure; API thread. */
import type { HttpAsk } from './links.js';

export type Origins = { readonly http: string; readonly socket: string };

/** `configured`: `PARLEY_PUBLIC_URL`, perhaps with a path. Without it the request's own headers say, as a proxy in front passes them on. */
export function originsOf(configured: string, headers: HttpAsk['headers']): Origins {
  if (configured !== '') return both(configured);
  const forwarded = headers['x-forwarded-proto']?.split(',')[0]?.trim().toLowerCase();
  const scheme = forwarded === 'https' || forwarded === 'wss' ? 'https' : 'http';
  const host = headers['x-forwarded-host']?.split(',')[0]?.trim() || headers['host'] || 'localhost';
  const url = `${scheme}://${host}`;
  return URL.canParse(url) ? both(new URL(url).origin) : both('http://localhost');
}

function both(http: string): Origins {
  return { http, socket: http.replace(/^http/, 'ws') };
}
