/** The place in the app, in the part of the address behind `#`: `#/talk`, `#/agents/ID`, `#/history/ID`. */
import { Store } from './store.js';

export const views = ['talk', 'agents', 'history'] as const;
export type ViewName = (typeof views)[number];
export type Route = { readonly view: ViewName; readonly id: string };

function readRoute(): Route {
  const [name = '', id = ''] = location.hash.replace(/^#\/?/, '').split('/');
  return { view: views.find((view) => view === name) ?? 'talk', id: decodeURIComponent(id) };
}

export const route = new Store<Route>(readRoute());
addEventListener('hashchange', () => route.set(readRoute()));

export function pathOf(view: ViewName, id = ''): string {
  return id === '' ? `#/${view}` : `#/${view}/${encodeURIComponent(id)}`;
}

export function go(view: ViewName, id = ''): void {
  location.hash = pathOf(view, id);
}
