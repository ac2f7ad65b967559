/** The conversation, line by line, as it happens. */
import { useEffect, useRef } from 'preact/hooks';
import { useStore } from '../store.js';
import { Unheard } from '../unheard.js';
import { call } from './call.js';
import { type Line, strike } from './transcript.js';

/** Reading further up, nobody is pulled down; nearer to the end than this, the newest line stays in sight. */
const followPx = 120;

/** `isTyped`: nothing is spoken. */
export function TranscriptView({ isTyped }: { isTyped: boolean }) {
  const { lines, phase, ending, conversationId, overallRating } = useStore(call.store);
  const scroller = useRef<HTMLDivElement>(null);
  const isFollowing = useRef(true);
  useEffect(() => {
    const { current } = scroller;
    if (current !== null && isFollowing.current) current.scrollTop = current.scrollHeight;
  }, [lines, ending]);
  const onScroll = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = scroller.current!;
    isFollowing.current = scrollHeight - scrollTop - clientHeight < followPx;
  };
  const isOver = phase === 'idle' && conversationId !== '';
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reachable by keys
    <div class="transcript" ref={scroller} onScroll={onScroll} tabIndex={0} role="log" aria-label="Conversation">
      {lines.length === 0 && !isOver ? (
        <div class="welcome">
          <h2>
            {phase === 'connecting'
              ? 'Connecting …'
              : isTyped
                ? 'Type a message.'
                : phase === 'idle'
                  ? 'Say something.'
                  : 'Listening.'}
          </h2>
          <p>
            {isTyped
              ? 'Nothing is spoken here. A new message interrupts an answer that is still being written.'
              : 'Start a call and speak, or just type. Interrupt whenever you like: the agent stops, and remembers only what you heard.'}
          </p>
        </div>
      ) : (
        <ol>
          {lines.map((line) => (
            <LineView key={line.id} line={line} isLive={phase === 'live'} />
          ))}
        </ol>
      )}
      {isOver && (
        <div class="ending">
          <p>{ending || 'The call is over.'}</p>
          <div class="actions">
            <a href={`#/history/${conversationId}`}>Open in history</a>
            <RateButtons what="call" chosen={overallRating} onRate={(rating) => void call.rateAll(rating)} />
          </div>
        </div>
      )}
    </div>
  );
}

function LineView({ line, isLive }: { line: Line; isLive: boolean }) {
  switch (line.kind) {
    case 'caller':
      return (
        <li class={line.isTentative ? 'caller tentative' : 'caller'}>
          <span class="unseen">You: </span>
          {line.text}
        </li>
      );
    case 'agent': {
      const { heard, unheard } = strike(line.text, line.heard);
      return (
        <li class="agent">
          <span class="unseen">Agent: </span>
          <span>{heard}</span>
          {unheard !== '' && <Unheard text={unheard} />}
          {isLive && !line.isOpen && (
            <RateButtons
              what="answer"
              chosen={line.rating}
              onRate={(rating) => call.rate(line.eventId, line.rating === rating ? null : rating)}
            />
          )}
        </li>
      );
    }
    case 'tool':
      return (
        <li class="tool">
          <code>{line.name}</code>
          {line.state === 'asking' ? (
            <span class="actions">
              wants to run
              <button type="button" class="small" onClick={() => call.decide(line.callId, true)}>
                Allow
              </button>
              <button type="button" class="small" onClick={() => call.decide(line.callId, false)}>
                Refuse
              </button>
            </span>
          ) : (
            <span>{{ running: 'runs …', done: 'done', failed: 'failed' }[line.state]}</span>
          )}
        </li>
      );
    case 'notice':
      return <li class="notice">{line.text}</li>;
  }
}

/** Thumbs up and down; `what`: what is rated, for those who do not see where they stand. */
export function RateButtons(props: {
  what: string;
  chosen: string | null | undefined;
  onRate: (rating: 'like' | 'dislike') => void;
}) {
  const { what, chosen, onRate } = props;
  return (
    <fieldset class="rate" aria-label={`Rate the ${what}`}>
      {(['like', 'dislike'] as const).map((rating) => (
        <button
          key={rating}
          type="button"
          class="small icon"
          aria-pressed={chosen === rating}
          aria-label={rating === 'like' ? `Good ${what}` : `Bad ${what}`}
          onClick={() => onRate(rating)}
        >
          <svg viewBox="0 0 24 24" aria-hidden="true" class={rating === 'like' ? '' : 'turned'}>
            <path d="M7 11v9H4v-9zM7 11l4-7c1.5 0 2.4 1 2 2.7L12.4 10H19c1.2 0 2 1 1.7 2.2l-1.5 6c-.3 1.1-1 1.8-2.2 1.8H7" />
          </svg>
        </button>
      ))}
    </fieldset>
  );
}
