/**
 * Several providers for one job, in the order of preference: which of them is asked next, by what became of the last requests. One a stage and
 * thread. Pure apart from what it remembers; the threads that talk to providers.
 */
import type { FailureKind } from './errors.js';
import { type Ms, ms } from './units.js';

/** The settings of the first choice, and those of the ones that take its place while it fails. */
export type WithFallbacks<Setup> = Setup & { readonly fallbacks: readonly Setup[] };

export type BreakerRule = {
  /** Failures in a row after which a provider is left alone. */
  readonly failuresMax: number;
  /** While it is left alone it is probed this often. */
  readonly probeEveryMs: Ms;
  /** After an answer 429 that does not say how long. */
  readonly holdUnknownMs: Ms;
  readonly holdMaxMs: Ms;
};

export const breakerDefaults: BreakerRule = {
  failuresMax: 3,
  probeEveryMs: ms(5000),
  holdUnknownMs: ms(1000),
  holdMaxMs: ms(60_000),
};

/** `closed`: requests go to it. `open`: they do not. `trial`: a probe went well, the next request decides. */
export type BreakerState = 'closed' | 'open' | 'trial';

export class Breaker {
  readonly #rule: BreakerRule;
  #state: BreakerState = 'closed';
  #failures = 0;
  #heldUntilMs = 0;
  #probeAtMs = 0;

