/**
 * Asks for events that the agent does not send by itself. The protocol lets a client name them in its first message
 * (`conversation_config_override.conversation.client_events`), but the official client, which writes that message, has no option for it.
 * So while it opens its socket it finds this class under the name of `WebSocket`, and the first message gets the list on its way out.
 */
type Initiation = { type?: string; conversation_config_override?: { conversation?: Record<string, unknown> } };

/** `message` with the list in it when it is the initiation. Pure. */
export function withEvents(message: string, events: readonly string[]): string {
  const initiation = JSON.parse(message) as Initiation;
  if (initiation.type !== 'conversation_initiation_client_data') return message;
  const overrides = (initiation.conversation_config_override ??= {});
  overrides.conversation = { ...overrides.conversation, client_events: events };
  return JSON.stringify(initiation);
}

/** Runs `start`, which opens one socket; with an empty list nothing is changed. */
export async function askingFor<Answer>(events: readonly string[], start: () => Promise<Answer>): Promise<Answer> {
  if (events.length === 0) return start();
  const Plain = globalThis.WebSocket;
  globalThis.WebSocket = class extends Plain {
    #isFirst = true;

    override send(data: Parameters<WebSocket['send']>[0]): void {
      const isFirst = this.#isFirst;
      this.#isFirst = false;
      super.send(isFirst && typeof data === 'string' ? withEvents(data, events) : data);
    }
  };
  try {
    return await start();
  } finally {
    globalThis.WebSocket = Plain;
  }
}
