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

/**
 * Whether several processes may listen on one port with uWebSockets.js, and `reason`, in words. Only Linux deals connections evenly to sockets
 * that share a port. Rejects with EngineError `config` or `missing` when uWebSockets.js is insisted on and cannot be had.
 */
export async function canShareUws(prefer: SocketLibrary): Promise<{ readonly isShared: boolean; readonly reason: string }> {
  const handed = { isShared: false, reason: 'connections are handed to the one with the fewest calls' };
  if (prefer === 'ws') return handed;
  if (process.platform !== 'linux') {
    if (prefer === 'auto') return handed;
    throw new EngineError('config', 'Several processes share a port with uWebSockets.js on Linux only; set PARLEY_SOCKETS=ws.');
  }
  try {
    await import('uWebSockets.js');
    return { isShared: true, reason: 'the kernel deals connections to them' };
  } catch (cause) {
    if (prefer === 'auto') return handed;
    throw new EngineError('missing', `uWebSockets.js has no binary for Node ${process.versions.node}.`, { cause });
  }
}
