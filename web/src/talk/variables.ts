/** The dynamic variables that an agent wants to be given when a call starts. Pure. */
import type { Json } from '../agents/document.js';

export type Variable = {
  readonly name: string;
  /** What the agent takes when nothing is given; undefined: it must be given. */
  readonly placeholder: string | undefined;
};

const named = /\{\{\s*([\w.-]+)\s*\}\}/g;
const namesMax = 50;

/** Those it has placeholders for, and those its texts and tools name; not the ones that the server fills in. */
export function variablesOf(agent: Json): Variable[] {
  const config = (agent['conversation_config'] ?? {}) as Json;
  const speaker = (config['agent'] ?? {}) as Json;
  const prompt = (speaker['prompt'] ?? {}) as Json;
  const tools = Array.isArray(prompt['tools']) ? (prompt['tools'] as Json[]) : [];
  const placeholders: Json = Object.assign({}, ...tools.map(placeholdersIn), placeholdersIn(speaker));
  const names = new Set(Object.keys(placeholders));
  // The texts that cannot be said without them. What tools need is asked for when they run.
  for (const text of [speaker['first_message'], prompt['prompt'], speaker['max_conversation_duration_message']]) {
    if (typeof text !== 'string') continue;
    for (const [, name] of text.matchAll(named)) if (name !== undefined) names.add(name);
  }
  return [...names]
    .filter((name) => !name.startsWith('system__'))
    .slice(0, namesMax)
    .map((name) => ({ name, placeholder: Object.hasOwn(placeholders, name) ? String(placeholders[name]) : undefined }));
}

function placeholdersIn(part: Json): Json {
  return ((part['dynamic_variables'] as Json | undefined)?.['dynamic_variable_placeholders'] ?? {}) as Json;
}

/** For tools alone, and none of the texts needs it. */
export function isSecret(name: string): boolean {
  return name.startsWith('secret__');
}

/** What is sent: what the visitor gave. */
export function givenOf(variables: readonly Variable[], values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    variables.flatMap(({ name }) => {
      const value = values[name]?.trim() ?? '';
      return value === '' ? [] : [[name, value]];
    }),
  );
}

/** Names of those that must be given and are not. */
export function missingOf(variables: readonly Variable[], values: Readonly<Record<string, string>>): string[] {
  const given = givenOf(variables, values);
  return variables
    .filter(({ name, placeholder }) => placeholder === undefined && !isSecret(name) && !Object.hasOwn(given, name))
    .map(({ name }) => name);
}
