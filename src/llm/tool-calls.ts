/** Puts tool calls together from the fragments of a stream. Conversation thread. */
import { randomUUID } from 'node:crypto';
import { EngineError } from '../shared/errors.js';
import { field } from '../shared/http-errors.js';
import type { ToolCall } from './port.js';

/** Calls in one answer, at most. */
const callsMax = 32;

type Slot = { readonly index: number | undefined; id: string; name: string; argumentsJson: string };

export class ToolCallAssembly {
  readonly #slots: Slot[] = [];
  readonly #who: string;
  #current: Slot | undefined;

  constructor(who: string) {
    this.#who = who;
  }

  get count(): number {
    return this.#slots.length;
  }

  /**
   * Takes the `tool_calls` of one delta and returns how many characters it brought. OpenAI's form: the first fragment of a call has index, id and name,
   * the others index and a piece of the arguments. Tolerated: no index (a new id is a new call, anything else belongs to the call before);
   * the same index for a second call, told apart by its id; id and name repeated in every fragment; arguments as an object.
   */
  add(fragments: readonly unknown[]): number {
    let characters = 0;
    for (const fragment of fragments) {
      const call = field(fragment, 'function');
      const slot = this.#slotOf(fragment, text(field(fragment, 'id')));
      const name = text(field(call, 'name'));
      if (name !== slot.name) slot.name += name;
      const given = field(call, 'arguments');
      const json = typeof given === 'object' && given !== null ? JSON.stringify(given) : text(given);
      slot.argumentsJson += json;
      characters += name.length + json.length;
    }
    return characters;
  }

  /** The calls in the order in which they began. `whole`: false when the answer was cut off; then calls that are no JSON are left out. */
  calls(whole: boolean): ToolCall[] {
    return this.#slots
      .map(({ id, name, argumentsJson }) => ({
        id: id === '' ? `call_${randomUUID()}` : id,
        name,
        argumentsJson: argumentsJson.trim() === '' ? '{}' : argumentsJson,
      }))
      .filter((call) => call.name !== '' && (whole || isJson(call.argumentsJson)));
  }

  #slotOf(fragment: unknown, id: string): Slot {
    const index = field(fragment, 'index');
    const indexed = typeof index === 'number';
    // Where both are there the index leads, and the id tells apart calls that share it.
    const fits = (slot: Slot) => id === '' || slot.id === '' || slot.id === id;
    const known = indexed
      ? this.#slots.findLast((slot) => slot.index === index && fits(slot))
      : id === ''
        ? this.#current
        : this.#slots.findLast((slot) => slot.id === id);
    if (known !== undefined) {
      if (known.id === '') known.id = id;
      this.#current = known;
      return known;
    }
    if (this.#slots.length === callsMax)
      throw new EngineError('garbage', `${this.#who} made more than ${callsMax} tool calls at once`);
    const slot: Slot = { index: indexed ? index : undefined, id, name: '', argumentsJson: '' };
    this.#slots.push(slot);
    this.#current = slot;
    return slot;
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function isJson(value: string): boolean {
  try {
    JSON.parse(value);
    return true;
  } catch {
    return false;
  }
}
