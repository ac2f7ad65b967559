/**
 * Parameters of tools in the JSON Schema subset of the public API: what the model may choose, and what is filled in when the tool is
 * called: constants and dynamic variables, which the model neither sees nor can change. Pure; API and conversation thread.
 */
import { isDeepStrictEqual } from 'node:util';
import { EngineError } from '../shared/errors.js';

export const schemaLimits = {
  /** Objects and arrays inside each other. */
  depthMax: 12,
  /** Schemas of one tool, counted with all inside them. */
  nodesMax: 500,
} as const;

const typeNames = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null'] as const;
type TypeName = (typeof typeNames)[number];

/** Who gives the value. `allowedIn`: a variable that holds the JSON list of values the model may give; the model does not see the list. */
type ValueSource =
  | { readonly kind: 'model'; readonly allowedIn?: string }
  | { readonly kind: 'constant'; readonly value: unknown }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'omitted' };

/** One parameter, checked. */
export type ParameterSchema = {
  readonly types: readonly TypeName[];
  readonly source: ValueSource;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  /** Of an object. None: whatever the model writes is passed on. */
  readonly properties?: Readonly<Record<string, ParameterSchema>>;
  readonly required?: readonly string[];
  /** Of an array. */
  readonly items?: ParameterSchema;
};

/** Where a schema is wrong, and why. Thrown by `parseParameters` alone. */
export class SchemaProblem extends Error {
  override readonly name = 'SchemaProblem';
  readonly path: readonly (string | number)[];
  constructor(path: readonly (string | number)[], message: string) {
    super(message);
    this.path = path;
  }
}

type JsonObject = Readonly<Record<string, unknown>>;
type Place = { readonly path: readonly (string | number)[]; readonly depth: number; readonly budget: { nodes: number } };

/** Reads one schema of the public API; unknown keys are ignored. Throws `SchemaProblem`. */
export function parseParameters(value: unknown): ParameterSchema {
  return parse(value, { path: [], depth: 0, budget: { nodes: 0 } });
}

function parse(value: unknown, place: Place): ParameterSchema {
  const { path, budget } = place;
  budget.nodes += 1;
  if (budget.nodes > schemaLimits.nodesMax)
    throw new SchemaProblem(path, `more than ${schemaLimits.nodesMax} schemas in one tool`);
  if (place.depth > schemaLimits.depthMax) throw new SchemaProblem(path, `deeper than ${schemaLimits.depthMax} levels`);
  if (!isObject(value)) throw new SchemaProblem(path, 'must be an object');
  const types = typesOf(value, path);
  const { description, enum: choices } = value;
  if (isSet(choices) && !Array.isArray(choices)) throw new SchemaProblem([...path, 'enum'], 'must be a list');
  return {
    types,
    source: sourceOf(value, path),
    ...(typeof description === 'string' && description !== '' ? { description } : {}),
    ...(Array.isArray(choices) && choices.length > 0 ? { enum: choices } : {}),
    ...(types.includes('object') ? objectPart(value, place) : {}),
    ...(types.includes('array') && isSet(value['items']) ? { items: parse(value['items'], inside(place, 'items')) } : {}),
  };
}

function objectPart(value: JsonObject, place: Place): Pick<ParameterSchema, 'properties' | 'required'> {
  const { properties, required } = value;
  const { path } = place;
  if (isSet(properties) && !isObject(properties)) throw new SchemaProblem([...path, 'properties'], 'must be an object');
  const entries = Object.entries(properties ?? {}).map(
    ([name, schema]) => [name, parse(schema, inside(place, 'properties', name))] as const,
  );
  if (isSet(required) && !isListOfNames(required)) throw new SchemaProblem([...path, 'required'], 'must be a list of names');
  const unknown = isListOfNames(required) ? required.find((name) => !entries.some(([known]) => known === name)) : undefined;
  if (unknown !== undefined) throw new SchemaProblem([...path, 'required'], `"${unknown}" is not among the properties`);
  return {
    ...(entries.length > 0 ? { properties: Object.fromEntries(entries) } : {}),
    ...(isListOfNames(required) && required.length > 0 ? { required: [...new Set(required)] } : {}),
  };
}

function inside(place: Place, ...keys: string[]): Place {
  return { path: [...place.path, ...keys], depth: place.depth + 1, budget: place.budget };
}

