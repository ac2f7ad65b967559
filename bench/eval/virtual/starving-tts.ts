/** Synthesis that keeps whoever listens waiting: chunks are handed on late, so that silence comes after every so much audio. For virtual runs. */
import type { TtsChunk, TtsProvider, TtsStream, TtsStreamOptions, TtsVoice } from '../../../src/tts/port.js';

export type Starvation = {
  /** Audio between two holes, and how long each is. */
  readonly everyMs: number;
  readonly holeMs: number;
};

export class StarvingTts implements TtsProvider {
  readonly name: string;
  readonly #provider: TtsProvider;
  readonly #starvation: Starvation;

  constructor(provider: TtsProvider, starvation: Starvation) {
    this.name = provider.name;
    this.#provider = provider;
    this.#starvation = starvation;
  }

  warm(voice: TtsVoice, preferredRateHz: Parameters<TtsProvider['warm']>[1]): Promise<void> {
    return this.#provider.warm(voice, preferredRateHz);
  }

  openStream(options: TtsStreamOptions): TtsStream {
    return starvedStream(this.#provider, options, this.#starvation);
  }

  close(): Promise<void> {
    return this.#provider.close();
  }
}

/** Chunks are cut at the holes, and each part comes when the one before has been played and its hole is over. */
function starvedStream(provider: TtsProvider, options: TtsStreamOptions, { everyMs, holeMs }: Starvation): TtsStream {
  const timers = new Set<NodeJS.Timeout>();
  let beganAtMs: number | undefined;
  let audioMs = 0;
  const later = (fromMs: number, run: () => void): void => {
    beganAtMs ??= Date.now();
    const dueAtMs = beganAtMs + fromMs + Math.floor(fromMs / everyMs) * holeMs;
    const timer = setTimeout(() => {
      timers.delete(timer);
      run();
    }, dueAtMs - Date.now());
    timers.add(timer);
  };
  const stream = provider.openStream({
    ...options,
    onChunk: (chunk) => {
      for (const part of partsOf(chunk, everyMs - (audioMs % everyMs), everyMs)) {
        later(audioMs, () => options.onChunk(part));
        audioMs += (part.audio.length * 1000) / part.rateHz;
      }
    },
    onEnd: () => later(audioMs, options.onEnd),
    onProblem: (error) => later(audioMs, () => options.onProblem(error)),
  });
  return {
    write: (text) => stream.write(text),
    finish: () => stream.finish(),
    setPaused: (paused) => stream.setPaused(paused),
    abort() {
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
      stream.abort();
    },
  };
}

/** `chunk` as parts of `everyMs`, the first of them `firstMs` long. */
function partsOf(chunk: TtsChunk, firstMs: number, everyMs: number): TtsChunk[] {
  const { audio, rateHz, alignment, pieceIndex } = chunk;
  const parts: TtsChunk[] = [];
  let [from, lengthMs] = [0, firstMs];
  while (from < audio.length) {
    const to = Math.min(audio.length, from + Math.max(1, Math.round((lengthMs * rateHz) / 1000)));
    const [startMs, endMs] = [(from * 1000) / rateHz, (to * 1000) / rateHz];
    const isLast = to === audio.length;
    const times = alignment
      ?.filter((time) => time.startMs >= startMs && (time.startMs < endMs || isLast))
      .map((time) => ({ ...time, startMs: (time.startMs - startMs) as typeof time.startMs }));
    parts.push({
      audio: audio.slice(from, to),
      rateHz,
      ...(times === undefined ? {} : { alignment: times }),
      ...(pieceIndex === undefined ? {} : { pieceIndex }),
    });
    [from, lengthMs] = [to, everyMs];
  }
  return parts;
}
