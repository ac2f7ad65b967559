/** One call of a webhook tool: arguments checked, request built and sent through the address guard, answer made into text for the model. API thread. */
import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Ajv, type ValidateFunction } from 'ajv';
import { nowMs } from '../shared/clock.js';
import { Deadline } from '../shared/deadline.js';
import { EngineError } from '../shared/errors.js';
import { engineErrorOf } from '../shared/http-errors.js';
import { systemTimers } from '../shared/timers.js';
import { ms } from '../shared/units.js';
import { type GuardedHttp, type HttpRequest, readBeginning } from './guarded-http.js';
import { type HeaderValue, type ToolOutcome, type ToolRun, toolLimits, type WebhookTool } from './port.js';
import { capped, textOf, withoutSecrets } from './result-text.js';
import { fillIn, fillText, isObject, isSecretName, placeholdersOf } from './schema.js';

export type ToolContext = {
  readonly http: GuardedHttp;
  /** Dynamic variables of the conversation, `secret__` ones included. */
  readonly variables: Readonly<Record<string, string>>;
  /** The value of a stored secret, or undefined when there is none of that id. */
  readonly secret: (secretId: string) => Promise<string | undefined>;
  readonly signal: AbortSignal;
};

/** Methods that do no more when they arrive twice. */
const repeatable: ReadonlySet<string> = new Set(['GET', 'PUT', 'DELETE']);
/** Answers of something between us and the service. */
const repeatableStatuses: ReadonlySet<number> = new Set([502, 503, 504]);

/** Runs the tool; never rejects. Ends within the tool's `timeoutMs`, whatever the other side does. */
export async function runWebhook(tool: WebhookTool, run: ToolRun, context: ToolContext): Promise<ToolOutcome> {
  const startedAtMs = nowMs();
  const deadline = new Deadline(systemTimers, context.signal);
  deadline.arm(ms(tool.timeoutMs));
  // Wherever they are used.
  const secrets = Object.entries(context.variables).flatMap(([name, value]) => (isSecretName(name) ? [value] : []));
  let outcome: Pick<ToolOutcome, 'isError' | 'result' | 'isTruncated'>;
  try {
    const given = checkedArguments(tool, run.argumentsJson);
    const headers = await headersFrom(tool.headers, context, deadline.signal, secrets);
    const request = requestOf(tool, given, headers, context, deadline.signal);
    const answer = await ask(context.http, request);
    outcome = await outcomeOf(answer, secrets);
  } catch (error) {
    const reason = deadline.expired ? `no answer within ${tool.timeoutMs} ms` : failureText(error, context.signal);
    outcome = { isError: true, ...capped(withoutSecrets(reason, secrets), toolLimits.resultCharsMax) };
  } finally {
    deadline.clear();
  }
  return { ...outcome, elapsedMs: Math.round(nowMs() - startedAtMs) };
}

/** For the model: what went wrong, in one sentence. */
export function failureText(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return 'cancelled';
  return engineErrorOf(error, 'the service').message;
}

/** One validator a tool; the tool's own object is the key, so it goes when the agent's version goes. */
const validators = new WeakMap<object, ValidateFunction>();

/** The arguments as an object. Throws `rejected` saying what does not fit the schema. */
export function checkedArguments(
  tool: Pick<WebhookTool, 'parameters'>,
  argumentsJson: string,
): Readonly<Record<string, unknown>> {
  const given = argumentsObject(argumentsJson);
  let validate = validators.get(tool.parameters);
  if (validate === undefined) {
    validate = new Ajv({ strict: false, meta: false, validateSchema: false, logger: false }).compile({ ...tool.parameters });
    validators.set(tool.parameters, validate);
  }
  if (validate(given)) return given;
  const problem = validate.errors?.[0];
  throw new EngineError('rejected', `arguments refused: ${problem?.instancePath || 'they'} ${problem?.message ?? 'do not fit'}`);
}

/** The arguments as an object, unchecked. Models write nothing at all when a tool has no parameters. Throws `rejected`. */
export function argumentsObject(argumentsJson: string): Readonly<Record<string, unknown>> {
  if (argumentsJson.length > toolLimits.argumentsCharsMax)
    throw new EngineError('rejected', `arguments refused: longer than ${toolLimits.argumentsCharsMax} characters`);
  let given: unknown;
  try {
    given = argumentsJson.trim() === '' ? {} : JSON.parse(argumentsJson);
  } catch (cause) {
    throw new EngineError('rejected', 'arguments refused: they are not JSON', { cause });
  }
  if (!isObject(given)) throw new EngineError('rejected', 'arguments refused: they are not an object');
  return given;
}

const headerText = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Header values with variables and secrets filled in; the secret ones are added to `secrets`. Throws `rejected` when one is missing. */
export async function headersFrom(
  headers: Readonly<Record<string, HeaderValue>>,
  context: Pick<ToolContext, 'variables' | 'secret'>,
  signal: AbortSignal,
  secrets: string[],
): Promise<Record<string, string>> {
  const filled: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const text =
      typeof value === 'string'
        ? fillText(value, context.variables)
        : await storedSecret(value.secretId, context.secret, signal, secrets);
    if (!headerText.test(text)) throw new EngineError('rejected', `header ${name} holds characters that a header may not have`);
    filled[name.toLowerCase()] = text;
    if (typeof value !== 'string') continue;
    for (const variable of placeholdersOf(value)) {
      if (isSecretName(variable)) secrets.push(context.variables[variable]!);
    }
  }
  return filled;
}

