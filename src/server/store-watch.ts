/** Whether the store is there, as the API thread tells it: for `/readyz`, and for whoever looks at the terminal. Main thread. */
import type { StoreTold } from '../api/links.js';

export type StoreState = { readonly status: 'opening' | 'open' | 'unavailable'; readonly reason?: string };

export class StoreWatch {
  readonly #onNews: (line: string) => void;
  #state: StoreState = { status: 'opening' };
  #toldReason = '';

  /** `onNews` gets a line when the store cannot be used, and one when it can again; not each time that it was tried. */
  constructor(onNews: (line: string) => void) {
    this.#onNews = onNews;
  }

  get state(): StoreState {
    return this.#state;
  }

  told({ isOpen, reason }: StoreTold): void {
    this.#state = isOpen ? { status: 'open' } : { status: 'unavailable', reason };
    if (isOpen && this.#toldReason !== '') this.#onNews('The store is open now.');
    if (!isOpen && reason !== this.#toldReason) {
      this.#onNews(
        `THE STORE CANNOT BE USED: ${reason} Calls work, with the agents of files and the built-in one, and nothing of them is kept. ` +
          'The REST side answers 503. It is tried again every 10 s.',
      );
    }
    this.#toldReason = reason;
  }

  /** The API thread is gone; the next one opens the store anew. */
  lost(): void {
    this.#state = { status: 'opening' };
  }
}
