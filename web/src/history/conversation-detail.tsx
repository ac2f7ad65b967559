/** One conversation: what was said and heard, what tools did, how long things took, and how it sounded. */
import { useEffect, useRef, useState } from 'preact/hooks';
import {
  type ConversationBody,
  deleteConversation,
  rateConversation,
  readConversation,
  type TranscriptItem,
} from '../api/conversations.js';
import { messageOf } from '../api/http.js';
import { ConfirmDialog, type Question } from '../confirm-dialog.js';
import { go, pathOf } from '../route.js';
import { clockText } from '../talk/timeline.js';
import { strike } from '../talk/transcript.js';
import { RateButtons } from '../talk/transcript-view.js';
import { Unheard } from '../unheard.js';
import { dateOf } from './dates.js';
import { Player, type PlayerHandle } from './player.js';

export function ConversationDetail({ conversationId }: { conversationId: string }) {
  const [body, setBody] = useState<ConversationBody | undefined>(undefined);
  const [problem, setProblem] = useState('');
  const [rating, setRating] = useState<string | undefined>(undefined);
  const [question, setQuestion] = useState<Question | undefined>(undefined);
  const [atSeconds, setAtSeconds] = useState(-1);
  const player = useRef<PlayerHandle>(null);

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = (): void => {
      readConversation(conversationId, abort.signal).then(
        (next) => {
          setBody(next);
          setRating(ratingOf(next));
          if (unfinished.has(next.status)) timer = setTimeout(read, readAgainMs);
        },
        (error: unknown) => {
          if (!abort.signal.aborted) setProblem(messageOf(error));
        },
      );
    };
    read();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [conversationId]);

  const rate = (feedback: 'like' | 'dislike'): void => {
    rateConversation(conversationId, feedback).then(
      () => setRating(feedback),
      (error: unknown) => setProblem(messageOf(error)),
    );
  };
  const remove = (): void => {
    deleteConversation(conversationId).then(
      () => go('history'),
      (error: unknown) => setProblem(messageOf(error)),
    );
  };
  const items = body?.transcript ?? [];
  // What is heard now is the last item that has begun; before the recording was started, none.
  const current = atSeconds < 0 ? -1 : items.findLastIndex((item) => item.time_in_call_secs <= atSeconds + 0.05);
  return (
    <div class="page">
      <p class="crumbs">
        <a href={pathOf('history')}>History</a>
      </p>
      {problem !== '' && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {body === undefined ? (
        problem === '' && <p class="quiet">Loading …</p>
      ) : (
        <>
          <div class="page-head">
            <h1>{dateOf(body.metadata.start_time_unix_secs)}</h1>
            <div class="row-actions">
              <RateButtons what="call" chosen={rating} onRate={rate} />
              <button
                type="button"
                class="small quiet-danger"
                onClick={() =>
                  setQuestion({
                    title: 'Delete this conversation?',
                    text: 'Its transcript and its recording are gone then.',
                    verb: 'Delete',
                    act: remove,
                  })
                }
              >
                Delete
              </button>
            </div>
          </div>
          <Facts body={body} />
          {body.has_audio && <Player conversationId={conversationId} handle={player} onTime={setAtSeconds} />}
          <ol class="record">
            {items.map((item, index) => (
              <RecordItem
                key={index}
                item={item}
                isCurrent={index === current}
                onSeek={body.has_audio ? () => player.current?.seek(item.time_in_call_secs) : undefined}
              />
            ))}
          </ol>
          {items.length === 0 && <p class="quiet empty">Nothing was said.</p>}
        </>
      )}
      <ConfirmDialog question={question} onClose={() => setQuestion(undefined)} />
    </div>
  );
}

/** More of these is to come: they are read again. */
const unfinished: ReadonlySet<string> = new Set(['initiated', 'in-progress', 'processing']);
const readAgainMs = 1500;

function ratingOf(body: ConversationBody): string | undefined {
  const { feedback } = body.metadata;
  if (typeof feedback === 'string') return feedback;
  return feedback?.overall_score ?? feedback?.score;
}

