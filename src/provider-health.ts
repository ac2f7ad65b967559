/** What the lanes say of their providers, put together for balancers and dashboards. Main thread. */
import type { Config } from './config.js';
import type { FromThread, Lane } from './lane.js';
import type { MetricsAnswer } from './shared/links.js';

const stages = ['stt', 'llm', 'tts'] as const;

export class ProviderHealth {
  readonly #names: Readonly<Record<(typeof stages)[number], readonly string[]>>;
  /** `stage provider` → lanes in which requests do not go to it. */
  readonly #open = new Map<string, Set<number>>();

  constructor(config: Pick<Config, (typeof stages)[number]>) {
    const names = ({ provider, fallbacks }: Config['stt'] | Config['llm'] | Config['tts']): string[] => [
      provider,
      ...fallbacks.map((fallback) => fallback.provider),
    ];
    this.#names = { stt: names(config.stt), llm: names(config.llm), tts: names(config.tts) };
    for (const stage of stages) for (const name of this.#names[stage]) this.#open.set(`${stage} ${name}`, new Set());
  }

  /** A new lane knows nothing against anybody. */
  watch(index: number, lane: Lane): void {
    for (const lanes of this.#open.values()) lanes.delete(index);
    for (const { control } of lane.threads) {
      control.on('message', (message: FromThread) => {
        if (message.type !== 'provider') return;
        const lanes = this.#open.get(`${message.stage} ${message.provider}`);
        if (message.isOpen) lanes?.add(index);
        else lanes?.delete(index);
      });
    }
  }

  table(): Readonly<Record<string, Readonly<Record<string, string>>>> {
    const row = (stage: (typeof stages)[number]) =>
      Object.fromEntries(this.#names[stage].map((name) => [name, this.#lanesOf(stage, name) > 0 ? 'failing' : 'ok']));
    return Object.fromEntries(stages.map((stage) => [stage, row(stage)]));
  }

  gauges(): MetricsAnswer['gauges'] {
    return stages.flatMap((stage) =>
      this.#names[stage].map((name) => ({
        name: 'parley_provider_open_lanes',
        labels: `stage="${stage}",provider="${name}"`,
        value: this.#lanesOf(stage, name),
      })),
    );
  }

  #lanesOf(stage: (typeof stages)[number], name: string): number {
    return this.#open.get(`${stage} ${name}`)?.size ?? 0;
  }
}
