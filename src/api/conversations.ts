/** `/v1/convai/conversations`: list, detail, sound, delete. API thread. */
import { z } from 'zod';
import type { ConversationRecord } from '../store/port.js';
import { parseByteRange } from './byte-range.js';
import type { ApiContext } from './context.js';
import { callSuccessful, conversationDetail, conversationSummary } from './conversation-documents.js';
import { refuse } from './errors.js';
import { type ApiAnswer, ok, partsOf } from './http.js';
import { pageQuery } from './paging.js';
import { originsOf } from './public-url.js';
import { bytes, json, type Route, route } from './router.js';

const unixSecsQuery = z.coerce.number().int().min(0).max(1e11);

export function conversationRoutes(context: ApiContext): Route[] {
  const { store, directory, recordings, retention, conversations, setup, nowMs } = context;

  const nameOf = async (agentId: string): Promise<string | null> => (await directory.record(agentId))?.name ?? null;

  const found = async (conversationId: string): Promise<ConversationRecord> => {
    await conversations.settled(conversationId);
    const record = await store.conversation(conversationId);
    if (record !== undefined) return record;
    throw refuse(404, 'conversation_not_found', `Conversation ${conversationId} does not exist.`);
  };

  return [
    route('GET', '/v1/convai/conversations', {
      id: 'listConversations',
      summary: 'List conversations, newest first',
      query: z.object({
        ...pageQuery,
        agent_id: z.string().max(128).optional(),
        user_id: z.string().max(256).optional(),
        call_successful: z.enum(['success', 'failure', 'unknown']).optional(),
        call_start_before_unix: unixSecsQuery.optional(),
        call_start_after_unix: unixSecsQuery.optional(),
        search: z.string().max(256).optional(),
        summary_mode: z.string().max(32).optional(),
      }),
      answer: json(
        z.object({ conversations: z.array(z.looseObject({})), has_more: z.boolean(), next_cursor: z.string().nullable() }),
      ),
      run: async ({ query }) => {
        const before = query.call_start_before_unix;
        const after = query.call_start_after_unix;
        const page = await store.conversations({
          pageSize: query.page_size,
          cursor: query.cursor,
          agentId: query.agent_id,
          userId: query.user_id,
          startedBeforeMs: before === undefined ? undefined : before * 1000,
          startedAfterMs: after === undefined ? undefined : after * 1000,
          search: query.search,
        });
        const names = new Map<string, string | null>();
        for (const { agentId } of page.items) if (!names.has(agentId)) names.set(agentId, await nameOf(agentId));
        const isWanted = (verdict: string): boolean => query.call_successful === undefined || verdict === query.call_successful;
        return ok({
          conversations: page.items
            .filter(({ document }) => isWanted(callSuccessful(document)))
            .map((item) => conversationSummary(item, names.get(item.agentId) ?? null, nowMs())),
          has_more: page.nextCursor !== undefined,
          next_cursor: page.nextCursor ?? null,
        });
      },
    }),

    route('GET', '/v1/convai/conversations/{conversation_id}', {
      id: 'getConversation',
      summary: 'One conversation with its transcript, timings, tool calls, end reason and counters',
      answer: json(
        z.looseObject({
          conversation_id: z.string(),
          status: z.string(),
          transcript: z.array(z.looseObject({ role: z.string() })),
        }),
      ),
      run: async ({ ask, params }) => {
        const record = await found(params['conversation_id']!);
        const { http } = originsOf(setup.publicUrl, ask.headers);
        const { conversationId } = record;
        return ok(
          conversationDetail(record, {
            agentName: await nameOf(record.agentId),
            hasAudio: record.status !== 'in-progress' && (await recordings?.exists(conversationId)) === true,
            nowMs: nowMs(),
            fileUrl: (fileId) => `${http}/v1/convai/conversations/${conversationId}/files/${fileId}`,
          }),
        );
      },
    }),

    route('DELETE', '/v1/convai/conversations/{conversation_id}', {
      id: 'deleteConversation',
      summary: 'Delete a finished conversation with its sound and files',
      answer: json(z.object({})),
      run: async ({ params }) => {
        const conversationId = params['conversation_id']!;
        if ((await conversations.find(conversationId)) !== undefined) {
          throw refuse(409, 'conversation_in_progress', 'This conversation is going on. Delete it when it is over.');
        }
        await found(conversationId);
        await retention.delete(conversationId);
        return ok({});
      },
    }),

    route('GET', '/v1/convai/conversations/{conversation_id}/audio', {
      id: 'getConversationAudio',
      summary: 'The sound of a finished conversation: WAV, caller on the left, agent on the right',
      answer: bytes('audio/wav'),
      run: async ({ ask, params }): Promise<ApiAnswer> => {
        const { conversationId, status } = await found(params['conversation_id']!);
        const file = status === 'in-progress' ? undefined : await recordings?.open(conversationId);
        if (file === undefined) throw refuse(404, 'audio_not_found', 'Nothing was recorded of this conversation.');
        const { byteLength } = file;
        const range = parseByteRange(ask.headers['range'], byteLength);
        if (range === 'unsatisfiable') {
          await file.close();
          throw refuse(416, 'range_not_satisfiable', 'There is less sound than that.', {
            'content-range': `bytes */${byteLength}`,
          });
        }
        const headers = { 'content-type': 'audio/wav', 'accept-ranges': 'bytes', 'cache-control': 'no-store' };
        if (range === 'whole') return { status: 200, headers, parts: partsOf(file.read()) };
        return {
          status: 206,
          headers: { ...headers, 'content-range': `bytes ${range.first}-${range.last}/${byteLength}` },
          parts: partsOf(file.read(range)),
        };
      },
    }),
  ];
}
