/** The OpenAPI 3.1 document, made of the route table and its schemas. Pure; API thread. */
import { z } from 'zod';
import type { Json } from '../store/port.js';
import { ok } from './http.js';
import { json, type Route, route } from './router.js';

const errorNames = {
  400: 'Bad request',
  401: 'The API key is missing or not valid',
  404: 'There is no such thing',
  422: 'What was sent does not validate; each entry names path, rule and value',
  503: 'Not available now',
} as const;

/** `routes`: all others. */
export function openApiRoutes(routes: readonly Route[], version: string, publicUrl: string): Route[] {
  // Made when it is first asked for.
  let document: Json | undefined;
  const own: Route = route('GET', '/openapi.json', {
    id: 'getOpenApi',
    summary: 'This document',
    isPublic: true,
    answer: json(z.looseObject({ openapi: z.string() })),
    run: async () => {
      document ??= openApi([...routes, own], version, publicUrl);
      return ok(document);
    },
  });
  return [own];
}

/** `publicUrl`: where clients reach this server; empty: where they found the document. */
export function openApi(routes: readonly Route[], version: string, publicUrl: string): Json {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const one of routes) {
    paths[one.path] ??= {};
    paths[one.path]![one.method.toLowerCase()] = operation(one);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Parley',
      version,
      description: 'The REST side of a voice-agent engine that speaks the ElevenLabs Agents protocol.',
    },
    servers: [{ url: publicUrl === '' ? '/' : publicUrl }],
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: 'xi-api-key' },
        bearer: { type: 'http', scheme: 'bearer' },
      },
      schemas: {
        Refusal: schemaOf(z.object({ detail: z.object({ status: z.string(), message: z.string() }) }), 'output'),
        Invalid: schemaOf(
          z.object({
            detail: z.array(
              z.object({
                loc: z.array(z.union([z.string(), z.int()])),
                msg: z.string(),
                type: z.string(),
                input: z.unknown().optional(),
              }),
            ),
          }),
          'output',
        ),
      },
    },
  };
}

function operation(one: Route): Json {
  const { id, summary, isPublic, query, body, answer, path } = one;
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const media =
    answer.kind === 'json'
      ? { 'application/json': { schema: schemaOf(answer.schema, 'output') } }
      : Object.fromEntries(answer.mediaTypes.map((type) => [type, { schema: { type: 'string', format: 'binary' } }]));
  return {
    operationId: id,
    summary,
    security: isPublic ? [] : [{ apiKey: [] }, { bearer: [] }],
    parameters: [...inPath, ...(query === undefined ? [] : queryParameters(query))],
    ...(body.kind === 'none' ? {} : { requestBody: requestBody(body) }),
    responses: {
      200: { description: 'Done', content: media },
      ...Object.fromEntries(
        Object.entries(errorNames)
          .filter(([status]) => status !== '401' || !isPublic)
          .map(([status, description]) => [
            status,
            {
              description,
              content: {
                'application/json': { schema: { $ref: `#/components/schemas/${status === '422' ? 'Invalid' : 'Refusal'}` } },
              },
            },
          ]),
      ),
    },
  };
}

function requestBody(body: Exclude<Route['body'], { kind: 'none' }>): Json {
  if (body.kind === 'json') {
    return { required: !body.isOptional, content: { 'application/json': { schema: schemaOf(body.described, 'input') } } };
  }
  const schema = {
    type: 'object',
    required: [body.field],
    properties: { [body.field]: { type: 'string', format: 'binary' } },
  };
  return { required: true, content: { 'multipart/form-data': { schema } } };
}

function queryParameters(query: z.ZodObject): Json[] {
  const { properties = {}, required = [] } = schemaOf(query, 'input') as {
    readonly properties?: Readonly<Record<string, Json>>;
    readonly required?: readonly string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: required.includes(name), schema }));
}

/** JSON Schema 2020-12, which OpenAPI 3.1 takes as it is. What JSON Schema cannot say (a transformation) is left open. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}
