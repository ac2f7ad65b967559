/** Changes between the system's colours, light and dark. */
import { useStore } from './store.js';
import { nextTheme, theme } from './theme.js';

export function ThemeButton() {
  const { chosen } = useStore(theme);
  return (
    <button
      type="button"
      class="theme icon"
      aria-label={`Colours: ${chosen}. Change to ${nextTheme()}.`}
      title={`Colours: ${chosen}`}
      onClick={() => theme.set({ chosen: nextTheme() })}
    >
      <svg viewBox="0 0 24 24" aria-hidden="true">
        {chosen === 'light' ? (
          <path d="M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4" />
        ) : chosen === 'dark' ? (
          <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z" />
        ) : (
          <>
            <circle cx="12" cy="12" r="8" />
            <path d="M12 4a8 8 0 0 0 0 16z" class="solid" />
          </>
        )}
      </svg>
    </button>
  );
}
