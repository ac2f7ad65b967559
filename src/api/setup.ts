/** What the API thread works with, from the settings of `config.ts`. */
import type { StoreSetting } from '../store/open.js';

export type ApiSetup = {
  readonly store: StoreSetting;
  /** Folder of recordings; undefined: nothing is recorded. */
  readonly recordingsPath: string | undefined;
  /** Empty: no key, and then the REST side is for this machine alone. */
  readonly apiKey: string;
  /** Secret of signed URLs; empty: made from the key, else new at each start. */
  readonly signingKey: string;
  /** As clients reach this server, without a slash at the end; empty: from each request's headers. */
  readonly publicUrl: string;
  /** Where finished conversations are posted to; empty: nowhere. */
  readonly webhookUrl: string;
  readonly webhookSecret: string;
  /** Private addresses that tools may talk to, as `parseAllowedHosts` reads them. */
  readonly toolHostsAllowed: string;
  /** MCP servers may be programs of this machine. */
  readonly isMcpStdioAllowed: boolean;
};
