/** Reads a webhook tool of the public API (`{type: "webhook", name, description, api_schema, …}`) and says where it is wrong. Pure; API thread. */
import { strict as assert } from 'node:assert';
import { z } from 'zod';
import { valueAt } from '../shared/value-at.js';
import { type Checked, type ConfigIssue, type HeaderValue, toolLimits, type WebhookTool } from './port.js';
import { isForModel, modelSchema, type ParameterSchema, parseParameters, SchemaProblem } from './schema.js';

const urlCharsMax = 2048;
const headersMax = 64;
/** Seconds, as the public API allows them. */
const timeoutSecsMax = toolLimits.timeoutMaxMs / 1000;
/** Headers that belong to the connection and not to the tool. */
const ownHeaders =
  /^(host|connection|content-length|transfer-encoding|expect|upgrade|te|trailer|keep-alive|accept-encoding|proxy-.*)$/i;

/** One schema of the API as our own; problems carry the path inside it. */
const parameters = z.unknown().transform((value, context): ParameterSchema => {
  try {
    return parseParameters(value);
  } catch (error) {
    if (!(error instanceof SchemaProblem)) throw error;
    context.addIssue({ code: 'custom', path: [...error.path], message: error.message });
    return z.NEVER;
  }
});

const none: ParameterSchema = { types: ['object'], source: { kind: 'model' }, properties: {} };

/** Headers of tools and MCP servers: text, a secret by id, a dynamic variable by name. */
export const headersSchema = z
  .record(
    z
      .string()
      .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'is not a header name')
      .refine((name) => !ownHeaders.test(name), 'belongs to the connection and cannot be set'),
    z.union(
      [
        z.string().max(8192),
        z.object({ secret_id: z.string().min(1) }).transform(({ secret_id }): HeaderValue => ({ secretId: secret_id })),
        z.object({ variable_name: z.string().min(1) }).transform(({ variable_name }): HeaderValue => `{{${variable_name}}}`),
      ],
      'must be a text, {"secret_id": …} or {"variable_name": …}',
    ),
  )
  .refine((headers) => Object.keys(headers).length <= headersMax, `more than ${headersMax} headers`);

/** What changes what is sent or shown, and is not built: refused rather than left out silently. */
const unsupported = z.null('is not supported by this server').optional();

export const webhookSchema = z
  .object({
    type: z.literal('webhook'),
    name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -'),
    description: z.string().max(10_000).default(''),
    response_timeout_secs: z
      .number()
      .min(1)
      .max(timeoutSecsMax)
      .default(toolLimits.timeoutDefaultMs / 1000),
    api_schema: z.object({
      url: z.string().max(urlCharsMax),
      method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).default('GET'),
      request_headers: headersSchema.nullish(),
      path_params_schema: z.record(z.string(), z.unknown()).nullish(),
      query_params_schema: z
        .object({ properties: z.record(z.string(), z.unknown()), required: z.array(z.string()).nullish() })
        .nullish(),
      request_body_schema: parameters.nullish(),
      content_type: z.enum(['application/json', 'application/x-www-form-urlencoded']).nullish(),
      auth_connection: unsupported,
      response_filter: z.object({ mode: z.literal('all', 'filters are not supported by this server').optional() }).nullish(),
    }),
  })
  .transform((config, context): WebhookTool => {
    const { api_schema: api } = config;
    const fail = (path: string, message: string): void => {
      context.addIssue({ code: 'custom', path: ['api_schema', ...path.split('.')], message });
    };
    const path = literals(api.path_params_schema ?? {}, Object.keys(api.path_params_schema ?? {}), 'path_params_schema', fail);
    const query = literals(
      api.query_params_schema?.properties ?? {},
      api.query_params_schema?.required ?? [],
      'query_params_schema.properties',
      fail,
    );
    const hasBody = api.method === 'POST' || api.method === 'PUT' || api.method === 'PATCH';
    const body = hasBody ? (api.request_body_schema ?? undefined) : undefined;
    if (body !== undefined && !body.types.includes('object')) fail('request_body_schema.type', 'must be object');
    const problem = urlProblem(api.url, Object.keys(path.properties ?? {}));
    if (problem !== undefined) fail('url', problem);
    const parts = [path, query, ...(body === undefined ? [] : [body])];
    const clash = clashOf(parts);
    if (clash !== undefined) fail('url', `parameter "${clash}" occurs in several places with different schemas; rename one`);
    return {
      type: 'webhook',
      name: config.name,
      description: config.description,
      parameters: allParameters(parts, body?.description),
      method: api.method,
      url: api.url,
      headers: api.request_headers ?? {},
      path,
      query,
      body,
      contentType: api.content_type ?? 'application/json',
      timeoutMs: config.response_timeout_secs * 1000,
    };
  });

