/** A list that comes in pages, newest search wins. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { messageOf } from './api/http.js';

export type Listing<Item> = {
  readonly items: readonly Item[];
  readonly isLoading: boolean;
  readonly isEmpty: boolean;
  readonly hasMore: boolean;
  readonly problem: string;
  readonly more: () => void;
  readonly reload: () => void;
};

type Page<Item> = { readonly items: readonly Item[]; readonly nextCursor: string };
type State<Item> = { items: readonly Item[]; nextCursor: string; isLoading: boolean; problem: string };

/** While somebody types, the server is asked once they pause this long. */
const typingPauseMs = 200;

/** `query`: what the list depends on; when it changes the list begins anew. An empty cursor asks for the first page. */
export function useListing<Item>(
  query: string,
  read: (cursor: string, signal: AbortSignal) => Promise<Page<Item>>,
): Listing<Item> {
  const [state, setState] = useState<State<Item>>({ items: [], nextCursor: '', isLoading: true, problem: '' });
  const [round, setRound] = useState(0);
  const reader = useRef(read);
  reader.current = read;
  const abort = useRef(new AbortController());

  const load = (cursor: string): void => {
    const { signal } = abort.current;
    setState((before) => ({ ...before, isLoading: true, problem: '' }));
    reader.current(cursor, signal).then(
      ({ items, nextCursor }) =>
        setState((before) => ({
          items: cursor === '' ? items : [...before.items, ...items],
          nextCursor,
          isLoading: false,
          problem: '',
        })),
      (error: unknown) => {
        if (!signal.aborted) setState((before) => ({ ...before, isLoading: false, problem: messageOf(error) }));
      },
    );
  };
  useEffect(() => {
    abort.current = new AbortController();
    const timer = setTimeout(() => load(''), query === '' ? 0 : typingPauseMs);
    return () => {
      clearTimeout(timer);
      abort.current.abort();
    };
  }, [query, round]);

  return {
    items: state.items,
    isLoading: state.isLoading,
    isEmpty: !state.isLoading && state.problem === '' && state.items.length === 0,
    hasMore: state.nextCursor !== '',
    problem: state.problem,
    more: () => load(state.nextCursor),
    reload: () => setRound((before) => before + 1),
  };
}
