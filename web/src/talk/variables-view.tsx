/** Inputs for the dynamic variables that the chosen agent wants. */
import { useEffect, useState } from 'preact/hooks';
import { readAgent } from '../api/agents.js';
import { type Variable, variablesOf } from './variables.js';

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
    sessionStorage.setItem(keyOf(agentId), JSON.stringify(next));
  };
  return { all, values, set };
}

export function VariablesView({ variables, isDisabled }: { variables: Variables; isDisabled: boolean }) {
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
            required={placeholder === undefined && !name.startsWith('secret__')}
            placeholder={placeholder ?? 'needed'}
            value={values[name] ?? ''}
            onInput={(event) => set(name, event.currentTarget.value)}
          />
        </label>
      ))}
    </fieldset>
  );
}
