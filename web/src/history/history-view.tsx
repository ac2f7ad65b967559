/** The third view: conversations that are over, or one of them. */
import { useState } from 'preact/hooks';
import { type ConversationRow, listConversations } from '../api/conversations.js';
import { useListing } from '../listing.js';
import { pathOf } from '../route.js';
import { clockText } from '../talk/timeline.js';
import { ConversationDetail } from './conversation-detail.js';
import { dateOf } from './dates.js';

export function HistoryView({ conversationId }: { conversationId: string }) {
  return conversationId === '' ? (
    <ConversationList />
  ) : (
    <ConversationDetail key={conversationId} conversationId={conversationId} />
  );
}

function ConversationList() {
  const [search, setSearch] = useState('');
  const listing = useListing<ConversationRow>(search, async (cursor, signal) => {
    const page = await listConversations(search, '', cursor, signal);
    return { items: page.conversations, nextCursor: page.has_more ? (page.next_cursor ?? '') : '' };
  });
  return (
    <div class="page">
      <div class="page-head">
        <h1>History</h1>
        <input
          type="search"
          aria-label="Search what was said"
          placeholder="Search what was said"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
        <button type="button" onClick={listing.reload}>
          Reload
        </button>
      </div>
      {listing.problem !== '' && (
        <p class="problem" role="alert">
          {listing.problem}
        </p>
      )}
      <ul class="rows" aria-busy={listing.isLoading}>
        {listing.items.map((row) => (
          <li key={row.conversation_id} class="row">
            <a class="row-main conversation-row" href={pathOf('history', row.conversation_id)}>
              <strong>{dateOf(row.start_time_unix_secs)}</strong>
              <span>{row.agent_name || row.agent_id}</span>
              <span class="quiet number">{clockText(row.call_duration_secs)}</span>
              <span class="quiet">{row.message_count === 1 ? '1 message' : `${row.message_count} messages`}</span>
              <span class={`status status-${row.status}`}>{row.status}</span>
            </a>
          </li>
        ))}
      </ul>
      {listing.isEmpty && (
        <p class="quiet empty">{search === '' ? 'No conversation is kept yet.' : `Nobody said “${search}”.`}</p>
      )}
      {listing.hasMore && (
        <button type="button" class="more" onClick={listing.more}>
          Show older
        </button>
      )}
    </div>
  );
}
