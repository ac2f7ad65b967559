/** Inputs for the dynamic variables that the chosen agent wants. */
import { useEffect, useState } from 'preact/hooks';
import { readAgent } from '../api/agents.js';
import { isSecret, type Variable, variablesOf } from './variables.js';

type Values = Readonly<Record<string, string>>;
export type Variables = {
  readonly all: readonly Variable[];
  readonly values: Values;
  readonly set: (name: string, value: string) => void;
};

const valueMax = 2000;
const keyOf = (agentId: string): string => `variables ${agentId}`;

/** What was given last time in this tab is there again. */
function remembered(agentId: string): Values {
  const text = sessionStorage.getItem(keyOf(agentId));
  return text === null ? {} : (JSON.parse(text) as Values);
}

export function useVariables(agentId: string): Variables {
  const [all, setAll] = useState<readonly Variable[]>([]);
  const [values, setValues] = useState<Values>({});
  useEffect(() => {
    setAll([]);
    setValues(remembered(agentId));
    if (agentId === '') return;
    const abort = new AbortController();
    readAgent(agentId, abort.signal).then(
      (agent) => setAll(variablesOf(agent)),
      () => setAll([]), // an engine that does not show its agents still talks; starting says what is missing
    );
    return () => abort.abort();
  }, [agentId]);
  const set = (name: string, value: string): void => {
    const next = { ...values, [name]: value };
    setValues(next);
    sessionStorage.setItem(
      keyOf(agentId),
      JSON.stringify(next, (key, kept: unknown) => (isSecret(key) ? undefined : kept)),
    );
  };
  return { all, values, set };
}

/** `onEnter`: the visitor is done with them. */
export function VariablesView(props: { variables: Variables; isDisabled: boolean; onChange: () => void; onEnter: () => void }) {
  const { variables, isDisabled, onChange, onEnter } = props;
  const { all, values, set } = variables;
  if (all.length === 0) return null;
  return (
    <fieldset class="variables" disabled={isDisabled}>
      <legend>Variables</legend>
      {all.map(({ name, placeholder }) => (
        <label key={name}>
          <span>{name}</span>
          <input
            type="text"
            autocomplete="off"
            maxLength={valueMax}
            required={placeholder === undefined && !isSecret(name)}
            placeholder={placeholder ?? (isSecret(name) ? '' : 'needed')}
            value={values[name] ?? ''}
            onInput={(event) => {
              set(name, event.currentTarget.value);
              onChange();
            }}
            onKeyDown={(event) => {
              if (event.key === 'Enter' && !event.isComposing) onEnter();
            }}
          />
        </label>
      ))}
    </fieldset>
  );
}
