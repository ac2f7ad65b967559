/** Agents: their JSON, checked, and what a session makes of it. Pure but for reading files at start; main, API and conversation thread. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { EngineError } from '../shared/errors.js';
import { valueAt } from '../shared/value-at.js';
import { checkGrammar, type GrammarIssue } from '../stt/embedded/grammar.js';
import { type TurnSettings, turnDefaults } from '../turn/settings.js';
import { switchableEvents } from '../wire/events.js';
import { agentSchema } from './agent-schema.js';

export type AgentConfig = z.infer<typeof agentSchema> & {
  /** Values of the secrets that the agent names, by id. Filled in by the API thread for sessions; never stored, never shown. */
  readonly secrets?: Readonly<Record<string, string>>;
};

/** One place of a document that breaks a rule. */
export type AgentIssue = {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly rule: string;
  readonly value: unknown;
};

export type CheckedAgent =
  | { readonly ok: true; readonly agent: AgentConfig }
  | { readonly ok: false; readonly issues: readonly AgentIssue[] };

/** Checks one agent; all that is wrong with it, in the order of the document's schema. Its grammar is looked at when the rest is right. */
export function checkAgent(value: unknown): CheckedAgent {
  const document = withoutNulls(value);
  const result = agentSchema.safeParse(document);
  if (!result.success) return { ok: false, issues: issuesOf(result.error, document) };
  const { grammar } = result.data.parley;
  const checked = grammar === undefined ? undefined : checkGrammar(grammar);
  if (checked?.ok === false) return { ok: false, issues: checked.issues.map(grammarIssue) };
  return { ok: true, agent: result.data };
}

/** As a place of the agent's document. */
export function grammarIssue({ path, value, rule }: GrammarIssue): AgentIssue {
  // Names in a grammar begin with a letter; what is a number is a place in a list.
  const steps = path.map((step) => (/^\d+$/.test(step) ? Number(step) : step));
  return { path: ['parley', 'grammar', ...steps], message: rule, rule: 'grammar', value };
}

/** What zod found, each with the value it found it in. */
export function issuesOf(error: z.ZodError, document: unknown): AgentIssue[] {
  return error.issues.map((issue) => {
    const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
    // The place of a key that nobody knows is the key.
    const end = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
    const place = [...path, ...end];
    return { path: place, message: issue.message, rule: issue.code, value: valueAt(document, place) };
  });
}

/** The public API means "not set" by null. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== null);
  return Object.fromEntries(entries.map(([key, item]) => [key, withoutNulls(item)]));
}

/** Checks one agent by `check`. Throws `config` naming source, path, value and rule. */
export function parseAgent(value: unknown, source: string, check: (value: unknown) => CheckedAgent = checkAgent): AgentConfig {
  const checked = check(value);
  if (checked.ok) return checked.agent;
  const { path, message, value: found } = checked.issues[0]!;
  const shown = found === undefined ? '' : `${JSON.stringify(found)?.slice(0, shownCharsMax)}: `;
  throw new EngineError('config', `${source}: ${path.join('.') || '(root)'}: ${shown}${message}`);
}

const shownCharsMax = 80;

/** What is done with each document of a file. */
export type FileReading = {
  readonly check: (value: unknown) => CheckedAgent;
  /** A document that passed, as it was written. */
  readonly onRead: (file: string, value: unknown) => void;
};

/** Reads a folder of agent files, or one file holding an agent or a list of them. `fallback` is added under its id unless one is there. */
export function loadAgents(
  path: string | undefined,
  fallback: AgentConfig,
  { check, onRead }: FileReading = { check: checkAgent, onRead: () => undefined },
): Map<string, AgentConfig> {
  const agents = new Map<string, AgentConfig>();
  if (path !== undefined) {
    for (const file of agentFiles(path)) {
      for (const value of readAgents(file)) {
        const agent = parseAgent(value, file, check);
        onRead(file, value);
        if (agents.has(agent.agent_id)) throw new EngineError('config', `${file}: agent_id "${agent.agent_id}" is used twice`);
        agents.set(agent.agent_id, agent);
      }
    }
  }
  if (!agents.has(fallback.agent_id)) agents.set(fallback.agent_id, fallback);
  return agents;
}

function agentFiles(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path)
      .filter((name) => name.endsWith('.json'))
      .sort()
      .map((name) => join(path, name));
  } catch (cause) {
    throw new EngineError('config', `PARLEY_AGENTS="${path}": no such file or folder`, { cause });
  }
}

function readAgents(file: string): unknown[] {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return Array.isArray(value) ? value : [value];
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError('config', `${file}: not readable as JSON: ${why}`, { cause });
  }
}

const eagernessRatio = { eager: 0.7, normal: 1, patient: 1.6 } as const;

/** The turn settings of an agent, before overrides. */
export function turnSettingsOf(agent: AgentConfig): TurnSettings {
  const { agent: speaker, turn, conversation } = agent.conversation_config;
  const chosen = agent.parley.turn ?? {};
  return {
    ...turnDefaults,
    idleMs: turn.turn_timeout * 1000,
    firstWaitMs: (turn.initial_wait_time ?? turn.turn_timeout) * 1000,
    silenceEndMs: turn.silence_end_call_timeout < 0 ? -1 : turn.silence_end_call_timeout * 1000,
    delayRatio: eagernessRatio[turn.turn_eagerness],
    isInterruptible: conversation.client_events.includes('interruption'),
    isFirstInterruptible: !speaker.disable_first_message_interruptions,
    ignoredTerms: turn.interruption_ignore_terms,
    ...(turn.spelling_patience === 'off' ? { delaySpellingMs: turnDefaults.delayNeutralMs } : {}),
    language: speaker.language.slice(0, 2).toLowerCase(),
    ...(Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined)) as Partial<TurnSettings>),
  };
}

/** Events of `client_events` that we know; unknown names are ignored as the protocol does. */
export function enabledEvents(names: readonly string[]): Set<string> {
  const known: readonly string[] = switchableEvents;
  return new Set(names.filter((name) => known.includes(name)));
}
