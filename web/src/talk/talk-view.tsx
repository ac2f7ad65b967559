/** The first view: talk to an agent, and see what the engine makes of it. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { type AgentRow, listAgents, readAgent } from '../api/agents.js';
import { ApiError } from '../api/api-error.js';
import { useStore } from '../store.js';
import { call } from './call.js';
import { variablesProblem } from './explained.js';
import { TimelineView } from './timeline-view.js';
import { TranscriptView } from './transcript-view.js';
import { givenOf, missingOf } from './variables.js';
import { useVariables, VariablesView } from './variables-view.js';
import { WaterfallView } from './waterfall-view.js';

const textMax = 2000;

export function TalkView({ agentId }: { agentId: string }) {
  const [agents, setAgents] = useState<readonly AgentRow[]>([]);
  const [chosen, setChosen] = useState(agentId || sessionStorage.getItem('agent') || '');
  const [isTextOnly, setTextOnly] = useState(false);
  const [text, setText] = useState('');
  const state = useStore(call.store);
  const variables = useVariables(chosen);
  const isIdle = state.phase === 'idle';
  // Without sound there is nothing to draw.
  const isTyped = isIdle ? isTextOnly : state.isTextOnly;

  useEffect(() => {
    const abort = new AbortController();
    choosable(chosen, abort.signal).then(
      (rows) => {
        setAgents(rows);
        const ids = rows.map((agent) => agent.agent_id);
        setChosen((current) => (ids.includes(current) ? current : ids.includes('default') ? 'default' : (ids[0] ?? '')));
      },
      () => setAgents([]), // without the list one still talks to the default agent; starting says what is wrong
    );
    return () => abort.abort();
  }, []);

  const choose = (id: string): void => {
    setChosen(id);
    sessionStorage.setItem('agent', id);
  };
  /** False when a value is missing, and that is said. */
  const start = (firstText = ''): boolean => {
    const missing = missingOf(variables.all, variables.values);
    if (missing.length > 0) {
      call.refuse(variablesProblem(missing));
      document.querySelector<HTMLInputElement>('.variables input:invalid')?.focus();
      return false;
    }
    void call.start(chosen, isTextOnly, givenOf(variables.all, variables.values), firstText);
    return true;
  };
  const toggle = (): void => {
    if (call.store.state.phase === 'idle') start();
    else void call.stop();
  };
  const toggleNow = useRef(toggle);
  toggleNow.current = toggle;
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      const isFree =
        !(event.target instanceof HTMLElement) ||
        event.target.closest('button, input, textarea, select, a, summary, dialog, [contenteditable]') === null;
      if (event.key !== ' ' || event.repeat || !isFree) return;
      event.preventDefault();
      toggleNow.current();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  }, []);

  const send = (event: Event): void => {
    event.preventDefault();
    const said = text.trim();
    if (said === '') return;
    if (!isIdle) call.say(said);
    else if (!start(said)) return;
    setText('');
  };

  return (
    <div class="talk">
      <h1 class="unseen">Talk</h1>
      <div class="talk-setup">
        <label class="agent-choice">
          <span>Agent</span>
          <select value={chosen} disabled={!isIdle} onChange={(event) => choose(event.currentTarget.value)}>
            {agents.length === 0 && <option value="">Default agent</option>}
            {agents.map((agent) => (
              <option key={agent.agent_id} value={agent.agent_id}>
                {agent.name || agent.agent_id}
              </option>
            ))}
          </select>
        </label>
        <label class="switch">
          <input
            type="checkbox"
            checked={isTyped}
            disabled={!isIdle}
            onChange={(event) => setTextOnly(event.currentTarget.checked)}
          />
          <span>Text only</span>
        </label>
        <Connection />
      </div>
      <VariablesView variables={variables} isDisabled={!isIdle} onChange={() => call.forgive()} onEnter={() => start()} />
      {state.problem !== undefined && (
        <div class="problem" role="alert">
          <strong>{state.problem.title}</strong> <span>{state.problem.advice}</span>
        </div>
      )}
      {!isTyped && <TimelineView />}
      <div class={isTyped ? 'talk-main typed' : 'talk-main'}>
        <div class="conversation panel">
          <TranscriptView isTyped={isTyped} />
          <div class="talk-bar">
            <button type="button" class={isIdle ? 'primary call' : 'danger call'} onClick={toggle} title="Space">
              {isIdle ? 'Start' : state.phase === 'connecting' ? 'Cancel' : 'End'}
              <span class="unseen"> call</span>
            </button>
            {!isIdle && !state.isTextOnly && (
              <button type="button" aria-pressed={state.isMuted} onClick={() => call.mute(!state.isMuted)}>
                {state.isMuted ? 'Unmute' : 'Mute'}
              </button>
            )}
            <form onSubmit={send}>
              <input
                value={text}
                maxLength={textMax}
                autocomplete="off"
                enterkeyhint="send"
                aria-label="Message"
                placeholder="Type a message"
                onInput={(event) => {
                  setText(event.currentTarget.value);
                  call.typing();
                }}
              />
              <button type="submit" disabled={text.trim() === ''}>
                Send
              </button>
            </form>
          </div>
        </div>
        {!isTyped && <WaterfallView />}
      </div>
    </div>
  );
}

/** The first page of agents, and `wanted` when it is not on it. */
async function choosable(wanted: string, signal: AbortSignal): Promise<readonly AgentRow[]> {
  const { agents } = await listAgents('', '', signal);
  if (wanted === '' || agents.some(({ agent_id }) => agent_id === wanted)) return agents;
  try {
    const { agent_id, name } = await readAgent(wanted, signal);
    return [...agents, { agent_id, name: typeof name === 'string' ? name : '' }];
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return agents; // deleted since it was chosen
    throw error;
  }
}

const modes = { listening: 'Listening', thinking: 'Thinking', speaking: 'Speaking' } as const;
const typedModes = { listening: 'Your turn', thinking: 'Writing', speaking: 'Writing' } as const;

/** What the connection does, how far away the server is, and what the speech detector hears. */
function Connection() {
  const { phase, mode, pingMs, isTextOnly, isMuted } = useStore(call.store);
  const meter = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let request = 0;
    const draw = (): void => {
      request = requestAnimationFrame(draw);
      const score = phase === 'live' && !isMuted ? call.vadScore : 0;
      meter.current?.style.setProperty('--score', score.toFixed(2));
    };
    draw();
    return () => cancelAnimationFrame(request);
  }, [phase, isMuted]);
  const words =
    phase === 'idle' ? 'Not connected' : phase === 'connecting' ? 'Connecting' : (isTextOnly ? typedModes : modes)[mode];
  return (
    <div class="connection">
      {phase === 'live' && !isTextOnly && (
        <div class="vad" ref={meter} aria-hidden="true">
          <span>speech</span>
        </div>
      )}
      {phase === 'live' && pingMs !== undefined && <span class="quiet ping">{Math.round(pingMs)} ms</span>}
      <span class={`state state-${phase === 'live' ? mode : phase}`} role="status">
        {words}
      </span>
    </div>
  );
}
