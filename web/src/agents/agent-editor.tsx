/** One agent: the common fields as a form, everything as JSON. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { deleteAgent, duplicateAgent, readAgent, updateAgent } from '../api/agents.js';
import { ApiError, type FieldProblem } from '../api/api-error.js';
import { messageOf } from '../api/http.js';
import { ConfirmDialog, type Question } from '../confirm-dialog.js';
import { go, pathOf } from '../route.js';
import { type AgentDocument, changesOf, valueAt, withValue, writable } from './document.js';
import {
  AreaField,
  ChoicesField,
  type Editor,
  JsonField,
  NumberField,
  readJson,
  SelectField,
  SwitchField,
  TextField,
} from './fields.js';

type Loaded = { readonly saved: AgentDocument; readonly document: AgentDocument };
const tabs = ['Form', 'JSON'] as const;

export function AgentEditor({ agentId }: { agentId: string }) {
  const [loaded, setLoaded] = useState<Loaded | undefined>(undefined);
  const [tab, setTab] = useState<(typeof tabs)[number]>('Form');
  const [problems, setProblems] = useState<readonly FieldProblem[]>([]);
  const [invalid, setInvalid] = useState<ReadonlySet<string>>(new Set());
  const [problem, setProblem] = useState('');
  const [notice, setNotice] = useState('');
  /** Keys of what was saved that do nothing. */
  const [warnings, setWarnings] = useState<readonly FieldProblem[]>([]);
  const [isSaving, setSaving] = useState(false);
  const [question, setQuestion] = useState<Question | undefined>(undefined);
  /** Counts loads, so that fields that keep their own text begin anew. */
  const [round, setRound] = useState(0);

  const show = (document: AgentDocument): void => {
    setLoaded({ saved: document, document });
    setRound((before) => before + 1);
  };
  useEffect(() => {
    const abort = new AbortController();
    readAgent(agentId, abort.signal).then(
      (body) => show(writable(body)),
      (error: unknown) => {
        if (!abort.signal.aborted) setProblem(messageOf(error));
      },
    );
    return () => abort.abort();
  }, [agentId]);

  const isChanged =
    loaded !== undefined && loaded.document !== loaded.saved && JSON.stringify(loaded.document) !== JSON.stringify(loaded.saved);
  useEffect(() => {
    if (!isChanged) return;
    const onLeave = (event: BeforeUnloadEvent): void => event.preventDefault();
    addEventListener('beforeunload', onLeave);
    return () => removeEventListener('beforeunload', onLeave);
  }, [isChanged]);

  const editor = useMemo<Editor | undefined>(() => {
    if (loaded === undefined) return undefined;
    return {
      value: (path) => valueAt(loaded.document, path),
      set: (path, value) => {
        setLoaded((now) => now && { ...now, document: withValue(now.document, path, value) });
        setProblems((now) => now.filter((each) => each.path !== path && !each.path.startsWith(`${path}.`)));
        setNotice('');
      },
      problems,
      setInvalid: (path, isInvalid) =>
        setInvalid((now) => {
          const next = new Set(now);
          if (isInvalid) next.add(path);
          else next.delete(path);
          return next;
        }),
    };
  }, [loaded, problems]);

  const attempt = async (act: () => Promise<void>): Promise<void> => {
    setProblem('');
    setNotice('');
    setProblems([]);
    setWarnings([]);
    try {
      await act();
    } catch (error) {
      setProblem(messageOf(error));
      if (error instanceof ApiError) setProblems(error.problems);
    }
  };
  const save = async (): Promise<void> => {
    if (loaded === undefined || !isChanged || invalid.size > 0) return;
    setSaving(true);
    await attempt(async () => {
      const body = await updateAgent(agentId, changesOf(loaded.saved, loaded.document));
      show(writable(body));
      setNotice('Saved.');
      setWarnings((body.warnings ?? []).map(({ loc, msg }) => ({ path: loc.slice(1).join('.'), message: msg })));
    });
    setSaving(false);
  };

  if (loaded === undefined || editor === undefined) {
    return (
      <div class="page">
        <p>
          <a href={pathOf('agents')}>Agents</a>
        </p>
        {problem === '' ? (
          <p class="quiet">Loading …</p>
        ) : (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
      </div>
    );
  }
  const name = loaded.saved.name || agentId;
  const shownPaths = new Set(formPaths);
  const others = problems.filter(
    ({ path }) => tab === 'JSON' || ![...shownPaths].some((shown) => path === shown || path.startsWith(`${shown}.`)),
  );
  return (
    <div class="page editor">
      <p class="crumbs">
        <a href={pathOf('agents')}>Agents</a>
      </p>
      <div class="page-head">
        <h1>{name}</h1>
        <div class="row-actions">
          <a class="button small" href={pathOf('talk', agentId)}>
            Talk
          </a>
          <button
            type="button"
            class="small"
            onClick={() => void attempt(async () => go('agents', await duplicateAgent(agentId)))}
          >
            Duplicate
          </button>
          <button
            type="button"
            class="small quiet-danger"
            onClick={() =>
              setQuestion({
                title: `Delete “${name}”?`,
                text: 'The agent and all its versions are gone then. Conversations with it stay.',
                verb: 'Delete',
                act: () => void attempt(() => deleteAgent(agentId).then(() => go('agents'))),
              })
            }
          >
            Delete
          </button>
        </div>
      </div>
      <p class="quiet id">{agentId}</p>
      <div class="tabs" role="tablist" aria-label="How to edit">
        {tabs.map((each) => (
          <button
            key={each}
            type="button"
            role="tab"
            id={`tab-${each}`}
            aria-selected={each === tab}
            aria-controls="tab-panel"
            tabIndex={each === tab ? 0 : -1}
            disabled={each !== tab && invalid.size > 0}
            onClick={() => setTab(each)}
            onKeyDown={(event) => {
              if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
              const other = tabs[(tabs.indexOf(each) + 1) % tabs.length]!;
              setTab(other);
              document.getElementById(`tab-${other}`)?.focus();
            }}
          >
            {each}
          </button>
        ))}
      </div>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <div id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`} class="tab-panel">
          {tab === 'Form' ? (
            <FormFields key={round} editor={editor} />
          ) : (
            <WholeDocument key={round} loaded={loaded} onChange={setLoaded} setInvalid={editor.setInvalid} />
          )}
        </div>
        <div class="save-bar">
          <div class="save-says" role="status">
            {problem !== '' && <strong class="field-problem">{problem}</strong>}
            {others.map(({ path, message }) => (
              <small key={path} class="field-problem">
                <code>{path}</code> {message}
              </small>
            ))}
            {warnings.map(({ path, message }) => (
              <small key={path} class="quiet">
                <code>{path}</code> {message}
              </small>
            ))}
            {problem === '' && (
              <span class="quiet">
                {notice || (invalid.size > 0 ? 'A field cannot be read.' : isChanged ? 'Not saved yet.' : 'No changes.')}
              </span>
            )}
          </div>
          <button
            type="button"
            disabled={!isChanged || isSaving}
            onClick={() => [show(loaded.saved), setProblems([]), setProblem(''), setInvalid(new Set())]}
          >
            Undo
          </button>
          <button type="submit" class="primary" disabled={!isChanged || isSaving || invalid.size > 0}>
            {isSaving ? 'Saving …' : 'Save'}
          </button>
        </div>
      </form>
      <ConfirmDialog question={question} onClose={() => setQuestion(undefined)} />
    </div>
  );
}

const agent = 'conversation_config.agent';
const prompt = `${agent}.prompt`;
const tts = 'conversation_config.tts';
const turn = 'conversation_config.turn';
const conversation = 'conversation_config.conversation';
const privacy = 'platform_settings.privacy';

/** What has a field on the form, so that a problem with it is shown there and not at the end. */
const formPaths = [
  'name',
  `${agent}.first_message`,
  `${agent}.language`,
  `${prompt}.prompt`,
  `${prompt}.llm`,
  `${prompt}.temperature`,
  `${prompt}.max_tokens`,
  `${prompt}.tools`,
  `${tts}.voice_id`,
  `${tts}.speed`,
  `${tts}.stability`,
  `${turn}.turn_timeout`,
  `${turn}.silence_end_call_timeout`,
  `${turn}.turn_eagerness`,
  `${conversation}.text_only`,
  `${conversation}.max_duration_seconds`,
  `${conversation}.client_events`,
  'platform_settings.auth.enable_auth',
  `${privacy}.record_voice`,
  `${privacy}.retention_days`,
];

const languages = [
  ['en', 'English'],
  ['de', 'German'],
  ['fr', 'French'],
  ['es', 'Spanish'],
  ['it', 'Italian'],
  ['pt', 'Portuguese'],
  ['nl', 'Dutch'],
  ['pl', 'Polish'],
] as const;

const eventNames = [
  'audio',
  'interruption',
  'user_transcript',
  'tentative_user_transcript',
  'agent_response',
  'agent_response_correction',
  'agent_response_complete',
  'agent_chat_response_part',
  'agent_tool_request',
  'agent_tool_response',
  'mcp_tool_call',
  'vad_score',
  'parley_turn_event',
];

function FormFields({ editor }: { editor: Editor }) {
  const at = (path: string): { editor: Editor; path: string } => ({ editor, path });
  return (
    <>
      <section>
        <h2>What it is</h2>
        <div class="fields">
          <TextField {...at('name')} label="Name" />
          <SelectField {...at(`${agent}.language`)} label="Language" options={languages} />
          <AreaField
            {...at(`${agent}.first_message`)}
            label="First message"
            rows={2}
            hint="Empty: the agent waits for the caller."
          />
          <AreaField {...at(`${prompt}.prompt`)} label="Prompt" rows={10} />
        </div>
      </section>
      <section>
        <h2>Model and voice</h2>
        <div class="fields">
          <TextField {...at(`${prompt}.llm`)} label="Model" placeholder="(the server’s)" />
          <NumberField {...at(`${prompt}.temperature`)} label="Temperature" step={0.1} />
          <NumberField {...at(`${prompt}.max_tokens`)} label="Tokens at most" step={50} />
          <TextField {...at(`${tts}.voice_id`)} label="Voice" placeholder="(the server’s)" />
          <NumberField {...at(`${tts}.speed`)} label="Speed" step={0.05} />
          <NumberField {...at(`${tts}.stability`)} label="Stability" step={0.05} />
        </div>
      </section>
      <section>
        <h2>Turns</h2>
        <div class="fields">
          <SelectField
            {...at(`${turn}.turn_eagerness`)}
            label="Eagerness"
            hint="How soon a pause counts as the end."
            options={[
              ['patient', 'Patient'],
              ['normal', 'Normal'],
              ['eager', 'Eager'],
            ]}
          />
          <NumberField {...at(`${turn}.turn_timeout`)} label="Speaks again after (s)" step={1} hint="Of silence; -1: never." />
          <NumberField
            {...at(`${turn}.silence_end_call_timeout`)}
            label="Hangs up after (s)"
            step={5}
            hint="Of silence; -1: never."
          />
          <NumberField {...at(`${conversation}.max_duration_seconds`)} label="Longest call (s)" step={60} />
          <SwitchField {...at(`${conversation}.text_only`)} label="Text only" fallback={false} />
        </div>
      </section>
      <section>
        <h2>Events for clients</h2>
        <ChoicesField
          {...at(`${conversation}.client_events`)}
          label="Sent to every client"
          names={eventNames}
          hint="Without interruption the caller cannot interrupt. This console asks for more by itself where the agent allows it."
        />
      </section>
      <section>
        <h2>Tools</h2>
        <JsonField
          {...at(`${prompt}.tools`)}
          label="Tools as JSON"
          rows={10}
          fallback={[]}
          hint="A list of client, webhook and system tools in the protocol’s shape."
        />
      </section>
      <section>
        <h2>Access and privacy</h2>
        <div class="fields">
          <SwitchField {...at('platform_settings.auth.enable_auth')} label="Only with a signed URL or a key" fallback={false} />
          <SwitchField {...at(`${privacy}.record_voice`)} label="Record calls" fallback={true} />
          <NumberField {...at(`${privacy}.retention_days`)} label="Kept for (days)" step={1} hint="-1: for ever." />
        </div>
      </section>
    </>
  );
}

/** The whole document as JSON. */
function WholeDocument(props: { loaded: Loaded; onChange: (loaded: Loaded) => void; setInvalid: Editor['setInvalid'] }) {
  const { loaded, onChange, setInvalid } = props;
  const [text, setText] = useState(() => JSON.stringify(loaded.document, undefined, 2));
  const [problem, setProblem] = useState('');
  const onInput = (next: string): void => {
    setText(next);
    const read = readJson(next);
    const isObject =
      read.problem === undefined && typeof read.value === 'object' && read.value !== null && !Array.isArray(read.value);
    const found = read.problem ?? (isObject ? '' : 'An agent is a JSON object.');
    setProblem(found);
    setInvalid('', found !== '');
    if (found === '' && read.problem === undefined) onChange({ ...loaded, document: read.value as AgentDocument });
  };
  return (
    <div class="field wide">
      <label for="whole">The whole agent</label>
      <textarea
        id="whole"
        class="code whole"
        spellcheck={false}
        value={text}
        aria-invalid={problem !== ''}
        aria-describedby="whole-problem"
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      <small id="whole-problem" class="field-problem" aria-live="polite">
        {problem}
      </small>
    </div>
  );
}