export async function storedSecret(
  secretId: string,
  secret: ToolContext['secret'],
  signal: AbortSignal,
  secrets: string[],
): Promise<string> {
  const value = await untilAborted(secret(secretId), signal);
  if (value === undefined) throw new EngineError('rejected', `secret "${secretId}" is not in the store`);
  secrets.push(value);
  return value;
}

/** Waits for `work`, but no longer than the signal allows. */
async function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new EngineError('aborted', 'cancelled'));
    signal.addEventListener('abort', stop, { once: true });
  });
  if (signal.aborted) stop();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function requestOf(
  tool: WebhookTool,
  given: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>>,
  context: ToolContext,
  signal: AbortSignal,
): HttpRequest {
  const { variables } = context;
  const url = filledUrl(tool.url, fillIn(tool.path, given, variables), variables);
  for (const [name, value] of entriesOf(fillIn(tool.query, given, variables))) url.searchParams.append(name, plainText(value));
  const body =
    tool.body === undefined ? undefined : encode(fillIn(tool.body, bodyPart(tool, given), variables), tool.contentType);
  return {
    url,
    method: tool.method,
    headers: {
      accept: 'application/json, text/*;q=0.9, */*;q=0.1',
      'accept-encoding': 'identity',
      'user-agent': 'Parley',
      ...(body === undefined ? {} : { 'content-type': tool.contentType }),
      ...headers,
    },
    body,
    signal,
  };
}

/** A body without a list of properties takes every argument that has no other place. */
function bodyPart(tool: WebhookTool, given: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (tool.body?.properties !== undefined) return given;
  const placed = new Set([...Object.keys(tool.path.properties ?? {}), ...Object.keys(tool.query.properties ?? {})]);
  return Object.fromEntries(Object.entries(given).filter(([name]) => !placed.has(name)));
}

/** Throws `rejected` when a value would change the path: an empty one, or one that means "here" or "up". */
function filledUrl(template: string, path: unknown, variables: Readonly<Record<string, string>>): URL {
  const values = new Map(entriesOf(path));
  const withVariables = fillText(template, variables, encodeURIComponent);
  const text = withVariables.replace(/\{([^{}]*)\}/g, (_, name: string) => {
    const value = plainText(values.get(name) ?? '');
    if (value === '') throw new EngineError('rejected', `arguments refused: /${name} must not be empty`);
    return encodeURIComponent(value);
  });
  const segments = text.replace(/[?#].*$/s, '').split('/');
  if (segments.some((segment) => segment === '.' || segment === '..'))
    throw new EngineError('rejected', 'arguments refused: a part of the path must not be . or ..');
  if (!URL.canParse(text)) throw new EngineError('rejected', 'the URL of the tool is not valid');
  const url = new URL(text);
  url.hash = '';
  return url;
}

function encode(value: unknown, contentType: WebhookTool['contentType']): Buffer {
  if (contentType === 'application/json') return Buffer.from(JSON.stringify(value ?? {}));
  const form = new URLSearchParams(entriesOf(value).map(([name, one]): [string, string] => [name, plainText(one)]));
  return Buffer.from(form.toString());
}

function entriesOf(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}

function plainText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** The last answer. A request that may be repeated is sent once more when there was no connection or no service behind it. */
async function ask(http: GuardedHttp, request: HttpRequest): Promise<IncomingMessage> {
  const mayRepeat = repeatable.has(request.method);
  try {
    const answer = await http.follow(request, toolLimits.redirectsMax);
    if (!mayRepeat || !repeatableStatuses.has(answer.statusCode ?? 0)) return answer;
    answer.destroy();
  } catch (error) {
    const { kind } = engineErrorOf(error, 'the service');
    if (!mayRepeat || request.signal.aborted || (kind !== 'refused' && kind !== 'broken')) throw error;
  }
  await delay(toolLimits.retryAfterMs, undefined, { signal: request.signal });
  return await http.follow(request, toolLimits.redirectsMax);
}

async function outcomeOf(
  answer: IncomingMessage,
  secrets: readonly string[],
): Promise<Pick<ToolOutcome, 'isError' | 'result' | 'isTruncated'>> {
  const status = answer.statusCode ?? 0;
  const { bytes, isCut } = await readBeginning(answer, toolLimits.answerBytesMax);
  const type = answer.headers['content-type'];
  const found = textOf(bytes, type, isCut);
  const text = found === undefined ? undefined : withoutSecrets(found, secrets);
  if (status < 200 || status > 299) {
    const piece = capped((text ?? '').trim(), toolLimits.errorBodyCharsMax, isCut).result;
    return { isError: true, result: piece === '' ? `HTTP ${status}` : `HTTP ${status}: ${piece}`, isTruncated: false };
  }
  if (text === undefined) {
    const named = /^[\w.+-]+\/[\w.+-]+/.exec(type ?? '')?.[0].slice(0, 80) ?? 'no type';
    return { isError: true, result: `the answer is not text (${named})`, isTruncated: false };
  }
  if (isCut) {
    const beginning = capped(text.trim(), toolLimits.errorBodyCharsMax, true).result;
    const most = `${toolLimits.answerBytesMax / 1024} KiB`;
    return { isError: true, result: `the answer is longer than ${most}; it begins: ${beginning}`, isTruncated: true };
  }
  if (text.trim() === '') return { isError: false, result: `HTTP ${status}, no content`, isTruncated: false };
  return { isError: false, ...capped(text, toolLimits.resultCharsMax) };
}
