/** Settings that the commands of a load run share. */
import { type ProfileName, profileNames } from '../providers/profile.js';
import type { TargetOptions } from './load-run.js';

export const targetTexts = {
  url: { means: 'of the engine, ws://host:port; without it one is started here' },
  agent: { means: 'agent_id; without it the server’s default' },
  simulator: { means: 'http URL of simulated providers that the engine at --url uses (npm run providers)' },
} as const;

type TargetSettings = {
  readonly url?: string | undefined;
  readonly agent?: string | undefined;
  readonly simulator?: string | undefined;
  readonly profile?: string | undefined;
  readonly seed: number;
};

/** Whom `sessions` calls at once go to. */
export function targetOf(settings: TargetSettings, sessions: number): TargetOptions {
  return {
    url: settings.url,
    agentId: settings.agent,
    simulatorUrl: settings.simulator,
    apiKey: readApiKey(),
    profile: profileOf(settings.profile),
    sessions,
    seed: settings.seed,
  };
}

function profileOf(text: string | undefined): ProfileName {
  return profileNames.find((name) => name === text) ?? 'reference';
}

/** Keys come from the environment: a command line can be read by every process of the machine. */
function readApiKey(): string | undefined {
  return process.env['PARLEY_API_KEY'] || undefined;
}

/** Aborts at the first Ctrl-C, so that what was measured is still told; a second one ends the process as usual. */
export function stopOnSignal(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  return controller.signal;
}
