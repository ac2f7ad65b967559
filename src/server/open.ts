/** Chooses the socket library at start. Main thread. */
import { EngineError } from '../shared/errors.js';
import type { SocketHandlers, SocketLimits, SocketServer } from './port.js';
import { openUwsServer } from './uws.js';
import { openWsServer } from './ws.js';

export type SocketLibrary = 'auto' | 'uws' | 'ws';

/** `reason`: one line for the start-up log, why this library serves. */
export type ChosenSocketServer = SocketServer & { readonly reason: string };

/**
 * `auto` takes uWebSockets.js where it has a binary and `ws` elsewhere; `uws` and `ws` insist.
 * Rejects with EngineError `missing` when uWebSockets.js is insisted on and cannot be had. Does not listen yet.
 */
export async function openSocketServer<Session>(
  prefer: SocketLibrary,
  handlers: SocketHandlers<Session>,
  limits: SocketLimits,
): Promise<ChosenSocketServer> {
  if (prefer === 'ws') return Object.assign(openWsServer(handlers, limits), { reason: 'Sockets by ws, as configured.' });
  try {
    const server = await openUwsServer(handlers, limits);
    const why = prefer === 'uws' ? 'as configured' : 'the faster one';
    return Object.assign(server, { reason: `Sockets by uWebSockets.js, ${why}.` });
  } catch (error) {
    if (prefer === 'uws' || !(error instanceof EngineError && error.kind === 'missing')) throw error;
    return Object.assign(openWsServer(handlers, limits), { reason: `Sockets by ws: ${error.message}` });
  }
}
