/**
 * Which address a caller counts under: that of the connection or, behind proxies that are trusted by name, the last one in `X-Forwarded-For` that
 * is none of theirs. Nobody else's word is taken: the header can be written by anybody. Main thread.
 */
import ipaddr from 'ipaddr.js';
import { EngineError } from '../shared/errors.js';

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Addresses and CIDR ranges, separated by commas. Fails with `config`. */
export function parseProxies(text: string): readonly Range[] {
  const entries = text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  return entries.map((entry) => {
    if (ipaddr.isValidCIDR(entry)) return ipaddr.parseCIDR(entry);
    if (ipaddr.isValid(entry)) {
      const address = ipaddr.process(entry);
      return [address, address.kind() === 'ipv4' ? 32 : 128];
    }
    throw new EngineError('config', `"${entry}" is no address and no range of addresses.`);
  });
}

/** How much of a list of forwarders is looked at; a longer one is somebody's game. */
const forwardersMax = 32;
/** A household or a machine has all addresses of such a network, so they count as one. */
const ipv6NetworkBytes = 8;

export class ClientAddresses {
  readonly #proxies: readonly Range[];

  constructor(proxies: readonly Range[]) {
    this.#proxies = proxies;
  }

  /** `remoteAddress`: of the connection. IPv6: the first 64 bits. What is no address counts as it is written. */
  of(remoteAddress: string, forwardedFor: string | undefined): string {
    let address = parsed(remoteAddress);
    if (address === undefined) return remoteAddress;
    const forwarders = (forwardedFor ?? '').split(',').slice(-forwardersMax);
    // From the nearest to the farthest, as long as whoever said it is trusted.
    while (this.#isTrusted(address)) {
      const before = parsed(withoutPort(forwarders.pop()?.trim() ?? ''));
      if (before === undefined) break;
      address = before;
    }
    return keyOf(address);
  }

  #isTrusted(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
    return this.#proxies.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
  }
}

function parsed(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  // IPv4 in IPv6 is IPv4.
  return ipaddr.isValid(text) ? ipaddr.process(text) : undefined;
}

/** Some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`. */
function withoutPort(text: string): string {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1];
  return bracketed ?? text.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1');
}

function keyOf(address: ipaddr.IPv4 | ipaddr.IPv6): string {
  if (address.kind() === 'ipv4') return address.toString();
  const network = address.toByteArray().map((byte, index) => (index < ipv6NetworkBytes ? byte : 0));
  return `${ipaddr.fromByteArray(network).toString()}/64`;
}
