/** How the REST side says no: the two forms of the public API. API thread. */
import { EngineError } from '../shared/errors.js';
import type { AgentIssue } from '../store/agents.js';
import type { ApiAnswer } from './http.js';

/** Thrown by handlers; the router makes the answer of it. `name` is for programs, the message for people. */
export class ApiRefusal extends Error {
  override readonly name = 'ApiRefusal';
  readonly answer: ApiAnswer;

  constructor(answer: ApiAnswer, message: string) {
    super(message);
    this.answer = answer;
  }
}

/** `{detail: {status, message}}`. */
export function refuse(
  status: number,
  name: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): ApiRefusal {
  return new ApiRefusal({ status, headers, json: { detail: { status: name, message } } }, message);
}

/** `where`: the part of the request, `body` or `query`. */
export type Wrong = {
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly type: string;
  readonly input?: unknown;
};

const inputCharsMax = 200;

/** 422 with one entry for each wrong place: path, value, rule. */
export function unprocessable(wrongs: readonly Wrong[]): ApiRefusal {
  const detail = wrongs.map(({ loc, msg, type, input }) => ({
    loc,
    msg,
    type,
    ...(input === undefined ? {} : { input: shown(input) }),
  }));
  return new ApiRefusal({ status: 422, headers: {}, json: { detail } }, 'The request does not validate.');
}

/** What a schema found, in the public form. `where`: `body`, `query`, or a place inside them. */
export function wrongsOf(where: readonly (string | number)[], issues: readonly AgentIssue[]): Wrong[] {
  return issues.map(({ path, message, rule, value }) => ({
    loc: [...where, ...path],
    msg: message,
    type: value === undefined ? 'missing' : rule,
    input: value,
  }));
}

/** The value as it came if it is short, else its beginning. */
function shown(input: unknown): unknown {
  const text = JSON.stringify(input) ?? '';
  return text.length <= inputCharsMax ? input : `${text.slice(0, inputCharsMax)}…`;
}

/**
 * What failed in the world, as a client sees it. Undefined: it was a bug of ours. `isTrusted`: the client has shown the key, and is told why the
 * store is not available; others need not know where it is.
 */
export function answerOf(error: unknown, isTrusted: boolean): ApiAnswer | undefined {
  if (error instanceof ApiRefusal) return error.answer;
  if (!(error instanceof EngineError)) return undefined;
  switch (error.kind) {
    case 'unavailable':
    case 'timeout':
    case 'refused':
    case 'config':
    case 'aborted': {
      const why = isTrusted ? ` ${error.message.replace(/\.?$/, '.')}` : '';
      return refuse(503, 'unavailable', `The store is not available.${why} Try again later.`, { 'retry-after': '2' }).answer;
    }
    case 'rejected':
      return refuse(400, 'bad_request', error.message).answer;
    default:
      return undefined;
  }
}
