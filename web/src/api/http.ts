/** Requests to the engine's REST side, with the API key where the server wants one, and its refusals as one kind of error. */
import { Store } from '../store.js';
import { ApiError } from './api-error.js';
import { readable } from './readable.js';

const keyName = 'parley-api-key';

/** The question for the key, while it is on the screen. */
export const keyQuestion = new Store<{ readonly isOpen: boolean; readonly isWrong: boolean }>({ isOpen: false, isWrong: false });
let answer: ((isGiven: boolean) => void) | undefined;
let asked: Promise<boolean> | undefined;

export function storedKey(): string {
  return sessionStorage.getItem(keyName) ?? '';
}

/** From the dialog; an empty text means that the visitor has none. */
export function giveKey(key: string): void {
  if (key !== '') sessionStorage.setItem(keyName, key);
  keyQuestion.set({ isOpen: false });
  answer?.(key !== '');
  answer = undefined;
  asked = undefined;
}

/** One question for all requests that wait for it. */
function askForKey(isWrong: boolean): Promise<boolean> {
  asked ??= new Promise((resolve) => {
    answer = resolve;
    keyQuestion.set({ isOpen: true, isWrong });
  });
  return asked;
}

type Ask = {
  readonly method?: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
};

async function send(path: string, ask: Ask): Promise<Response> {
  const key = storedKey();
  const headers: Record<string, string> = {};
  if (key !== '') headers['xi-api-key'] = key;
  if (ask.body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(path, {
      method: ask.method ?? 'GET',
      headers,
      ...(ask.body === undefined ? {} : { body: JSON.stringify(ask.body) }),
      ...(ask.signal === undefined ? {} : { signal: ask.signal }),
    });
  } catch (error) {
    if (ask.signal?.aborted === true) throw error;
    throw new ApiError(0, `The server at ${location.host} does not answer.`);
  }
  if (response.status === 401 && storedKey() === key) {
    if (await askForKey(key !== '')) return send(path, ask);
  } else if (response.status === 401) return send(path, ask);
  if (!response.ok) throw await refusalOf(response);
  return response;
}

async function refusalOf(response: Response): Promise<ApiError> {
  let detail: unknown;
  try {
    detail = ((await response.json()) as { detail?: unknown }).detail;
  } catch {
    detail = undefined; // not every answer on the way here is JSON
  }
  const plain = `The server answered ${response.status}.`;
  if (typeof detail === 'string') return new ApiError(response.status, detail);
  if (Array.isArray(detail)) {
    const problems = detail.map((item: { loc?: unknown; msg?: unknown }) => ({
      path: (Array.isArray(item.loc) ? item.loc : []).filter((part, at) => at > 0 || part !== 'body').join('.'),
      message: readable(String(item.msg ?? 'This is not allowed.')),
    }));
    const count = problems.length === 1 ? 'One field is' : `${problems.length} fields are`;
    return new ApiError(response.status, `${count} not accepted.`, problems);
  }
  const message = (detail as { message?: unknown } | undefined)?.message;
  return new ApiError(response.status, typeof message === 'string' ? message : plain);
}

/** Throws `ApiError`. An empty answer gives `undefined`. */
export async function request<Answer>(path: string, ask: Ask = {}): Promise<Answer> {
  const text = await (await send(path, ask)).text();
  return (text === '' ? undefined : JSON.parse(text)) as Answer;
}

export async function requestBytes(path: string, signal?: AbortSignal): Promise<{ bytes: ArrayBuffer; type: string }> {
  const response = await send(path, { signal });
  return { bytes: await response.arrayBuffer(), type: response.headers.get('content-type') ?? '' };
}

/** What to show for anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