  constructor(rule: BreakerRule = breakerDefaults) {
    this.#rule = rule;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Whether requests go to it now. */
  isUsable(atMs: Ms): boolean {
    return this.#state !== 'open' && atMs >= this.#heldUntilMs;
  }

  succeeded(): void {
    this.#state = 'closed';
    this.#failures = 0;
  }

  /** 429 is no fault of the provider's: it is left alone for as long as it asks. What our settings caused comes again each time. */
  failed(kind: FailureKind, retryAfterMs: number | undefined, atMs: Ms): void {
    if (kind === 'aborted') return;
    if (kind === 'rate_limited') {
      const holdMs = Math.min(retryAfterMs ?? this.#rule.holdUnknownMs, this.#rule.holdMaxMs);
      this.#heldUntilMs = Math.max(this.#heldUntilMs, atMs + holdMs);
      return;
    }
    this.#failures += 1;
    const opens = this.#state === 'trial' || kind === 'rejected' || this.#failures >= this.#rule.failuresMax;
    if (this.#state === 'open' || !opens) return;
    this.#state = 'open';
    this.#probeAtMs = atMs + this.#rule.probeEveryMs;
  }

  /** True when it is to be probed now; not again before the time for the next one has come. */
  takeProbe(atMs: Ms): boolean {
    if (this.#state !== 'open' || atMs < this.#probeAtMs) return false;
    this.#probeAtMs = atMs + this.#rule.probeEveryMs;
    return true;
  }

  probeSucceeded(): void {
    if (this.#state === 'open') this.#state = 'trial';
  }
}

/** Where the threads tell what happens; `stage` is `stt`, `llm` or `tts`. */
export type FailoverReport = {
  readonly count: (name: string, labels: string) => void;
  /** The breaker of a provider opened or closed. */
  readonly onState: (provider: string, isOpen: boolean) => void;
};

export type Candidate<Provider> = {
  readonly name: string;
  readonly provider: Provider;
  /** The settings of agents (model, voice) are meant for this one. */
  readonly isFirstChoice: boolean;
  readonly breaker: Breaker;
};

export class Candidates<Provider> {
  readonly #stage: string;
  readonly #all: readonly Candidate<Provider>[];
  readonly #report: FailoverReport;
  readonly #now: () => Ms;
  /** Asks a provider for something small. Rejects when it does not serve. */
  readonly #probe: (provider: Provider) => Promise<void>;
  readonly #told = new Map<string, boolean>();

  /** `providers` in the order of preference, at least one. */
  constructor(
    stage: string,
    providers: readonly { readonly name: string; readonly provider: Provider }[],
    probe: (provider: Provider) => Promise<void>,
    report: FailoverReport,
    now: () => Ms,
    rule: BreakerRule = breakerDefaults,
  ) {
    this.#stage = stage;
    this.#all = providers.map(({ name, provider }, index) => ({
      name,
      provider,
      isFirstChoice: index === 0,
      breaker: new Breaker(rule),
    }));
    this.#probe = probe;
    this.#report = report;
    this.#now = now;
  }

  get all(): readonly Candidate<Provider>[] {
    return this.#all;
  }

  /** Whom to ask, the best first. When none is well all are asked all the same: an apology is the alternative. */
  inOrder(): readonly Candidate<Provider>[] {
    const atMs = this.#now();
    for (const candidate of this.#all) if (candidate.breaker.takeProbe(atMs)) this.#startProbe(candidate);
    const well = this.#all.filter(({ breaker }) => breaker.isUsable(atMs));
    return well.length === 0 ? this.#all : well;
  }

  succeeded(candidate: Candidate<Provider>): void {
    candidate.breaker.succeeded();
    this.#tell(candidate);
  }

  failed(candidate: Candidate<Provider>, kind: FailureKind, retryAfterMs?: number): void {
    if (kind === 'aborted') return;
    candidate.breaker.failed(kind, retryAfterMs, this.#now());
    this.#report.count('parley_provider_failures_total', `${this.#labels(candidate)},kind="${kind}"`);
    this.#tell(candidate);
  }

  /** Another provider is asked in place of the first choice. */
  countFallback(to: Candidate<Provider>): void {
    this.#report.count('parley_provider_fallbacks_total', this.#labels(to));
  }

  countHedge(to: Candidate<Provider>): void {
    this.#report.count('parley_provider_hedges_total', this.#labels(to));
  }

  #startProbe(candidate: Candidate<Provider>): void {
    this.#report.count('parley_provider_probes_total', this.#labels(candidate));
    this.#probe(candidate.provider).then(
      () => candidate.breaker.probeSucceeded(),
      () => this.#report.count('parley_provider_probes_failed_total', this.#labels(candidate)),
    );
  }

  #tell(candidate: Candidate<Provider>): void {
    const isOpen = candidate.breaker.state === 'open';
    if ((this.#told.get(candidate.name) ?? false) === isOpen) return;
    this.#told.set(candidate.name, isOpen);
    this.#report.onState(candidate.name, isOpen);
  }

  #labels({ name }: Candidate<Provider>): string {
    return `stage="${this.#stage}",provider="${name}"`;
  }
}

/** How many second requests may be sent beside the first ones. */
export class HedgeBudget {
  readonly #ratio: number;
  readonly #savedMax: number;
  #saved = 0;

  /** `ratio`: hedges per request, at most. `savedMax`: how many may come at once after quiet times. */
  constructor(ratio = 0.05, savedMax = 5) {
    this.#ratio = ratio;
    this.#savedMax = savedMax;
  }

  request(): void {
    this.#saved = Math.min(this.#savedMax, this.#saved + this.#ratio);
  }

  /** True when a hedge may be sent; it is counted as sent. */
  take(): boolean {
    // Twenty times 0.05 is a little less than one.
    if (this.#saved < 1 - 1e-9) return false;
    this.#saved -= 1;
    return true;
  }
}

/** When a request is late, by how long the last ones took. */
export class Lateness {
  readonly #times = new Float64Array(128);
  readonly #minMs: number;
  readonly #unknownMs: number;
  #count = 0;
  #p95Ms: number;

  /** Never less than `minMs`; `unknownMs` until twenty times are known. */
  constructor(minMs: number, unknownMs: number) {
    this.#minMs = minMs;
    this.#unknownMs = unknownMs;
    this.#p95Ms = unknownMs;
  }

  note(tookMs: number): void {
    this.#times[this.#count % this.#times.length] = tookMs;
    this.#count += 1;
    // Sorting takes some microseconds, and p95 does not move with every request.
    if (this.#count % 8 === 0) this.#measure();
  }

  /** A request without an answer for this long is later than nineteen of twenty. */
  get p95Ms(): number {
    return this.#p95Ms;
  }

  #measure(): void {
    const known = this.#times.slice(0, Math.min(this.#count, this.#times.length)).sort();
    if (known.length < 20) this.#p95Ms = this.#unknownMs;
    else this.#p95Ms = Math.max(this.#minMs, known[Math.floor(known.length * 0.95)] ?? this.#unknownMs);
  }
}
