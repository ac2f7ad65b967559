/** The form's fields: each is bound to a path of the agent's document, and shows what the server said about that path. */
import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import type { FieldProblem } from '../api/api-error.js';

/** What the fields work on. */
export type Editor = {
  readonly value: (path: string) => unknown;
  readonly set: (path: string, value: unknown) => void;
  readonly problems: readonly FieldProblem[];
  /** A field that has no valid value to set, or has one again. */
  readonly setInvalid: (path: string, isInvalid: boolean) => void;
};

type FieldProps = { readonly editor: Editor; readonly path: string; readonly label: string; readonly hint?: string };
type Control = { readonly id: string; readonly 'aria-invalid': boolean; readonly 'aria-describedby': string };

/** Of a path and of everything below it, with the rest of the path before the message. */
function problemsAt(editor: Editor, path: string): string[] {
  return editor.problems
    .filter((problem) => problem.path === path || problem.path.startsWith(`${path}.`))
    .map(({ path: at, message }) => (at === path ? message : `${at.slice(path.length + 1)}: ${message}`));
}

function Frame(
  props: FieldProps & { own?: string | undefined; class?: string; children: (control: Control) => ComponentChildren },
) {
  const { editor, path, label, hint, own } = props;
  const id = useId();
  const problems = own === undefined ? problemsAt(editor, path) : [own];
  return (
    <div class={`field ${props.class ?? ''}`}>
      <label for={id}>{label}</label>
      {props.children({ id, 'aria-invalid': problems.length > 0, 'aria-describedby': `${id}-hint ${id}-problem` })}
      {hint !== undefined && (
        <small id={`${id}-hint`} class="quiet">
          {hint}
        </small>
      )}
      <small id={`${id}-problem`} class="field-problem" aria-live="polite">
        {problems.join('\n')}
      </small>
    </div>
  );
}

export function TextField(props: FieldProps & { placeholder?: string }) {
  const { editor, path } = props;
  return (
    <Frame {...props}>
      {(control) => (
        <input
          {...control}
          type="text"
          placeholder={props.placeholder ?? ''}
          value={String(editor.value(path) ?? '')}
          onInput={(event) => editor.set(path, event.currentTarget.value)}
        />
      )}
    </Frame>
  );
}

export function AreaField(props: FieldProps & { rows: number }) {
  const { editor, path, rows } = props;
  return (
    <Frame {...props}>
      {(control) => (
        <textarea
          {...control}
          rows={rows}
          value={String(editor.value(path) ?? '')}
          onInput={(event) => editor.set(path, event.currentTarget.value)}
        />
      )}
    </Frame>
  );
}

/** The server judges the range; `step` is only for the arrow keys. */
export function NumberField(props: FieldProps & { step: number }) {
  const { editor, path, step } = props;
  const [own, setOwn] = useState<string | undefined>(undefined);
  const value = editor.value(path);
  const onInput = (text: string, isReadable: boolean): void => {
    const problem = isReadable ? undefined : 'This is not a number.';
    setOwn(problem);
    editor.setInvalid(path, problem !== undefined);
    if (problem === undefined) editor.set(path, text === '' ? undefined : Number(text));
  };
  return (
    <Frame {...props} own={own} class="short">
      {(control) => (
        <input
          {...control}
          type="number"
          step={step}
          value={typeof value === 'number' ? value : ''}
          onInput={({ currentTarget }) => onInput(currentTarget.value, !currentTarget.validity.badInput)}
        />
      )}
    </Frame>
  );
}

export function SelectField(props: FieldProps & { options: readonly (readonly [string, string])[] }) {
  const { editor, path, options } = props;
  const value = String(editor.value(path) ?? '');
  const isKnown = value === '' || options.some(([name]) => name === value);
  return (
    <Frame {...props} class="short">
      {(control) => (
        <select {...control} value={value} onChange={(event) => editor.set(path, event.currentTarget.value)}>
          {!isKnown && <option value={value}>{value}</option>}
          {value === '' && <option value="">(default)</option>}
          {options.map(([name, shown]) => (
            <option key={name} value={name}>
              {shown}
            </option>
          ))}
        </select>
      )}
    </Frame>
  );
}

/** `fallback`: what the server takes when the document says nothing. */
export function SwitchField(props: FieldProps & { fallback: boolean }) {
  const { editor, path, label, hint, fallback } = props;
  const problems = problemsAt(editor, path);
  return (
    <div class="field wide">
      <label class="switch">
        <input
          type="checkbox"
          checked={(editor.value(path) ?? fallback) === true}
          onChange={(event) => editor.set(path, event.currentTarget.checked)}
        />
        <span>{label}</span>
      </label>
      {hint !== undefined && <small class="quiet">{hint}</small>}
      {problems.length > 0 && <small class="field-problem">{problems.join(' ')}</small>}
    </div>
  );
}

/** A list of names, each on or off; names that are not among `names` stay as they are. */
export function ChoicesField(props: FieldProps & { names: readonly string[] }) {
  const { editor, path, label, hint, names } = props;
  const value = editor.value(path);
  const chosen = Array.isArray(value) ? (value as string[]) : [];
  const all = [...names, ...chosen.filter((name) => !names.includes(name))];
  const problems = problemsAt(editor, path);
  return (
    <fieldset class="field wide choices">
      <legend>{label}</legend>
      <div>
        {all.map((name) => (
          <label key={name} class="choice">
            <input
              type="checkbox"
              checked={chosen.includes(name)}
              onChange={(event) =>
                editor.set(path, event.currentTarget.checked ? [...chosen, name] : chosen.filter((other) => other !== name))
              }
            />
            <span>{name}</span>
          </label>
        ))}
      </div>
      {hint !== undefined && <small class="quiet">{hint}</small>}
      {problems.length > 0 && <small class="field-problem">{problems.join(' ')}</small>}
    </fieldset>
  );
}

/** A part of the document as JSON. The text stays as it is typed; the document follows while it can be read. */
export function JsonField(props: FieldProps & { rows: number; fallback: unknown }) {
  const { editor, path, rows, fallback } = props;
  const [text, setText] = useState(() => JSON.stringify(editor.value(path) ?? fallback, undefined, 2));
  const [own, setOwn] = useState<string | undefined>(undefined);
  const onInput = (next: string): void => {
    setText(next);
    const read = readJson(next);
    setOwn(read.problem);
    editor.setInvalid(path, read.problem !== undefined);
    if (read.problem === undefined) editor.set(path, read.value);
  };
  return (
    <Frame {...props} own={own} class="wide">
      {(control) => (
        <textarea
          {...control}
          class="code"
          rows={rows}
          spellcheck={false}
          value={text}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Frame>
  );
}

export function readJson(text: string): { readonly value: unknown; readonly problem: undefined } | { readonly problem: string } {
  try {
    return { value: JSON.parse(text) as unknown, problem: undefined };
  } catch (error) {
    return { problem: `This cannot be read as JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
}
