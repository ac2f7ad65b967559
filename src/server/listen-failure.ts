/** Why a socket server cannot listen, and what to do about it. Main thread. */
import { createServer } from 'node:net';
import { EngineError } from '../shared/errors.js';

/** `code`: what the system said. */
export function listenFailure(host: string, port: number, code: string | undefined, cause?: unknown): EngineError {
  return new EngineError('config', `Cannot listen on ${addressText(host, port)}: ${reasonOf(host, port, code)}`, {
    cause,
    fields: { host, port },
  });
}

/** For a library that does not say what the system said: another server is told, in its place. */
export function listenFailureFound(host: string, port: number): Promise<EngineError> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (cause: NodeJS.ErrnoException) => resolve(listenFailure(host, port, cause.code, cause)));
    // It works by now; whoever had the port is gone.
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(listenFailure(host, port, undefined))));
  });
}

function addressText(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function reasonOf(host: string, port: number, code: string | undefined): string {
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} is taken by another program. End that one ("lsof -i :${port}" names it), or choose another port with PARLEY_PORT.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${host} is no address of this machine. Choose one with PARLEY_HOST: 127.0.0.1 for this machine alone, 0.0.0.0 for all of its addresses.`;
    case 'EACCES':
      return `this user may not open port ${port}. Choose one above 1023 with PARLEY_PORT.`;
    default:
      return `${code ?? 'the system refused, without a reason'}. Choose another port with PARLEY_PORT, or another address with PARLEY_HOST.`;
  }
}
