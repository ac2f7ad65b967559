/**
 * Writes small ONNX files: the few protobuf messages of the format that a graph of a handful of nodes needs, by hand, so that tests of models need
 * no download. Field numbers are those of onnx.proto3.
 */

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

type Field = readonly number[];

function integer(number: number, value: number): Field {
  return [...varint(number << 3), ...varint(value)];
}

function bytes(number: number, content: Iterable<number>): Field {
  const body = [...content];
  return [...varint((number << 3) | 2), ...varint(body.length), ...body];
}

function text(number: number, content: string): Field {
  return bytes(number, Buffer.from(content, 'utf8'));
}

function message(number: number, ...fields: readonly Field[]): Field {
  return bytes(number, fields.flat());
}

const elementTypes = { float32: 1, int64: 7 } as const;
export type ElementType = keyof typeof elementTypes;

/** A name stands for a size that is left open. */
export type Value = { readonly name: string; readonly type: ElementType; readonly shape: readonly (number | string)[] };

export type Node = {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
};

export type Constant = {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly values: readonly number[];
};

export type Graph = {
  readonly inputs: readonly Value[];
  readonly constants: readonly Constant[];
  readonly nodes: readonly Node[];
  readonly outputs: readonly Value[];
};

function valueInfo(number: number, { name, type, shape }: Value): Field {
  const dims = shape.map((size) => message(1, typeof size === 'number' ? integer(1, size) : text(2, size)));
  return message(number, text(1, name), message(2, message(1, integer(1, elementTypes[type]), message(2, ...dims))));
}

function attribute(name: string, value: number | readonly number[]): Field {
  if (typeof value === 'number') return message(5, text(1, name), integer(3, value), integer(20, 2));
  return message(5, text(1, name), ...value.map((item) => integer(8, item)), integer(20, 7));
}

function tensor({ name, type, shape, values }: Constant): Field {
  const raw = type === 'float32' ? Float32Array.from(values) : BigInt64Array.from(values, (value) => BigInt(value));
  const dims = shape.map((size) => integer(1, size));
  return message(5, ...dims, integer(2, elementTypes[type]), text(8, name), bytes(9, new Uint8Array(raw.buffer)));
}

/** A model of operator set 13. */
export function onnxFile({ inputs, constants, nodes, outputs }: Graph): Uint8Array {
  const graph = message(
    7,
    ...nodes.map(({ op, inputs: from, output, attributes = {} }) =>
      message(
        1,
        ...from.map((name) => text(1, name)),
        text(2, output),
        text(4, op),
        ...Object.entries(attributes).map(([name, value]) => attribute(name, value)),
      ),
    ),
    text(2, 'test'),
    ...constants.map(tensor),
    ...inputs.map((value) => valueInfo(11, value)),
    ...outputs.map((value) => valueInfo(12, value)),
  );
  return Uint8Array.from([...integer(1, 8), ...graph, ...message(8, text(1, ''), integer(2, 13))]);
}
