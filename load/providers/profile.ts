/**
 * Latency profiles of the simulated providers: how long each service takes, as seeded draws, one set per request. Pure apart from the
 * request counters; runs on the simulator's main thread.
 */
import type { Endpoint } from './endpoints.js';
import type { Fault } from './faults.js';
import { normalOf, type Random, randomOf } from './seeded.js';

/** A lognormal distribution by two of its points, in milliseconds. */
export type Quantiles = { readonly p50Ms: number; readonly p95Ms: number };

export type Profile = {
  readonly name: string;
  /** As a client sees it, network included: whole request sent to first byte of the answer, when the audio ends in a pause. */
  readonly sttFinal: Quantiles;
  /** The same, when a word still sounds at the end of the audio. */
  readonly sttPartial: Quantiles;
  readonly llmFirstToken: Quantiles;
  /** 0 = all at once. */
  readonly tokensPerSecond: number;
  readonly ttsFirstByte: Quantiles;
  /** Seconds of audio made in a second; 0 = all at once. */
  readonly ttsRealTimeRatio: number;
  /** One way, normal, cut at three deviations; a part of the figures above, in both directions. */
  readonly linkMs: number;
  readonly linkDeviationMs: number;
  /** Share of requests that stall once for `stallMs`. */
  readonly stallRatio: number;
  readonly stallMs: number;
  /** One request of each so many (per endpoint) loses its connection in the middle; 0 = none. */
  readonly disconnectEvery: number;
};

/** A lognormal draw never exceeds its p95 by more than this factor, so that a test has a bound to wait for. */
const tailRatioMax = 3;
/** 95th percentile of the standard normal distribution. */
const normalP95 = 1.6448536;

const reference: Profile = {
  name: 'reference',
  sttFinal: { p50Ms: 250, p95Ms: 350 },
  sttPartial: { p50Ms: 180, p95Ms: 350 },
  llmFirstToken: { p50Ms: 350, p95Ms: 700 },
  tokensPerSecond: 80,
  ttsFirstByte: { p50Ms: 120, p95Ms: 250 },
  ttsRealTimeRatio: 8,
  linkMs: 20,
  linkDeviationMs: 5,
  stallRatio: 0,
  stallMs: 0,
  disconnectEvery: 0,
};

/** Every duration multiplied, every rate divided. */
function scaled(profile: Profile, name: string, factor: number): Profile {
  const times = (quantiles: Quantiles): Quantiles => ({ p50Ms: quantiles.p50Ms * factor, p95Ms: quantiles.p95Ms * factor });
  const rate = (value: number): number => (factor === 0 ? 0 : value / factor);
  return {
    ...profile,
    name,
    sttFinal: times(profile.sttFinal),
    sttPartial: times(profile.sttPartial),
    llmFirstToken: times(profile.llmFirstToken),
    tokensPerSecond: rate(profile.tokensPerSecond),
    ttsFirstByte: times(profile.ttsFirstByte),
    ttsRealTimeRatio: rate(profile.ttsRealTimeRatio),
    linkMs: profile.linkMs * factor,
    linkDeviationMs: profile.linkDeviationMs * factor,
  };
}

export const profiles = {
  reference,
  fast: scaled(reference, 'fast', 0.6),
  slow: scaled(reference, 'slow', 2),
  /** `reference` with 1 % stalls of 1.5 s and one lost connection in every 100 requests of an endpoint. */
  flaky: { ...reference, name: 'flaky', stallRatio: 0.01, stallMs: 1500, disconnectEvery: 100 },
  /** No delays at all: for tests of what is said, not when. */
  instant: scaled(reference, 'instant', 0),
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof profiles;
export const profileNames = Object.keys(profiles) as ProfileName[];

/** What one request was dealt. */
export type Draws = {
  /** Number of the request at its endpoint since the profile was set, from 0. */
  readonly ordinal: number;
  readonly uplinkMs: number;
  readonly downlinkMs: number;
  /** A draw from `quantiles` for this request, less its time on the network. */
  readonly durationMs: (quantiles: Quantiles) => number;
  /** Faults of the profile itself. */
  readonly fault: Fault | undefined;
  readonly random: Random;
};

function lognormalMs(random: Random, quantiles: Quantiles): number {
  if (quantiles.p50Ms <= 0) return 0;
  const deviation = Math.log(quantiles.p95Ms / quantiles.p50Ms) / normalP95;
  return Math.min(quantiles.p50Ms * Math.exp(deviation * normalOf(random)), quantiles.p95Ms * tailRatioMax);
}

function linkDelayMs(random: Random, profile: Profile): number {
  const deviation = Math.max(-3, Math.min(3, normalOf(random)));
  return Math.max(0, profile.linkMs + profile.linkDeviationMs * deviation);
}

function faultOf(random: Random, profile: Profile, seed: number, endpoint: Endpoint, ordinal: number): Fault | undefined {
  const every = profile.disconnectEvery;
  if (every > 0) {
    const unlucky = Math.floor(randomOf(seed, 'disconnect', endpoint, Math.floor(ordinal / every))() * every);
    if (ordinal % every === unlucky) return { endpoint, kind: 'close', position: 'middle' };
  }
  if (random() >= profile.stallRatio) return undefined;
  return { endpoint, kind: 'stall', position: random() < 0.5 ? 'first' : 'middle', ms: profile.stallMs };
}

/** Deals delays: request number n of an endpoint gets the same ones in every run with the same profile and seed. */
export class Dealer {
  readonly profile: Profile;
  readonly seed: number;
  readonly #counts = new Map<Endpoint, number>();

  constructor(profile: Profile, seed: number) {
    this.profile = profile;
    this.seed = seed;
  }

  deal(endpoint: Endpoint): Draws {
    const ordinal = this.#counts.get(endpoint) ?? 0;
    this.#counts.set(endpoint, ordinal + 1);
    const random = randomOf(this.seed, endpoint, ordinal);
    const uplinkMs = linkDelayMs(random, this.profile);
    const downlinkMs = linkDelayMs(random, this.profile);
    const fault = faultOf(random, this.profile, this.seed, endpoint, ordinal);
    // The quantiles are what a client sees, and the network is a part of it: only the rest is the provider's own time.
    const durationMs = (quantiles: Quantiles): number => Math.max(0, lognormalMs(random, quantiles) - uplinkMs - downlinkMs);
    return { ordinal, uplinkMs, downlinkMs, fault, random, durationMs };
  }
}
