/**
 * The one error class of the engine: the world misbehaved (provider closed, model missing, bad setting).
 * Bugs are assertions; ordinary outcomes are values. Used by every thread; crosses ports as `Problem`.
 */

/** Error types of the public protocol that we use; `docs/protocol.md` says what the caller sees for each. */
export type ErrorType =
  | 'unknown'
  | 'invalid_message'
  | 'value_error'
  | 'missing_fields'
  | 'override_error'
  | 'missing_dynamic_variable'
  | 'websocket_disconnect'
  | 'llm_timeout'
  | 'llm_error'
  | 'custom_llm_error'
  | 'transport_receive_timeout'
  | 'max_duration_exceeded'
  | 'asr_transcription_error'
  | 'tts_cascade_error'
  | 'vad_error'
  | 'unknown_websocket_crash';

/**
 * What kind of failure it was, from which the reaction follows:
 * `refused` no connection, `timeout` a deadline of ours, `rate_limited` HTTP 429, `rejected` 400/401/403/404 (configuration: no retry),
 * `server` 5xx or an error event, `broken` the stream ended early, `garbage` not what the protocol says, `aborted` we stopped it ourselves,
 * `config` a setting of ours, `missing` a file or package, `unavailable` a part of ours is away for now (the database, the API thread).
 */
export type FailureKind =
  | 'refused'
  | 'timeout'
  | 'rate_limited'
  | 'rejected'
  | 'server'
  | 'broken'
  | 'garbage'
  | 'aborted'
  | 'config'
  | 'missing'
  | 'unavailable';

/** What of an error crosses a port: no stack, no cause, no provider body. */
export type Problem = { readonly kind: FailureKind; readonly message: string; readonly retryAfterMs?: number };

export class EngineError extends Error {
  readonly kind: FailureKind;
  readonly fields: Readonly<Record<string, string | number>>;
  override readonly name = 'EngineError';

  /** `message`: one plain sentence without secrets. `fields`: context for one log line. */
  constructor(kind: FailureKind, message: string, options: { cause?: unknown; fields?: Record<string, string | number> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.fields = options.fields ?? {};
  }
}

/** The part of any thrown value that may cross a port. */
export function problemOf(error: unknown): Problem {
  if (error instanceof EngineError) {
    const retryAfterMs = error.fields['retryAfterMs'];
    return typeof retryAfterMs === 'number'
      ? { kind: error.kind, message: error.message, retryAfterMs }
      : { kind: error.kind, message: error.message };
  }
  return { kind: 'broken', message: error instanceof Error ? error.message : String(error) };
}
