/** The initiation message: what one caller wants different from the agent's settings. Pure; main thread, once per connection. */
import type { Initiation } from './events.js';
import { type Fields, isObject, wellFormed } from './fields.js';

type Present<Shape> = { [Name in keyof Shape]?: Exclude<Shape[Name], undefined> };

function withoutAbsent<Shape extends object>(shape: Shape): Present<Shape> {
  return Object.fromEntries(Object.entries(shape).filter(([, value]) => value !== undefined)) as Present<Shape>;
}

/** Python clients without an audio interface say `text_only` one level too high; both places count. */
function textOnlyOf(overrides: Fields): boolean | undefined {
  const flags = [overrides.optionalFlag('text_only'), overrides.child('conversation').optionalFlag('text_only')];
  return flags.includes(true) ? true : flags.includes(false) ? false : undefined;
}

/** A variable's name is the client's own text: shown only when it is short and plain. */
function shownName(name: string): string {
  return /^[A-Za-z_][\w.-]{0,31}$/.test(name) ? name : '*';
}

/** Strings, finite numbers and booleans; null counts as not given, like everywhere in this message. */
function dynamicVariablesOf(variables: Fields): Record<string, string | number | boolean> {
  const entries: [string, string | number | boolean][] = [];
  for (const name of variables.names()) {
    const value = variables.raw(name);
    if (value === null) continue;
    if (typeof value === 'string') entries.push([wellFormed(name), wellFormed(value)]);
    else if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value)))
      entries.push([wellFormed(name), value]);
    else {
      const found = typeof value === 'number' ? 'another number' : undefined;
      variables.refuse(name, 'a string, a finite number, true or false', found, shownName(name));
    }
  }
  return Object.fromEntries(entries); // defines own properties, so that a variable called __proto__ is one
}

/** A copy as plain JSON, without the one name that turns dangerous when somebody merges it later. Depth is bounded by `decode.ts`. */
function plainCopy(value: unknown): unknown {
  if (typeof value === 'string') return wellFormed(value);
  if (Array.isArray(value)) return value.map(plainCopy);
  return isObject(value) ? copyWithout(value, (name) => name === '__proto__') : value;
}

function copyWithout(values: Readonly<Record<string, unknown>>, isLeftOut: (name: string) => boolean): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values)
      .filter(([name]) => !isLeftOut(name))
      .map(([name, item]) => [wellFormed(name), plainCopy(item)]),
  );
}

/** What is kept of the message for the record. Secrets are for the headers of tools, and nobody reads them later. */
function documentOf(message: Fields): Record<string, unknown> {
  const document = copyWithout(message.values(), (name) => name === 'type' || name === '__proto__');
  const variables = message.raw('dynamic_variables');
  if (isObject(variables)) {
    document['dynamic_variables'] = copyWithout(variables, (name) => name === '__proto__' || name.startsWith('secret__'));
  }
  return document;
}

/** Null, `{}` and absence mean "not overridden" at every level; fields that we have no use for are not looked at. */
export function readInitiation(message: Fields): Initiation {
  const overrides = message.child('conversation_config_override');
  const [agent, tts] = [overrides.child('agent'), overrides.child('tts')];
  const [asr, conversation] = [overrides.child('asr'), overrides.child('conversation')];
  const prompt = agent.child('prompt');
  const softTimeout = overrides.child('turn').child('soft_timeout_config');
  const sourceInfo = message.child('source_info');
  const extraBody = message.child('custom_llm_extra_body');
  return {
    overrides: withoutAbsent({
      prompt: prompt.optionalText('prompt'),
      llm: prompt.optionalText('llm'),
      firstMessage: agent.optionalText('first_message'),
      language: agent.optionalText('language'),
      toolIds: prompt.optionalTexts('tool_ids'),
      mcpServerIds: agent.optionalTexts('native_mcp_server_ids'),
      maxDurationMessage: agent.optionalText('max_conversation_duration_message'),
      softTimeoutMessage: softTimeout.optionalText('message'),
      voiceId: tts.optionalText('voice_id'),
      ttsModelId: tts.optionalText('model_id'),
      stability: tts.optionalNumber('stability', 0, 1),
      speed: tts.optionalNumber('speed', 0.7, 1.2),
      similarityBoost: tts.optionalNumber('similarity_boost', 0, 1),
      asrKeywords: asr.optionalTexts('keywords'),
      textOnly: textOnlyOf(overrides),
      maxDurationSeconds: conversation.optionalWhole('max_duration_seconds', 1),
      clientEvents: conversation.optionalTexts('client_events'),
    }),
    dynamicVariables: dynamicVariablesOf(message.child('dynamic_variables')),
    document: documentOf(message),
    ...withoutAbsent({
      customLlmExtraBody:
        extraBody.names().length === 0 ? undefined : (plainCopy(message.raw('custom_llm_extra_body')) as Record<string, unknown>),
      userId: message.optionalText('user_id'),
      environment: message.optionalText('environment'),
      sourceInfo:
        sourceInfo.names().length === 0
          ? undefined
          : withoutAbsent({ source: sourceInfo.optionalText('source'), version: sourceInfo.optionalText('version') }),
    }),
  };
}