/** The tool, or what is wrong with it. */
export function checkWebhook(document: unknown): Checked<WebhookTool> {
  return checkedBy(webhookSchema, document);
}

/** What a schema makes of a document, in our own words. */
export function checkedBy<Value>(schema: z.ZodType<Value>, document: unknown): Checked<Value> {
  const result = schema.safeParse(document);
  if (result.success) return { ok: true, value: result.data };
  const [first, ...others] = result.error.issues.map(({ path: steps, message, code }): ConfigIssue => {
    const path = steps.map((step) => (typeof step === 'symbol' ? String(step) : step));
    return { path, message, rule: code, value: valueAt(document, path) };
  });
  assert(first !== undefined, 'what is refused has an issue');
  return { ok: false, issues: [first, ...others] };
}

/** Parameters of the path or the query: one value each. */
function literals(
  schemas: Readonly<Record<string, unknown>>,
  required: readonly string[],
  where: string,
  fail: (path: string, message: string) => void,
): ParameterSchema {
  try {
    const schema = parseParameters({ type: 'object', properties: schemas, required });
    const wrong = Object.entries(schema.properties ?? {}).find(([, one]) =>
      one.types.some((type) => type === 'object' || type === 'array'),
    );
    if (wrong !== undefined) fail(`${where}.${wrong[0]}.type`, 'must be a single value');
    return schema.properties === undefined ? none : schema;
  } catch (error) {
    if (!(error instanceof SchemaProblem)) throw error;
    // The first step of its path is `properties`, which `where` has already.
    fail([where, ...error.path.slice(1)].join('.'), error.message);
    return none;
  }
}

/** What is wrong with a URL that may hold `{path}` and `{{variable}}` parts, or undefined. */
function urlProblem(url: string, pathNames: readonly string[]): string | undefined {
  const host = /^https?:\/\/([^/?#\\]*)/i.exec(url)?.[1];
  if (host === undefined) return 'must begin with http:// or https://';
  // Whoever may choose the host gets the headers, and variables come from the caller's browser.
  if (/[{}]/.test(host)) return 'the host must be written out';
  if (host.includes('@')) return 'must hold no user info; use request_headers';
  const withoutVariables = url.replaceAll(/\{\{\s*[\w.-]+\s*\}\}/g, 'x');
  const unknown = [...withoutVariables.matchAll(/\{([^{}]*)\}/g)]
    .map((match) => match[1]!)
    .find((name) => !pathNames.includes(name));
  if (unknown !== undefined) return `{${unknown}} is not in path_params_schema`;
  if (/\{\{\s*secret__/.test(url)) return 'secrets may be used in headers only';
  return URL.canParse(withoutVariables.replaceAll(/\{[^{}]*\}/g, 'x')) ? undefined : 'is not a URL';
}

/** A name that the model would have to give two meanings. */
function clashOf(parts: readonly ParameterSchema[]): string | undefined {
  const known = new Map<string, string>();
  for (const part of parts) {
    for (const [name, schema] of Object.entries(part.properties ?? {})) {
      if (!isForModel(schema)) continue;
      const meaning = JSON.stringify({ ...modelSchema(schema), description: '' });
      if ((known.get(name) ?? meaning) !== meaning) return name;
      known.set(name, meaning);
    }
  }
  return undefined;
}

function allParameters(parts: readonly ParameterSchema[], description: string | undefined): Record<string, unknown> {
  const properties: [string, unknown][] = [];
  const required = new Set<string>();
  for (const part of parts) {
    for (const [name, schema] of Object.entries(part.properties ?? {})) {
      if (!isForModel(schema)) continue;
      properties.push([name, modelSchema(schema)]);
      if (part.required?.includes(name) === true) required.add(name);
    }
  }
  return {
    type: 'object',
    ...(description === undefined ? {} : { description }),
    properties: Object.fromEntries(properties),
    ...(required.size > 0 ? { required: [...required] } : {}),
  };
}