function typesOf(value: JsonObject, path: readonly (string | number)[]): readonly TypeName[] {
  const given = value['type'] ?? (isSet(value['properties']) ? 'object' : isSet(value['items']) ? 'array' : undefined);
  const names: readonly unknown[] = Array.isArray(given) ? given : [given];
  const types = names.map((name) => typeNames.find((known) => known === name));
  if (types.length === 0 || types.some((type) => type === undefined))
    throw new SchemaProblem([...path, 'type'], `${JSON.stringify(given) ?? 'nothing'} is not one of ${typeNames.join(', ')}`);
  return types.filter((type) => type !== undefined);
}

function sourceOf(value: JsonObject, path: readonly (string | number)[]): ValueSource {
  const { constant_value: constant, dynamic_variable: variable, is_omitted: omitted, is_system_provided: provided } = value;
  if (provided === true) throw new SchemaProblem([...path, 'is_system_provided'], 'is not supported by this server');
  // The public API writes "" for what is not set.
  const sources = [isSet(constant), isSet(variable), omitted === true].filter(Boolean).length;
  if (sources > 1) throw new SchemaProblem(path, 'only one of constant_value, dynamic_variable and is_omitted may be set');
  if (omitted === true) return { kind: 'omitted' };
  if (isSet(constant)) return { kind: 'constant', value: constant };
  if (isSet(variable)) {
    if (typeof variable !== 'string') throw new SchemaProblem([...path, 'dynamic_variable'], 'must be the name of a variable');
    // The other side, and whoever reads what it answers, sees these values.
    if (isSecretName(variable)) throw new SchemaProblem([...path, 'dynamic_variable'], 'secrets may be used in headers only');
    return { kind: 'variable', name: variable };
  }
  const allowed = isObject(value['allowed_values'])
    ? value['allowed_values']['dynamic_variable']
    : value['allowed_values_dynamic_variable'];
  return typeof allowed === 'string' && allowed !== '' ? { kind: 'model', allowedIn: allowed } : { kind: 'model' };
}

/** Whether the model gives this value, or a part of it. */
export function isForModel(schema: ParameterSchema): boolean {
  if (schema.source.kind !== 'model') return false;
  return schema.properties === undefined || Object.values(schema.properties).some(isForModel);
}

/** The plain JSON Schema of what the model gives. */
export function modelSchema(schema: ParameterSchema): Record<string, unknown> {
  const { types, description, enum: choices, properties, items, required } = schema;
  const visible = properties === undefined ? undefined : Object.entries(properties).filter(([, child]) => isForModel(child));
  const names = visible?.map(([name]) => name) ?? [];
  const needed = required?.filter((name) => names.includes(name)) ?? [];
  return {
    type: types.length === 1 ? types[0] : [...types],
    ...(description === undefined ? {} : { description }),
    ...(choices === undefined ? {} : { enum: [...choices] }),
    ...(visible === undefined
      ? {}
      : { properties: Object.fromEntries(visible.map(([name, child]) => [name, modelSchema(child)])) }),
    ...(needed.length === 0 ? {} : { required: needed }),
    ...(items === undefined ? {} : { items: modelSchema(items) }),
  };
}

/**
 * Where the model's arguments do not fit what it was told (`modelSchema`), as a JSON Schema validator would say it; undefined: they fit.
 * Sessions use it, which have no time for compiling validators.
 */
export function misfitOf(schema: ParameterSchema, given: unknown, path = ''): string | undefined {
  const { types, enum: choices, properties, required, items } = schema;
  const say = (what: string): string => `${path === '' ? 'they' : path} ${what}`;
  if (!types.some((type) => isOfType(given, type))) return say(`must be ${types.join(',')}`);
  if (choices !== undefined && !choices.some((choice) => choice === given || isDeepStrictEqual(choice, given)))
    return say('must be equal to one of the allowed values');
  if (Array.isArray(given) && items !== undefined) {
    for (const [index, item] of given.entries()) {
      const misfit = misfitOf(items, item, `${path}/${index}`);
      if (misfit !== undefined) return misfit;
    }
  }
  if (properties === undefined || !isObject(given)) return undefined;
  for (const [name, child] of Object.entries(properties)) {
    if (!isForModel(child)) continue;
    if (Object.hasOwn(given, name)) {
      const misfit = misfitOf(child, given[name], `${path}/${name}`);
      if (misfit !== undefined) return misfit;
    } else if (required?.includes(name) === true) return say(`must have required property '${name}'`);
  }
  return undefined;
}

function isOfType(value: unknown, type: TypeName): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'null':
      return value === null;
    case 'integer':
      return Number.isInteger(value);
    case 'number':
      return Number.isFinite(value);
    default:
      return typeof value === type;
  }
}

