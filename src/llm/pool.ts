/** The language models of a thread: the one of the settings, and one for each server that an agent brings itself. Conversation thread. */
import { OpenAiLlm } from './openai.js';
import type { LlmProvider } from './port.js';

/** An agent's own server, speaking OpenAI's chat completions. */
export type CustomLlm = {
  /** What stands before `/chat/completions`. */
  readonly url: string;
  readonly model: string;
  /** Empty: none is wanted. */
  readonly apiKey: string;
  readonly headers: Readonly<Record<string, string>>;
};

/** Connections to more servers than this are not kept: the one unused longest is closed. */
const customMax = 32;
/** Longer than any answer may take. */
const lastAnswerMs = 90_000;

export class LlmPool {
  readonly main: LlmProvider;
  readonly #custom = new Map<string, LlmProvider>();

  constructor(main: LlmProvider) {
    this.main = main;
  }

  /** The server of an agent; `undefined` means the one of the settings. */
  of(custom: CustomLlm | undefined): LlmProvider {
    if (custom === undefined) return this.main;
    const key = JSON.stringify([custom.url, custom.model, custom.apiKey, Object.entries(custom.headers).sort()]);
    const known = this.#custom.get(key);
    const provider =
      known ??
      new OpenAiLlm({ baseUrl: custom.url, model: custom.model, apiKey: custom.apiKey, headers: custom.headers, custom: true });
    this.#custom.delete(key);
    this.#custom.set(key, provider);
    const oldest = this.#custom.entries().next();
    if (this.#custom.size > customMax && !oldest.done) {
      this.#custom.delete(oldest.value[0]);
      // Answers under way come to their end first.
      setTimeout(() => void oldest.value[1].close(), lastAnswerMs).unref();
    }
    return provider;
  }

  async close(): Promise<void> {
    await Promise.all([this.main, ...this.#custom.values()].map((provider) => provider.close()));
    this.#custom.clear();
  }
}
