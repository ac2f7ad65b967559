/**
 * Which addresses tools may talk to. URLs of tools come from configurations, variables and redirects, so a tool could be made to ask the
 * services of our own network. Names are resolved here, every answer is checked, and the connection goes to the addresses that were
 * checked: a name that resolves to something else a moment later gains nothing. API thread.
 */
import { lookup as systemLookup } from 'node:dns/promises';
import type { LookupFunction, Socket } from 'node:net';
import ipaddr from 'ipaddr.js';
import { EngineError } from '../shared/errors.js';

/** All addresses of a name, or a rejection. Port of the guard, so that tests bring names of their own. */
export type Resolve = (host: string) => Promise<readonly string[]>;

const systemResolve: Resolve = async (host) => (await systemLookup(host, { all: true })).map(({ address }) => address);

/** Of one name; the rest is not looked at and not used. */
const addressesMax = 16;

/** What the operator allows although it is private. */
export type AllowedHosts = {
  /** Names and addresses, each with the port that is meant or undefined for any. */
  readonly hosts: readonly { readonly host: string; readonly port: number | undefined }[];
  readonly ranges: readonly (readonly [ipaddr.IPv4 | ipaddr.IPv6, number])[];
};

/** Reads `PARLEY_TOOL_HOSTS_ALLOWED`: `tools.internal, 127.0.0.1:8080, [::1]:9000, 10.1.0.0/16`. Throws `config` naming the part and the rule. */
export function parseAllowedHosts(text: string): AllowedHosts {
  const hosts: { host: string; port: number | undefined }[] = [];
  const ranges: (readonly [ipaddr.IPv4 | ipaddr.IPv6, number])[] = [];
  for (const part of text.split(/[\s,]+/).filter((one) => one !== '')) {
    if (part.includes('/')) {
      if (!ipaddr.isValidCIDR(part)) throw badPart(part);
      ranges.push(ipaddr.parseCIDR(part));
      continue;
    }
    // A bare IPv6 address has colons of its own.
    const isBareIpv6 = ipaddr.IPv6.isValid(part);
    const url = URL.canParse(`http://${isBareIpv6 ? `[${part}]` : part}/`)
      ? new URL(`http://${isBareIpv6 ? `[${part}]` : part}/`)
      : undefined;
    if (url === undefined || url.username !== '' || url.pathname !== '/' || url.search !== '' || url.hash !== '')
      throw badPart(part);
    const port = isBareIpv6 ? undefined : /:(\d+)$/.exec(part)?.[1];
    hosts.push({ host: plainHost(url.hostname), port: port === undefined ? undefined : Number(port) });
  }
  return { hosts, ranges };
}

function badPart(part: string): EngineError {
  return new EngineError(
    'config',
    `PARLEY_TOOL_HOSTS_ALLOWED: "${part}" is not allowed. Allowed: host, host:port, address or CIDR range, separated by commas.`,
  );
}

export class AddressGuard {
  readonly #allowed: AllowedHosts;
  readonly #resolve: Resolve;

  constructor(allowed: AllowedHosts, resolve: Resolve = systemResolve) {
    this.#allowed = allowed;
    this.#resolve = resolve;
  }

  /** Throws `rejected` unless the URL may be asked as far as it can be told without resolving: scheme, no user info, a literal address. */
  check(url: URL): void {
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refused(url.hostname, 'only http and https');
    if (url.username !== '' || url.password !== '') throw refused(url.hostname, 'no user info in a URL');
    // The URL parser has made dotted decimal of 2130706433, 0x7f.1, 0177.0.0.1 and full-width digits.
    const host = plainHost(url.hostname);
    if (ipaddr.isValid(host)) this.#checkAddress(host, host, portOf(url));
  }

  /** For the `lookup` of a request to `url`: gives the addresses of its name if all of them are allowed. */
  lookupFor(url: URL): LookupFunction {
    const port = portOf(url);
    return (hostname, options, callback) => {
      this.#addresses(hostname, port).then(
        (addresses) => {
          const found = addresses
            .map((address) => ({ address, family: familyOf(address) }))
            .filter(({ family }) => isFamily(options.family, family));
          const first = found[0];
          if (first === undefined) callback(unresolved(hostname), '', 4);
          else if (options.all === true) callback(null, found);
          else callback(null, first.address, first.family);
        },
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), '', 4),
      );
    };
  }

  /** The last look, at the address that the socket has really reached. Destroys the socket when it is not allowed. */
  watch(socket: Socket, url: URL): void {
    if (!socket.connecting) return;
    socket.once('connect', () => {
      try {
        this.#checkAddress(socket.remoteAddress ?? '', plainHost(url.hostname), portOf(url));
      } catch (error) {
        socket.destroy(error instanceof Error ? error : undefined);
      }
    });
  }

  async #addresses(hostname: string, port: number): Promise<readonly string[]> {
    const addresses = (await this.#resolve(hostname)).slice(0, addressesMax);
    if (addresses.length === 0) throw unresolved(hostname);
    for (const address of addresses) this.#checkAddress(address, plainHost(hostname), port);
    return addresses;
  }

  #checkAddress(address: string, host: string, port: number): void {
    if (isPublicAddress(address) || this.#isAllowed(address, host, port)) return;
    throw refused(host);
  }

  #isAllowed(address: string, host: string, port: number): boolean {
    const { hosts, ranges } = this.#allowed;
    if (hosts.some((one) => one.host === host && (one.port === undefined || one.port === port))) return true;
    if (!ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address);
    return ranges.some(([range, bits]) => range.kind() === parsed.kind() && parsed.match(range, bits));
  }
}

/** Reachable by anyone: the guard lets a tool go there. False for everything that is not an address. */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.process(text);
  if (address.kind() === 'ipv4') return isPublicIpv4(address as ipaddr.IPv4);
  const ipv6 = address as ipaddr.IPv6;
  const bytes = ipv6.toByteArray();
  // Gateways take such an address apart and go on to the IPv4 address inside it.
  if (ipv6.match(nat64, 96)) return isPublicIpv4(new ipaddr.IPv4(bytes.slice(12, 16)));
  if (ipv6.range() === '6to4') return isPublicIpv4(new ipaddr.IPv4(bytes.slice(2, 6)));
  // Only 2000::/3 is given out for the public network; this leaves out `::127.0.0.1` and whatever gets a meaning later.
  return ipv6.range() === 'unicast' && ipv6.match(globalUnicast, 3);
}

const nat64 = ipaddr.IPv6.parse('64:ff9b::');
const globalUnicast = ipaddr.IPv6.parse('2000::');
/** The metadata service of one large cloud has an address that looks public; those of the others are link-local or private. */
const metadataAddress = '168.63.129.16';

function isPublicIpv4(address: ipaddr.IPv4): boolean {
  return address.range() === 'unicast' && address.toString() !== metadataAddress;
}

function familyOf(address: string): 4 | 6 {
  return ipaddr.parse(address).kind() === 'ipv6' ? 6 : 4;
}

function isFamily(wanted: number | 'IPv4' | 'IPv6' | undefined, family: 4 | 6): boolean {
  if (wanted === undefined || wanted === 0) return true;
  return wanted === family || wanted === `IPv${family}`;
}

/** As the allow list has it: lower case, no brackets, no dot at the end. */
function plainHost(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
}

function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** Names the host as it was written and never what it resolved to. */
function refused(host: string, rule = 'private and special addresses are closed to tools'): EngineError {
  return new EngineError('rejected', `address not allowed: ${host} (${rule})`);
}

function unresolved(host: string): EngineError {
  return new EngineError('refused', `no address for ${host}`);
}
