/** What went wrong with a call, said plainly, with what to do about it. */
import { ApiError } from '../api/api-error.js';
import { explained, type Problem } from './explained.js';

/** Before the microphone is asked for; undefined when there is nothing in the way. */
export function microphoneObstacle(): Problem | undefined {
  if (!window.isSecureContext) {
    return {
      title: 'The browser gives no microphone to this address.',
      advice: `It does so only for https:// and for localhost, and this page came from ${location.origin}. Use one of those, or choose text only.`,
    };
  }
  if (!('mediaDevices' in navigator)) {
    return { title: 'This browser has no microphone for pages.', advice: 'Try another browser, or choose text only.' };
  }
  return undefined;
}

const ofMicrophone: Readonly<Record<string, Problem>> = {
  NotFoundError: { title: 'No microphone was found.', advice: 'Connect one and start again, or choose text only.' },
  NotAllowedError: {
    title: 'The microphone was refused.',
    advice: 'Allow it for this page in the browser’s address bar and start again, or choose text only.',
  },
  NotReadableError: {
    title: 'The microphone is in use or broken.',
    advice: 'Close other programs that use it and start again, or choose text only.',
  },
};

/** A call that could not begin. `closeCode`: of the socket, when it was opened at all. */
export async function startProblem(error: unknown): Promise<Problem> {
  if (error instanceof DOMException) {
    const known = ofMicrophone[error.name];
    if (known !== undefined) return known;
  }
  if (error instanceof ApiError && error.status === 0) return whyNoSocket();
  const message = error instanceof Error ? error.message : String(error);
  const closeCode = (error as { closeCode?: number }).closeCode;
  // 1006: the browser does not say why the socket was not opened; another request can tell.
  const isUnexplained = closeCode === 1006 || message.includes('socket error');
  return isUnexplained ? whyNoSocket() : explained(message, closeCode);
}

async function whyNoSocket(): Promise<Problem> {
  try {
    const response = await fetch('/readyz', { cache: 'no-store' });
    const { calls, free, reason } = (await response.json()) as { calls?: number; free?: number; reason?: string };
    if (free === 0) return { title: `All ${calls} places are taken.`, advice: 'Wait until a call ends, and start again.' };
    if (reason !== undefined) {
      const why = reason === 'draining' ? 'it is about to be restarted' : reason;
      return { title: `The server takes no calls now: ${why}.`, advice: 'Wait a little and start again.' };
    }
    return {
      title: `The server at ${location.host} refused the connection.`,
      advice: 'Something between the browser and the engine may not let WebSockets through.',
    };
  } catch {
    return {
      title: `Nothing answers at ${location.host}.`,
      advice: 'Is the engine running, and is this the right port? It prints its address when it starts.',
    };
  }
}
