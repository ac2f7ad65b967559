/** Names for things: 28 lower-case letters and digits, as clients of the public protocol know them. Any thread. */
import { randomBytes } from 'node:crypto';

const idBytes = 14;

/** The part behind `agent_`, `conv_` and the like; not to be guessed. */
export function randomId(): string {
  return randomBytes(idBytes).toString('hex');
}
