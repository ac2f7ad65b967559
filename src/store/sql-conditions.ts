/** The WHERE part of a list's statement, and its values: what was asked for is only ever a value, never part of the text. Pure; API thread. */
import type { Place } from './paging.js';
import type { SqlValue } from './sql-connection.js';

/** The conditions of a query and the values they name. */
export class Conditions {
  readonly values: SqlValue[] = [];
  readonly #conditions: string[];

  constructor(first: string) {
    this.#conditions = [first];
  }

  get text(): string {
    return this.#conditions.join(' AND ');
  }

  /** `condition` gets the name of the value in the statement. */
  add(condition: (value: string) => string, value: SqlValue): void {
    this.#conditions.push(condition(this.#place(value)));
  }

  /** Only what comes behind the last row that was seen. */
  addPlace(column: string, idColumn: string, isDescending: boolean, place: Place<string | number>): void {
    const sign = isDescending ? '<' : '>';
    this.#conditions.push(`(${column}, ${idColumn}) ${sign} (${this.#place(place.key)}, ${this.#place(place.id)})`);
  }

  #place(value: SqlValue): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }
}
