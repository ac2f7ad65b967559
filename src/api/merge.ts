/** Documents put on top of each other, as PATCH does it. Pure; API thread. */

type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Objects are merged at every level, arrays and single values replaced. Neither argument is changed. */
export function merge(base: unknown, change: unknown): unknown {
  if (!isObject(base) || !isObject(change)) return cleaned(change);
  const names = new Set([...Object.keys(base), ...Object.keys(change)]);
  // The one name that turns dangerous on an object.
  names.delete('__proto__');
  return Object.fromEntries(
    [...names].map((name) => [name, Object.hasOwn(change, name) ? merge(base[name], change[name]) : cleaned(base[name])]),
  );
}

/** The value without the dangerous name in any object of it that merging would look into. */
function cleaned(value: unknown): unknown {
  return isObject(value) ? merge({}, value) : value;
}