function Facts({ body }: { body: ConversationBody }) {
  const { metadata } = body;
  const facts: readonly (readonly [string, string | undefined | null])[] = [
    ['Agent', body.agent_name || body.agent_id],
    ['Length', clockText(metadata.call_duration_secs)],
    ['Status', body.status],
    ['Ended', metadata.error?.reason ?? metadata.termination_reason],
    ['Language', metadata.main_language],
    ['User', body.user_id],
    ['Id', body.conversation_id],
  ];
  return (
    <dl class="facts">
      {facts.map(
        ([name, value]) =>
          value !== undefined &&
          value !== null &&
          value !== '' && (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{name === 'Agent' ? <a href={pathOf('agents', body.agent_id)}>{value}</a> : value}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

function RecordItem({ item, isCurrent, onSeek }: { item: TranscriptItem; isCurrent: boolean; onSeek: (() => void) | undefined }) {
  const at = clockText(Math.floor(item.time_in_call_secs));
  const message = item.message ?? '';
  const isCut = item.interrupted === true && typeof item.original_message === 'string';
  const { heard, unheard } = isCut ? strike(item.original_message!, message) : { heard: message, unheard: '' };
  const notes = [
    item.interrupted === true ? 'interrupted' : '',
    item.ignored_as_backchannel === true ? 'not taken as a turn' : '',
    item.source_medium === 'text' ? 'typed' : '',
    item.feedback?.score ?? '',
    item.platform_event?.replaceAll('_', ' ') ?? '',
  ].filter((note) => note !== '');
  const timings = Object.entries(item.conversation_turn_metrics?.metrics ?? {});
  return (
    <li class={`record-item ${item.role}`} {...(isCurrent ? { 'aria-current': 'true' as const } : {})}>
      {onSeek === undefined ? (
        <span class="at quiet">{at}</span>
      ) : (
        <button type="button" class="at small" onClick={onSeek} aria-label={`Play from ${at}`}>
          {at}
        </button>
      )}
      <div class="said">
        <span class="who">{item.role === 'user' ? 'Caller' : 'Agent'}</span>
        {notes.map((note) => (
          <small key={note} class="note">
            {note}
          </small>
        ))}
        {(heard !== '' || unheard !== '') && (
          <p>
            {heard}
            {unheard !== '' && <Unheard text={unheard} />}
          </p>
        )}
        {item.tool_calls?.map((made) => (
          <ToolPart
            key={`call ${made.request_id}`}
            verb="called"
            name={made.tool_name}
            text={made.params_as_json ?? ''}
            isError={false}
          />
        ))}
        {item.tool_results?.map((result) => (
          <ToolPart
            key={`result ${result.request_id}`}
            verb={result.is_error === true ? 'failed' : 'answered'}
            name={result.tool_name}
            text={result.result_value ?? ''}
            isError={result.is_error === true}
          />
        ))}
        {timings.length > 0 && (
          <ul class="timings" aria-label="Timings">
            {timings.map(([name, { elapsed_time }]) => (
              <li key={name}>
                {nameOfMetric(name)} <b>{Math.round(elapsed_time * 1000)} ms</b>
              </li>
            ))}
          </ul>
        )}
      </div>
    </li>
  );
}

/** The public names are long. */
const metricNames: Readonly<Record<string, string>> = {
  convai_asr_trailing_service_latency: 'recognition',
  parley_end_of_turn_latency: 'end of turn',
  convai_llm_service_ttfb: 'model',
  convai_llm_service_ttf_sentence: 'first sentence',
  convai_tts_service_ttfb: 'voice',
  parley_first_audio_latency: 'first audio',
};

function nameOfMetric(name: string): string {
  const known = metricNames[name];
  if (known !== undefined) return known;
  return name
    .replace(/^(convai|parley)_/, '')
    .replace('_service_', '_')
    .replaceAll('_', ' ');
}

function ToolPart({ verb, name, text, isError }: { verb: string; name: string; text: string; isError: boolean }) {
  return (
    <details class={isError ? 'tool-part failed' : 'tool-part'}>
      <summary>
        <code>{name}</code> {verb}
      </summary>
      <pre>{pretty(text)}</pre>
    </details>
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2);
  } catch {
    return text; // results are often plain text
  }
}
