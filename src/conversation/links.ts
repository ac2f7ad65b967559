/** The link between main and the conversation thread: the public protocol's events, already decoded, and the session's life. */
import type { Address } from '../shared/links.js';
import type { AudioFormat, ClientEvent, ServerEvent } from '../wire/events.js';

/** What a caller showed at the door, as main judged it; whether the agent is content with it says `admission.ts`. */
export type Access =
  | { readonly kind: 'none' }
  /** The API key of this server. */
  | { readonly kind: 'key' }
  /** A signed URL, valid and never used before, for this agent only. */
  | { readonly kind: 'signed'; readonly agentId: string; readonly conversationId: string | undefined }
  /** Something was shown, and it is not valid. `reason` fits into a close frame. */
  | { readonly kind: 'refused'; readonly reason: string };

/** What is known of a caller when its socket opens. Texts that it did not send are empty. */
export type HandshakeFacts = {
  /** The one of the signed URL, if that holds one. */
  readonly conversationId: string;
  /** Empty: the default agent. */
  readonly agentId: string;
  /** Client library and its version, as it says. */
  readonly source: string;
  readonly version: string;
  readonly environment: string;
  readonly branchId: string;
  /** Header `Origin`: browsers send it. */
  readonly origin: string;
  readonly access: Access;
  /** Calls of this process that go to the same agent, this one included. */
  readonly agentCalls: number;
};

/** main → conversation. */
export type ToConversation = Address &
  (
    | ({ readonly type: 'open' } & HandshakeFacts)
    | { readonly type: 'client_event'; readonly event: ClientEvent }
    /** Audio arrived before any initiation: start with defaults. */
    | { readonly type: 'early_audio' }
    /** The first frame of a speech was handed to the socket. */
    | { readonly type: 'first_frame'; readonly speech: number; readonly atMs: number }
    /** The socket is gone, or the session must end. Answered with `released`. */
    | { readonly type: 'close'; readonly code: number; readonly reason: string }
  );

/** conversation → main. */
export type FromConversation = Address &
  /** The session has begun; the metadata event comes next. Audio goes both ways in these formats unless it is text only. */
  (
    | {
        readonly type: 'begin';
        readonly inputFormat: AudioFormat;
        readonly outputFormat: AudioFormat;
        readonly isTextOnly: boolean;
        readonly sendsAudio: boolean;
        readonly sendsScores: boolean;
      }
    /** To be encoded and sent, in order. Main counts them; frames say after how many they may go. */
    | { readonly type: 'control'; readonly event: ServerEvent }
    /** A CUT: like `control`, then nothing of an older epoch than `epoch` may follow. `decidedAtMs`: monotonic. */
    | {
        readonly type: 'interruption';
        /** Absent: the client does not want to be told. */
        readonly event: ServerEvent | undefined;
        readonly flush: ServerEvent;
        readonly epoch: number;
        readonly decidedAtMs: number;
      }
    /** A HOLD was cleared: kept frames may go. */
    | { readonly type: 'ring' }
    /** Send the close frame. */
    | { readonly type: 'end'; readonly code: number; readonly reason: string }
    | { readonly type: 'released' }
    /** A bug hit this session; its call ends, the others go on. */
    | { readonly type: 'session_failed'; readonly message: string }
  );
