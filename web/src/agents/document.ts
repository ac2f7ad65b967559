/** Reading and changing one field of an agent's document by its path. Pure. */
export type Json = { readonly [name: string]: unknown };

/** What the editor works on: the parts of an agent that may be written. */
export type AgentDocument = Json & {
  readonly name?: string;
  readonly conversation_config?: Json;
  readonly platform_settings?: Json;
};

/** The value at a path like `conversation_config.agent.language`; undefined where nothing is. */
export function valueAt(document: Json, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (isObject(value) ? value[name] : undefined), document);
}

/** A copy with one field changed; undefined takes the field away. Objects on the way are made. */
export function withValue<Document extends Json>(document: Document, path: string, value: unknown): Document {
  const [name = '', ...rest] = path.split('.');
  if (rest.length === 0 && value === undefined) {
    const { [name]: _gone, ...others } = document;
    return others as Document;
  }
  const inner = document[name];
  const next = rest.length === 0 ? value : withValue(isObject(inner) ? inner : {}, rest.join('.'), value);
  return { ...document, [name]: next };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What the server adds to an agent and nobody writes. */
const readOnly = [
  'agent_id',
  'metadata',
  'access_info',
  'version_id',
  'branch_id',
  'main_branch_id',
  'phone_numbers',
  'whatsapp_accounts',
  'warnings',
];

/** The parts of an agent that may be written. */
export function writable(body: Json): AgentDocument {
  return Object.fromEntries(Object.entries(body).filter(([name]) => !readOnly.includes(name)));
}

/** Only what is different: a change elsewhere in the meantime stays. Arrays and plain values go as a whole, what was taken away as null. */
export function changesOf(before: Json, after: Json): Json {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const changes: Record<string, unknown> = {};
  for (const name of names) {
    const [old, now] = [before[name], after[name]];
    if (isObject(old) && isObject(now)) {
      const inner = changesOf(old, now);
      if (Object.keys(inner).length > 0) changes[name] = inner;
    } else if (JSON.stringify(old) !== JSON.stringify(now)) changes[name] = now ?? null;
  }
  return changes;
}

export const newAgent: AgentDocument = {
  name: 'New agent',
  conversation_config: {
    agent: {
      first_message: 'Hello, how can I help?',
      language: 'en',
      prompt: { prompt: 'You are a friendly voice agent. Answer in one or two short sentences.' },
    },
  },
};
