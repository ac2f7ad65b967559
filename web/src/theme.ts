/** Light or dark: as the system says, or as the visitor chose. */
import { Store } from './store.js';

export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const kept = localStorage.getItem('theme');
export const theme = new Store<{ readonly chosen: Theme }>({ chosen: themes.find((name) => name === kept) ?? 'system' });

function apply(): void {
  const { chosen } = theme.state;
  document.documentElement.dataset['theme'] = chosen;
  localStorage.setItem('theme', chosen);
}
theme.subscribe(apply);
apply();

export function nextTheme(): Theme {
  return themes[(themes.indexOf(theme.state.chosen) + 1) % themes.length]!;
}

/** Colours of the style sheet as a canvas understands them; asked anew when light and dark change. */
export function coloursOf<Name extends string>(names: readonly Name[]): Record<Name, string> {
  const probe = document.createElement('span');
  document.body.append(probe);
  const colours = Object.fromEntries(
    names.map((name) => {
      probe.style.color = `var(--${name})`;
      return [name, getComputedStyle(probe).color];
    }),
  ) as Record<Name, string>;
  probe.remove();
  return colours;
}

/** Calls back when the colours may have changed; returns how to stop that. */
export function onColoursChanged(callback: () => void): () => void {
  const media = matchMedia('(prefers-color-scheme: dark)');
  media.addEventListener('change', callback);
  const stop = theme.subscribe(callback);
  return () => {
    media.removeEventListener('change', callback);
    stop();
  };
}
