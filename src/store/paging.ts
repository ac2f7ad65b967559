/**
 * Pages of a list that grows while it is read: a cursor names the last row that was seen, by the value it is sorted by and its id, so what
 * is written in between neither repeats a row nor hides one. Pure; API thread.
 */
import { EngineError } from '../shared/errors.js';
import { type Page, storeLimits } from './port.js';
import { storedText } from './text.js';

/** The last row of a page: what the list is sorted by, then the id, which tells equal ones apart. */
export type Place<Key extends string | number> = { readonly key: Key; readonly id: string };

/** Rows on a page: 1..`storeLimits.pageMax`, whatever was asked. */
export function rowsOfPage(asked: number): number {
  return Math.min(Math.max(Math.trunc(asked) || 1, 1), storeLimits.pageMax);
}

export function cursorOf<Key extends string | number>(place: Place<Key>): string {
  return Buffer.from(JSON.stringify([place.key, place.id])).toString('base64url');
}

/** Where to go on. Fails with `rejected` for a cursor that is not one of this kind of list. */
export function placeOf<Key extends 'string' | 'number'>(
  cursor: string,
  keyType: Key,
): Place<Key extends 'string' ? string : number> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch (cause) {
    throw new EngineError('rejected', 'The cursor is not one that this list gave.', { cause });
  }
  const [key, id] = Array.isArray(value) && value.length === 2 ? (value as readonly unknown[]) : [];
  if (typeof key !== keyType || typeof id !== 'string') {
    throw new EngineError('rejected', 'The cursor is not one that this list gave.');
  }
  const clean = typeof key === 'string' ? storedText(key) : key;
  return { key: clean as Key extends 'string' ? string : number, id: storedText(id) };
}

/** A page of `size` out of rows of which one more than that was read, if there was one. */
export function pageOf<Item, Key extends string | number>(
  rows: readonly Item[],
  size: number,
  place: (item: Item) => Place<Key>,
): Page<Item> {
  const items = rows.slice(0, size);
  const last = items.at(-1);
  return { items, nextCursor: rows.length > size && last !== undefined ? cursorOf(place(last)) : undefined };
}
