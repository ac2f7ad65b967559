/**
 * Speech from ElevenLabs (or anything that speaks its multi-context socket): which socket a reply is spoken on. What a reply does there is in
 * `elevenlabs-stream.ts`. Runs on the TTS thread.
 */
import { EngineError } from '../shared/errors.js';
import type { Connect } from '../shared/keep-alive-http.js';
import { type Hz, hz } from '../shared/units.js';
import { type PoolSettings, SocketPool } from './elevenlabs-pool.js';
import { ElevenLabsStream, type StreamDeadlines } from './elevenlabs-stream.js';
import type { TtsProvider, TtsStream, TtsStreamOptions, TtsVoice } from './port.js';

export type ElevenLabsOptions = Partial<PoolSettings> &
  Partial<StreamDeadlines> & {
    readonly apiKey: string;
    /** With a path if the service is behind one; `https` and `http` are taken as `wss` and `ws`. */
    readonly baseUrl?: string;
    readonly defaultVoiceId?: string;
    readonly defaultModelId?: string;
    /** Gives the connections in place of TCP and TLS ones. */
    readonly connect?: Connect | undefined;
  };

const defaultDeadlines: StreamDeadlines = {
  firstAudioDeadlineMs: 3000,
  gapDeadlineMs: 3000,
  closeDeadlineMs: 3000,
  endSilenceMs: 2500,
  endCoveredMs: 700,
};

const defaultPoolSettings: PoolSettings = {
  connectDeadlineMs: 2500,
  keepAliveMs: 10_000,
  backOffMinMs: 100,
  backOffMaxMs: 2000,
  drainMs: 30_000,
  socketsMax: 64,
  spareIdleMs: 60_000,
  poolIdleMs: 15 * 60_000,
};

const pcmRatesHz = [8000, 16000, 22050, 24000, 32000, 44100, 48000] as const;
/** The service closes a context without messages after this time; keep-alives come more often. */
const inactivitySeconds = 60;
/** Voice, model, format and language together make a pool; beyond this number the longest unused one is closed. */
const poolsMax = 64;

export class ElevenLabsTts implements TtsProvider {
  readonly name = 'elevenlabs';
  readonly #apiKey: string;
  readonly #baseUrl: string;
  readonly #defaultVoiceId: string;
  readonly #defaultModelId: string;
  readonly #connect: Connect | undefined;
  readonly #settings: PoolSettings;
  readonly #deadlines: StreamDeadlines;
  readonly #pools = new Map<string, SocketPool>();
  readonly #streams = new Set<ElevenLabsStream>();
  readonly #closing = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: ElevenLabsOptions) {
    this.#apiKey = options.apiKey;
    this.#baseUrl = (options.baseUrl ?? 'wss://api.elevenlabs.io').replace(/^http/, 'ws').replace(/\/+$/, '');
    if (!URL.canParse(this.#baseUrl) || !/^wss?:/.test(this.#baseUrl)) {
      throw new EngineError('config', 'The base URL of the speech provider must begin with wss, ws, https or http.');
    }
    this.#defaultVoiceId = options.defaultVoiceId ?? '21m00Tcm4TlvDq8ikWAM';
    this.#defaultModelId = options.defaultModelId ?? 'eleven_flash_v2_5';
    this.#connect = options.connect;
    this.#settings = pick(defaultPoolSettings, options);
    this.#deadlines = pick(defaultDeadlines, options);
  }

  /** Opens a connection for this voice and keeps it for a quarter of an hour after the last reply. Rejects with an `EngineError`. */
  warm(voice: TtsVoice, preferredRateHz: Hz): Promise<void> {
    return this.#poolFor(voice, rateFor(preferredRateHz)).warm();
  }

  /** Opens the context at once, so open the stream while the reply is still being thought of. */
  openStream(options: TtsStreamOptions): TtsStream {
    const rateHz = rateFor(options.preferredRateHz);
    const pool = this.#poolFor(options.voice, rateHz);
    const stream: ElevenLabsStream = new ElevenLabsStream(
      options,
      rateHz,
      this.#deadlines,
      (events) => pool.openContext(events),
      () => this.#streams.delete(stream),
    );
    this.#streams.add(stream);
    return stream;
  }

  /** Streams that are opened later fail, and nothing is opened for them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const stream of this.#streams) stream.abort();
    await Promise.all([...this.#closing, ...[...this.#pools.values()].map((pool) => pool.close())]);
  }

  #poolFor(voice: TtsVoice, rateHz: Hz): SocketPool {
    const url = this.#urlFor(voice, rateHz);
    const known = this.#pools.get(url);
    if (known !== undefined) return known;
    if (this.#pools.size >= poolsMax) this.#closeOldestPool();
    const pool = new SocketPool(url, { 'xi-api-key': this.#apiKey }, this.#settings, this.#connect);
    this.#pools.set(url, pool);
    if (this.#isClosed) void pool.close();
    return pool;
  }

  #closeOldestPool(): void {
    const [oldest] = [...this.#pools].sort(([, one], [, other]) => one.usedAtMs - other.usedAtMs);
    if (oldest === undefined) return;
    const [url, pool] = oldest;
    this.#pools.delete(url);
    const closing = pool.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** The voice is part of the path and the model of the query, so this names the pool as well. */
  #urlFor(voice: TtsVoice, rateHz: Hz): string {
    const modelId = voice.modelId || this.#defaultModelId;
    const url = new URL(
      `${this.#baseUrl}/v1/text-to-speech/${encodeURIComponent(voice.voiceId || this.#defaultVoiceId)}/multi-stream-input`,
    );
    url.searchParams.set('model_id', modelId);
    url.searchParams.set('output_format', `pcm_${rateHz}`);
    url.searchParams.set('auto_mode', 'true');
    url.searchParams.set('sync_alignment', 'true');
    url.searchParams.set('inactivity_timeout', String(inactivitySeconds));
    // Other models find the language out by themselves, and refuse to be told.
    if (voice.language !== '' && /_v2_5$/.test(modelId)) url.searchParams.set('language_code', voice.language);
    return url.href;
  }
}

/** The rate itself if the service has it, else the next higher one. */
function rateFor(preferredRateHz: Hz): Hz {
  return hz(pcmRatesHz.find((rate) => rate >= preferredRateHz) ?? 48000);
}

/** `defaults` with the values of `given` that have the same names and are set. */
function pick<Settings extends Record<string, number>>(defaults: Settings, given: Partial<Settings>): Settings {
  const entries = Object.entries(defaults).map(([name, value]) => [name, given[name] ?? value]);
  return Object.fromEntries(entries) as Settings;
}
