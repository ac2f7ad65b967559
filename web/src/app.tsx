/** The frame around the views: name, navigation, theme, dialogs. */
import { useEffect, useRef } from 'preact/hooks';
import { AgentsView } from './agents/agents-view.js';
import { HistoryView } from './history/history-view.js';
import { KeyDialog } from './key-dialog.js';
import { pathOf, route, type ViewName, views } from './route.js';
import { useStore } from './store.js';
import { call } from './talk/call.js';
import { TalkView } from './talk/talk-view.js';
import { ThemeButton } from './theme-button.js';

const titles: Readonly<Record<ViewName, string>> = { talk: 'Talk', agents: 'Agents', history: 'History' };

export function App() {
  const { view, id } = useStore(route);
  const { phase } = useStore(call.store);
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${titles[view]} · Parley`;
    // A new view is read from its beginning; the first one leaves the focus where the browser put it.
    if (!isFirst.current) main.current!.focus();
    isFirst.current = false;
  }, [view, id]);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current!.focus()}>
        Skip to content
      </button>
      <header class="top">
        <a class="brand" href={pathOf('talk')}>
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M6 13v6M11 9v14M16 12v8M21 7v18M26 13v6" />
          </svg>
          <span>Parley</span>
        </a>
        <nav aria-label="Views">
          {views.map((name) => (
            <a key={name} href={pathOf(name)} aria-current={name === view ? 'page' : undefined}>
              {titles[name]}
              {name === 'talk' && view !== 'talk' && phase === 'live' && (
                <span class="live-dot" role="img" aria-label="(call in progress)" />
              )}
            </a>
          ))}
          <a href="/dashboard">Dashboard</a>
        </nav>
        <ThemeButton />
      </header>
      <main ref={main} id="main" tabIndex={-1} class={`view-${view}`}>
        {view === 'talk' && <TalkView agentId={id} />}
        {view === 'agents' && <AgentsView agentId={id} />}
        {view === 'history' && <HistoryView conversationId={id} />}
      </main>
      <KeyDialog />
    </>
  );
}
