/** A promise that a test settles from outside (`Promise.withResolvers` of newer Nodes). */
export type Promised<Value> = { readonly promise: Promise<Value>; readonly resolve: (value: Value) => void };

export function promised<Value>(): Promised<Value> {
  let settle: (value: Value) => void = () => undefined;
  const promise = new Promise<Value>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: (value) => settle(value) };
}
