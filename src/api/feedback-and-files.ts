/** What clients send beside the socket: a rating of the whole call, and files to talk about. Anybody who knows the conversation may. API thread. */
import { z } from 'zod';
import { randomId } from '../shared/random-id.js';
import type { ApiContext } from './context.js';
import { type ConversationFile, filesOf } from './conversation-documents.js';
import { refuse, unprocessable } from './errors.js';
import { type ApiAnswer, ok } from './http.js';
import { beginningOf, readUpload, type Upload, uploadKinds } from './multipart.js';
import { bytes, json, type Route, route } from './router.js';

export const feedbackLimits = {
  /** After the end of a conversation a rating is taken for this long. */
  afterEndMs: 24 * 3600_000,
} as const;

const feedbackBody = z.object({
  feedback: z.enum(['like', 'dislike']).optional(),
  rating: z.number().int().min(1).max(5).optional(),
  comment: z.string().max(4000).optional(),
});

export function feedbackAndFileRoutes(context: ApiContext): Route[] {
  const { store, directory, conversations, nowMs } = context;

  const notFound = (conversationId: string) =>
    refuse(404, 'conversation_not_found', `Conversation ${conversationId} does not exist, or is over.`);

  /** Files are for conversations that are going on; the agent must be ready for them. */
  const welcome = async (conversationId: string): Promise<readonly ConversationFile[]> => {
    const live = await conversations.find(conversationId);
    if (live === undefined) throw notFound(conversationId);
    const session = await directory.session(live.agentId);
    const rule = session?.agent.conversation_config.conversation.file_input;
    if (rule?.enabled !== true) {
      throw refuse(403, 'file_input_disabled', 'This agent takes no files: conversation.file_input.enabled is false.');
    }
    const files = await filesHere(conversationId);
    if (files.length >= rule.max_files_per_conversation) {
      throw refuse(429, 'too_many_files', `At most ${rule.max_files_per_conversation} files in one conversation.`);
    }
    return files;
  };

  const filesHere = async (conversationId: string): Promise<readonly ConversationFile[]> => {
    await conversations.settled(conversationId);
    return filesOf((await store.conversation(conversationId))?.document ?? {});
  };

  return [
    route('POST', '/v1/convai/conversations/{conversation_id}/feedback', {
      id: 'sendFeedback',
      summary: 'Rate a conversation, while it goes on and for a day after its end',
      isPublic: true,
      body: feedbackBody,
      answer: json(z.object({})),
      run: async ({ params, body }) => {
        const conversationId = params['conversation_id']!;
        await conversations.settled(conversationId);
        const record = await store.conversation(conversationId);
        const isLate = record?.endedAtMs !== undefined && nowMs() - record.endedAtMs > feedbackLimits.afterEndMs;
        if (record === undefined || isLate) throw notFound(conversationId);
        const { feedback, rating, comment } = body;
        await store.amendConversation(conversationId, {
          feedback: {
            type: rating === undefined ? 'thumbs' : 'rating',
            overall_score: feedback ?? null,
            rating: rating ?? null,
            comment: comment ?? null,
          },
        });
        return ok({});
      },
    }),

    route('POST', '/v1/convai/conversations/{conversation_id}/files', {
      id: 'uploadFile',
      summary: 'Upload a picture (PNG, JPEG, GIF, WebP; 10 MB) or a PDF (20 MB) to a conversation that is going on',
      isPublic: true,
      file: 'file',
      answer: json(z.object({ file_id: z.string() })),
      run: async ({ ask, params }) => {
        const conversationId = params['conversation_id']!;
        if ((await conversations.findSoon(conversationId)) === undefined) throw notFound(conversationId);
        // One after another, so that two at once do not both become the last one allowed.
        return conversations.inTurn(conversationId, async (): Promise<ApiAnswer> => {
          const files = await welcome(conversationId);
          const upload = await readUpload(ask.body, ask.headers['content-type'], 'file');
          if (upload === undefined) {
            throw unprocessable([{ loc: ['body', 'file'], msg: 'Send one file as multipart/form-data.', type: 'missing' }]);
          }
          demandKind(upload);
          const fileId = `file_${randomId()}`;
          const { name, mimeType } = upload;
          await store.putFile({ fileId, conversationId, name, mimeType, bytes: upload.bytes, createdAtMs: nowMs() });
          const file: ConversationFile = { file_id: fileId, name, mime_type: mimeType, bytes: upload.bytes.byteLength };
          await store.amendConversation(conversationId, { files: [...files, file] });
          return ok({ file_id: fileId });
        });
      },
    }),

    route('GET', '/v1/convai/conversations/{conversation_id}/files/{file_id}', {
      id: 'getFile',
      summary: 'An uploaded file',
      answer: bytes(...Object.keys(uploadKinds)),
      run: async ({ params }) => {
        const file = await store.file(params['file_id']!);
        if (file === undefined || file.conversationId !== params['conversation_id']) {
          throw refuse(404, 'document_not_found', 'There is no such file.');
        }
        const headers = {
          'content-type': file.mimeType,
          'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(file.name)}`,
          'x-content-type-options': 'nosniff',
        };
        return { status: 200, headers, bytes: file.bytes };
      },
    }),

    route('DELETE', '/v1/convai/conversations/{conversation_id}/files/{file_id}', {
      id: 'deleteFile',
      summary: 'Take back a file, while the conversation goes on',
      isPublic: true,
      answer: json(z.object({ file_id: z.string() })),
      run: ({ params }) => {
        const { conversation_id: conversationId = '', file_id: fileId = '' } = params;
        return conversations.inTurn(conversationId, async (): Promise<ApiAnswer> => {
          if ((await conversations.find(conversationId)) === undefined) throw notFound(conversationId);
          const files = await filesHere(conversationId);
          if (!files.some(({ file_id: id }) => id === fileId)) throw refuse(404, 'document_not_found', 'There is no such file.');
          await store.deleteFile(fileId);
          await store.amendConversation(conversationId, { files: files.filter(({ file_id: id }) => id !== fileId) });
          return ok({ file_id: fileId });
        });
      },
    }),
  ];
}

function demandKind({ mimeType, bytes: content }: Upload): void {
  const kind = uploadKinds[mimeType];
  if (kind === undefined || !Object.hasOwn(uploadKinds, mimeType)) {
    throw refuse(415, 'unsupported_file_type', `Upload one of ${Object.keys(uploadKinds).join(', ')}.`);
  }
  if (content.byteLength > kind.bytesMax) {
    throw refuse(413, 'file_too_large', `A file of type ${mimeType} may have ${kind.bytesMax / (1024 * 1024)} MB.`);
  }
  if (!kind.begins.test(beginningOf(content))) {
    throw refuse(415, 'unsupported_file_type', `This file is not what it says, ${mimeType}.`);
  }
}
