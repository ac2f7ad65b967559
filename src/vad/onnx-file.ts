/**
 * As much of the ONNX file format (protocol buffers) as it takes to get named weights out of one file and to write a graph of our own. Pure.
 * Field numbers are those of `onnx.proto`, which never change.
 */

export type Weights = { readonly shape: readonly number[]; readonly values: Float32Array };

const varint = 0;
const eightBytes = 1;
const lengthDelimited = 2;
const fourBytes = 5;

const modelField = { version: 1, producer: 2, graph: 7, opset: 8 } as const;
const graphField = { node: 1, name: 2, initializer: 5, input: 11, output: 12 } as const;
const nodeField = { input: 1, output: 2, operator: 4, attribute: 5 } as const;
const attributeField = { name: 1, integer: 3, text: 4, tensor: 5, graph: 6, type: 20 } as const;
const tensorField = { shape: 1, type: 2, name: 8, bytes: 9 } as const;
const elementType = { float: 1, int64: 7 } as const;
const attributeType = { integer: 2, text: 3 } as const;

/** Graphs in graphs; a file that nests deeper is none of ours. */
const depthMax = 8;

type Field = { readonly number: number; readonly whole: number; readonly bytes: Uint8Array };

/** Throws RangeError for what is not of this format. Whole numbers above 2 ** 53 lose their last bits. */
function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const whole = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at];
      if (byte === undefined || factor > 2 ** 63) throw new RangeError('a number is cut off');
      at += 1;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = whole();
    const number = Math.floor(key / 8);
    const type = key % 8;
    if (type === varint) {
      yield { number, whole: whole(), bytes: bytes.subarray(at, at) };
      continue;
    }
    const length = type === lengthDelimited ? whole() : type === fourBytes ? 4 : type === eightBytes ? 8 : -1;
    if (length < 0 || at + length > bytes.length) throw new RangeError('a field is cut off');
    yield { number, whole: 0, bytes: bytes.subarray(at, at + length) };
    at += length;
  }
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();

/** Single-precision tensors whose names match `wanted`, wherever they are in the graph and the first branches in it. Throws RangeError. */
export function readWeights(file: Uint8Array, wanted: (name: string) => boolean): Map<string, Weights> {
  const found = new Map<string, Weights>();
  const take = (bytes: Uint8Array): void => {
    const tensor = tensorOf(bytes);
    if (tensor !== undefined && wanted(tensor.name) && !found.has(tensor.name)) found.set(tensor.name, tensor);
  };
  const attribute = (bytes: Uint8Array, depth: number): void => {
    const fields = [...fieldsOf(bytes)];
    const name = textOf(fields.find(({ number }) => number === attributeField.name)?.bytes ?? new Uint8Array(0));
    for (const field of fields) {
      if (field.number === attributeField.tensor) take(field.bytes);
      if (field.number === attributeField.graph && name === 'then_branch') graph(field.bytes, depth + 1);
    }
  };
  const graph = (bytes: Uint8Array, depth: number): void => {
    if (depth > depthMax) throw new RangeError('graphs are nested too deeply');
    for (const { number, bytes: part } of fieldsOf(bytes)) {
      if (number === graphField.initializer) take(part);
      if (number !== graphField.node) continue;
      for (const field of fieldsOf(part)) if (field.number === nodeField.attribute) attribute(field.bytes, depth);
    }
  };
  for (const { number, bytes } of fieldsOf(file)) if (number === modelField.graph) graph(bytes, 0);
  return found;
}

function tensorOf(bytes: Uint8Array): (Weights & { readonly name: string }) | undefined {
  const shape: number[] = [];
  let name = '';
  let type = 0;
  let raw: Uint8Array | undefined;
  for (const field of fieldsOf(bytes)) {
    if (field.number === tensorField.shape) shape.push(field.whole);
    if (field.number === tensorField.type) type = field.whole;
    if (field.number === tensorField.name) name = textOf(field.bytes);
    if (field.number === tensorField.bytes) raw = field.bytes;
  }
  const count = shape.reduce((product, length) => product * length, 1);
  if (type !== elementType.float || raw?.length !== count * Float32Array.BYTES_PER_ELEMENT) return undefined;
  // The file may hold them at any address.
  return { name, shape, values: new Float32Array(Uint8Array.from(raw).buffer) };
}

export type Node = {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | string>>;
};

/** Single precision, every length that is not a number being free. */
export type GraphValue = { readonly name: string; readonly shape: readonly (number | string)[] };

export type Graph = {
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
  readonly weights: Readonly<Record<string, Weights>>;
  /** Constant vectors of whole numbers. */
  readonly wholes: Readonly<Record<string, readonly number[]>>;
  readonly nodes: readonly Node[];
};

const formatVersion = 8;

/** A model file with that graph, of `opset` of the standard operators. */
export function writeModel(graph: Graph, opset: number): Uint8Array {
  const parts = [
    ...graph.nodes.map((node) => message(graphField.node, nodeBytes(node))),
    text(graphField.name, 'parley'),
    ...Object.entries(graph.weights).map(([name, { shape, values }]) =>
      tensor(name, shape, elementType.float, new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
    ),
    ...Object.entries(graph.wholes).map(([name, values]) =>
      tensor(name, [values.length], elementType.int64, new Uint8Array(BigInt64Array.from(values, BigInt).buffer)),
    ),
    ...graph.inputs.map((value) => message(graphField.input, valueBytes(value))),
    ...graph.outputs.map((value) => message(graphField.output, valueBytes(value))),
  ];
  return Buffer.concat([
    number(modelField.version, formatVersion),
    text(modelField.producer, 'parley'),
    message(modelField.graph, Buffer.concat(parts)),
    message(modelField.opset, number(2, opset)),
  ]);
}

function wholeBytes(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return [...bytes, left];
}

function number(field: number, value: number): Uint8Array {
  return Uint8Array.from([...wholeBytes(field * 8 + varint), ...wholeBytes(value)]);
}

function message(field: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.from([...wholeBytes(field * 8 + lengthDelimited), ...wholeBytes(bytes.length)]), bytes]);
}

const text = (field: number, value: string): Uint8Array => message(field, Buffer.from(value));

function tensor(name: string, shape: readonly number[], type: number, bytes: Uint8Array): Uint8Array {
  const parts = [...shape.map((length) => number(tensorField.shape, length)), number(tensorField.type, type)];
  return message(
    graphField.initializer,
    Buffer.concat([...parts, text(tensorField.name, name), message(tensorField.bytes, bytes)]),
  );
}

function nodeBytes({ operator, inputs, outputs, attributes = {} }: Node): Uint8Array {
  return Buffer.concat([
    ...inputs.map((name) => text(nodeField.input, name)),
    ...outputs.map((name) => text(nodeField.output, name)),
    text(nodeField.operator, operator),
    ...Object.entries(attributes).map(([name, value]) => {
      const content =
        typeof value === 'number'
          ? [number(attributeField.integer, value), number(attributeField.type, attributeType.integer)]
          : [text(attributeField.text, value), number(attributeField.type, attributeType.text)];
      return message(nodeField.attribute, Buffer.concat([text(attributeField.name, name), ...content]));
    }),
  ]);
}

/** ValueInfoProto: name, then a type that is a tensor of that element type and shape. */
function valueBytes({ name, shape }: GraphValue): Uint8Array {
  const lengths = shape.map((length) => message(1, typeof length === 'number' ? number(1, length) : text(2, length)));
  const tensorType = Buffer.concat([number(1, elementType.float), message(2, Buffer.concat(lengths))]);
  return Buffer.concat([text(1, name), message(2, message(1, tensorType))]);
}