/** Dynamic variables that a call needs if the parameter is sent at all. */
export function variablesOf(schema: ParameterSchema): Set<string> {
  const names = new Set<string>();
  const { source, properties, items } = schema;
  if (source.kind === 'variable') names.add(source.name);
  if (source.kind === 'model' && source.allowedIn !== undefined) names.add(source.allowedIn);
  const children = [...Object.values(properties ?? {}), ...(items === undefined ? [] : [items])];
  for (const child of children) for (const name of variablesOf(child)) names.add(name);
  return names;
}

type Variables = Readonly<Record<string, string>>;

/**
 * The value that is sent: `given` (of the model; checked against `modelSchema` before) with constants and variables filled in, and
 * properties that the schema does not name left out. Undefined: nothing is sent. Throws `rejected` when a variable is missing
 * that a required part needs, or does not fit its type, and when the model gave a value that is not allowed.
 */
export function fillIn(
  schema: ParameterSchema,
  given: unknown,
  variables: Variables,
  isRequired = true,
  name = 'arguments',
): unknown {
  const { source } = schema;
  if (source.kind === 'omitted') return undefined;
  if (source.kind === 'constant') return source.value;
  if (source.kind === 'variable') {
    if (Object.hasOwn(variables, source.name)) return convert(variables[source.name]!, schema, source.name);
    if (isRequired) throw new EngineError('rejected', `dynamic variable "${source.name}" is missing`);
    return undefined;
  }
  if (schema.properties !== undefined && (given === undefined || isObject(given))) {
    // An optional object that the model left out stays out, unless nothing in it was the model's to give.
    if (given === undefined && !isRequired && isForModel(schema)) return undefined;
    return fillObject(schema, given ?? {}, variables, name);
  }
  if (given === undefined) return undefined;
  if (source.allowedIn !== undefined) checkAllowed(given, source.allowedIn, variables, name);
  const { items } = schema;
  if (items === undefined || !Array.isArray(given)) return given;
  return given.map((item: unknown, index) => fillIn(items, item, variables, true, `${name}/${index}`));
}

function fillObject(schema: ParameterSchema, given: JsonObject, variables: Variables, name: string): Record<string, unknown> {
  const entries = Object.entries(schema.properties ?? {}).map(([key, child]) => {
    const value = Object.hasOwn(given, key) ? given[key] : undefined;
    return [key, fillIn(child, value, variables, schema.required?.includes(key) ?? false, `${name}/${key}`)] as const;
  });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/** A variable is text; the schema says what it is sent as. */
function convert(text: string, schema: ParameterSchema, variable: string): unknown {
  for (const type of schema.types) {
    if (type === 'string') return text;
    if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
    if ((type === 'number' || type === 'integer') && text.trim() !== '') {
      const number = Number(text);
      if (type === 'number' ? Number.isFinite(number) : Number.isSafeInteger(number)) return number;
    }
    if (type === 'object' || type === 'array') {
      const value = parseJson(text);
      if (type === 'object' ? isObject(value) : Array.isArray(value)) return value;
    }
  }
  throw new EngineError('rejected', `dynamic variable "${variable}" is not of type ${schema.types.join(' or ')}`);
}

function checkAllowed(given: unknown, variable: string, variables: Variables, name: string): void {
  const list = Object.hasOwn(variables, variable) ? parseJson(variables[variable]!) : undefined;
  if (!Array.isArray(list) || !list.includes(given)) throw new EngineError('rejected', `${name} is not among the allowed values`);
}

/** The value, or undefined when it is not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Of a dynamic variable that neither the model nor the transcript may see. */
export function isSecretName(variable: string): boolean {
  return variable.startsWith('secret__');
}

const placeholder = /\{\{\s*([\w.-]+)\s*\}\}/g;

/** Names of the `{{name}}` parts of a text. */
export function placeholdersOf(text: string): string[] {
  return [...text.matchAll(placeholder)].map((match) => match[1]!);
}

/** `text` with its `{{name}}` parts filled in, each through `encode`. Throws `rejected` when a variable is missing. */
export function fillText(text: string, variables: Variables, encode: (value: string) => string = (value) => value): string {
  return text.replace(placeholder, (_, name: string) => {
    if (!Object.hasOwn(variables, name)) throw new EngineError('rejected', `dynamic variable "${name}" is missing`);
    return encode(variables[name]!);
  });
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
}

function isListOfNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}
