/** What went wrong with a call, said plainly, with what to do about it. */
import { ApiError } from '../api/http.js';

export type Problem = { readonly title: string; readonly advice: string };

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

/** What the protocol's own names stand for on this page. */
const overrideNames: Readonly<Record<string, string>> = {
  text_only: 'whether it is text only',
  client_events: 'which events are sent',
};

/** What the server said when it ended a call, or did not begin it. Pure. */
export function explained(message: string, closeCode: number | undefined): Problem {
  const missing = /^Missing required dynamic variables: (.+)$/.exec(message)?.[1];
  if (missing !== undefined) return variablesProblem(missing.split(', '));
  const field = /^Override for field '(.+)' is not allowed by config\.$/.exec(message)?.[1];
  if (field !== undefined) {
    return {
      title: `The agent does not let a client choose ${overrideNames[field] ?? field}.`,
      advice: 'Its settings say so, under platform_settings.overrides. Start without it, or allow it there.',
    };
  }
  if (closeCode === 1013 || /^capacity|overloaded/.test(message))
    return { title: message, advice: 'Wait a little and start again.' };
  if (closeCode === 3000 || closeCode === 1008)
    return { title: message, advice: 'Look at the agent’s settings, or choose another agent.' };
  return { title: message, advice: 'Start again; if it stays, the server’s log says more.' };
}

export function variablesProblem(names: readonly string[]): Problem {
  const what = names.length === 1 ? 'a value' : 'values';
  return {
    title: `The agent needs ${what} for ${names.join(', ')}.`,
    advice: 'Fill in what is missing under Variables, and start again.',
  };
}

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
