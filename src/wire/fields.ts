/**
 * Reads the fields of one parsed JSON object by name, checks each, and remembers the first that is wrong. Objects are never merged or passed
 * on, so names such as `__proto__` are names like any other. Pure; main thread.
 */

/** Why a message is refused. `message`: one plain sentence of at most 120 bytes of UTF-8, without anything the client wrote but field names. */
export type MessageProblem = {
  readonly errorType: 'invalid_message' | 'value_error' | 'missing_fields';
  /** Path of the field, when one is to blame. */
  readonly field?: string;
  readonly message: string;
};

type Values = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return 'a string';
    case 'number':
      return 'a number';
    case 'boolean':
      return 'true or false';
    default:
      return 'an object';
  }
}

/** Halves of surrogate pairs become U+FFFD, as they would on the way to any provider. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

/** Absent and null are the same to every `optional…` reader. After a problem the values returned stand for nothing. */
export class Fields {
  readonly #values: Values;
  readonly #path: string;
  readonly #problems: MessageProblem[];

  constructor(values: Values, path = '', problems: MessageProblem[] = []) {
    this.#values = values;
    this.#path = path;
    this.#problems = problems;
  }

  /** The first field found wrong, here or in a `child`. */
  get problem(): MessageProblem | undefined {
    return this.#problems[0];
  }

  /** The field as parsed; `undefined` when the object has none of its own by that name. */
  raw(name: string): unknown {
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
  }

  names(): string[] {
    return Object.keys(this.#values);
  }

  /** All of them as parsed, for who copies them. */
  values(): Values {
    return this.#values;
  }

  pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  /** Says that a field has a wrong value: what it must be, and what it is. `shownAs` replaces a name that the client made up. */
  refuse(name: string, rule: string, found: string = kindOf(this.raw(name)), shownAs = name): void {
    const field = this.pathOf(shownAs);
    this.#remember({ errorType: 'value_error', field, message: `${field} must be ${rule}, not ${found}.` });
  }

  optionalText(name: string): string | undefined {
    const value = this.raw(name) ?? undefined;
    if (value === undefined || typeof value === 'string') return value === undefined ? undefined : wellFormed(value);
    this.refuse(name, 'a string');
    return undefined;
  }

  optionalFlag(name: string): boolean | undefined {
    const value = this.raw(name) ?? undefined;
    if (value === undefined || typeof value === 'boolean') return value;
    this.refuse(name, 'true or false');
    return undefined;
  }

  /** A finite number between `min` and `max`, both inclusive. */
  optionalNumber(name: string, min: number, max: number): number | undefined {
    const value = this.raw(name) ?? undefined;
    if (value === undefined || (typeof value === 'number' && value >= min && value <= max)) return value;
    this.refuse(name, `a number from ${min} to ${max}`, typeof value === 'number' ? 'another number' : undefined);
    return undefined;
  }

  /** A whole number, at least `min`. */
  optionalWhole(name: string, min: number): number | undefined {
    const value = this.raw(name) ?? undefined;
    if (value === undefined || (typeof value === 'number' && Number.isSafeInteger(value) && value >= min)) return value;
    this.refuse(name, `a whole number from ${min}`, typeof value === 'number' ? 'another number' : undefined);
    return undefined;
  }

  optionalTexts(name: string): string[] | undefined {
    const value = this.raw(name) ?? undefined;
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.map(wellFormed);
    this.refuse(name, 'a list of strings', Array.isArray(value) ? 'a list of other things' : undefined);
    return undefined;
  }

  /** The objects of a list. */
  optionalChildren(name: string): Fields[] | undefined {
    const value = this.raw(name) ?? undefined;
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every(isObject)) {
      return value.map((item, index) => new Fields(item, this.pathOf(`${name}[${index}]`), this.#problems));
    }
    this.refuse(name, 'a list of objects', Array.isArray(value) ? 'a list of other things' : undefined);
    return undefined;
  }

  /** An object below this one; one without fields when it is absent or null. */
  child(name: string): Fields {
    const value = this.raw(name) ?? undefined;
    if (value !== undefined && !isObject(value)) this.refuse(name, 'an object');
    return new Fields(isObject(value) ? value : {}, this.pathOf(name), this.#problems);
  }

  text(name: string): string {
    return this.requires(name, 'a string') ? (this.optionalText(name) ?? '') : '';
  }

  flag(name: string): boolean {
    return this.requires(name, 'true or false') && this.optionalFlag(name) === true;
  }

  whole(name: string, min: number): number {
    return this.requires(name, `a whole number from ${min}`) ? (this.optionalWhole(name, min) ?? min) : min;
  }

  /** Whether the field is there and not null; if not, that is a problem. */
  requires(name: string, rule: string): boolean {
    const value = this.raw(name);
    if (value === null) this.refuse(name, rule);
    if (value === undefined) {
      const field = this.pathOf(name);
      this.#remember({ errorType: 'missing_fields', field, message: `${field} is missing.` });
    }
    return value !== null && value !== undefined;
  }

  #remember(problem: MessageProblem): void {
    if (this.#problems.length === 0) this.#problems.push(problem);
  }
}
