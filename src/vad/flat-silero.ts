/**
 * The 16 kHz half of a Silero model as a plain graph: the same weights and the same sums, in an order that suits many rows at once. VAD thread,
 * once at start.
 *
 * The file's convolutions run over four frames of one row at a time, and onnxruntime multiplies the weights by so narrow a matrix at a tenth of
 * what the processor can do. Here every convolution is one product of the weights with the frames of all rows, and what the file decides anew
 * in each call (which rate, which shape) is left out. docs/decisions/cpu-per-call.md has the figures.
 */
import { hopSamples } from '../shared/units.js';
import { type Graph, type Node, readWeights, type Weights, writeModel } from './onnx-file.js';

const opset = 16;
const frameSamples = 256;
const strideSamples = 128;
/** Mirrored behind the hop. */
const mirroredSamples = 64;
const contextSamples = 64;
const frames = 4;
const bins = 129;
/** Channels behind each of the four convolutions. */
const widths = [128, 64, 64, 128] as const;
const stateWidth = 128;

const shapes: Readonly<Record<string, readonly number[]>> = {
  'stft.forward_basis_buffer': [2 * bins, 1, frameSamples],
  'encoder.0.reparam_conv.weight': [widths[0], bins, 3],
  'encoder.0.reparam_conv.bias': [widths[0]],
  'encoder.1.reparam_conv.weight': [widths[1], widths[0], 3],
  'encoder.1.reparam_conv.bias': [widths[1]],
  'encoder.2.reparam_conv.weight': [widths[2], widths[1], 3],
  'encoder.2.reparam_conv.bias': [widths[2]],
  'encoder.3.reparam_conv.weight': [widths[3], widths[2], 3],
  'encoder.3.reparam_conv.bias': [widths[3]],
  'decoder.rnn.weight_ih': [4 * stateWidth, widths[3]],
  'decoder.rnn.weight_hh': [4 * stateWidth, stateWidth],
  'decoder.rnn.bias_ih': [4 * stateWidth],
  'decoder.rnn.bias_hh': [4 * stateWidth],
  'decoder.decoder.2.weight': [1, stateWidth, 1],
  'decoder.decoder.2.bias': [1],
};

/** The graph as a model file with inputs `input` and `state` and outputs `output` and `stateN`; undefined when `file` has other weights. */
export function flatSilero(file: Uint8Array): Uint8Array | undefined {
  let found: Map<string, Weights>;
  try {
    found = readWeights(file, (name) => name in shapes);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  for (const [name, shape] of Object.entries(shapes)) if (found.get(name)?.shape.join() !== shape.join()) return undefined;
  return writeModel(
    graphOf((name) => found.get(name)!),
    opset,
  );
}

function graphOf(of: (name: string) => Weights): Graph {
  const convolution = (index: number, firstTap: number, lastTap: number): Weights =>
    unfolded(of(`encoder.${index}.reparam_conv.weight`), firstTap, lastTap);
  const bias = (index: number): Weights => of(`encoder.${index}.reparam_conv.bias`);
  const wholes: Record<string, readonly number[]> = { columns: [1] };
  const nodes: Node[] = [];
  const add = (operator: string, inputs: string[], outputs: string[], attributes: Node['attributes'] = {}): void => {
    nodes.push({ operator, inputs, outputs, attributes });
  };
  const whole = (...values: number[]): string => {
    const name = `whole ${values.join(' ')}`;
    wholes[name] = values;
    return name;
  };
  /** Stretches of `length` columns that begin `stride` apart, one below the other. */
  const windows = (from: string, to: string, count: number, stride: number, length: number): void => {
    const parts = Array.from({ length: count }, (_, index) => `${to} ${index}`);
    for (const [index, part] of parts.entries())
      add('Slice', [from, whole(index * stride), whole(index * stride + length), 'columns'], [part]);
    add('Concat', parts, [`${to} beside`], { axis: 1 });
    add('Reshape', [`${to} beside`, whole(-1, length)], [to]);
  };
  const layer = (index: number, from: string, to: string): void => {
    add('Gemm', [from, `weight ${index}`, `bias ${index}`], [`${to} sum`]);
    add('Relu', [`${to} sum`], [to]);
  };

  add('Pad', ['input', whole(0, 0, 0, mirroredSamples)], ['mirrored'], { mode: 'reflect' });
  windows('mirrored', 'frames', frames, strideSamples, frameSamples);
  add('MatMul', ['frames', 'basis'], ['spectrum']);
  add('Split', ['spectrum', whole(bins, bins)], ['real', 'imaginary'], { axis: 1 });
  add('Mul', ['real', 'real'], ['real power']);
  add('Mul', ['imaginary', 'imaginary'], ['imaginary power']);
  add('Add', ['real power', 'imaginary power'], ['power']);
  add('Sqrt', ['power'], ['magnitudes']);
  // One frame of nothing at either end.
  add('Reshape', ['magnitudes', whole(-1, frames * bins)], ['magnitudes of a row']);
  add('Pad', ['magnitudes of a row', whole(0, bins, 0, bins)], ['padded 0']);
  windows('padded 0', 'windows 0', frames, bins, 3 * bins);
  layer(0, 'windows 0', 'layer 0');
  // Every other frame from here on: with one before the first, two windows fit.
  add('Reshape', ['layer 0', whole(-1, frames * widths[0])], ['layer 0 of a row']);
  add('Pad', ['layer 0 of a row', whole(0, widths[0], 0, 0)], ['padded 1']);
  windows('padded 1', 'windows 1', 2, 2 * widths[0], 3 * widths[0]);
  layer(1, 'windows 1', 'layer 1');
  // Two frames, then one: what the other taps would see is nothing.
  add('Reshape', ['layer 1', whole(-1, 2 * widths[1])], ['layer 1 of a row']);
  layer(2, 'layer 1 of a row', 'layer 2');
  layer(3, 'layer 2', 'layer 3');
  add('Unsqueeze', ['layer 3', whole(0)], ['step']);
  add('Split', ['state', whole(1, 1)], ['hidden', 'cell'], { axis: 0 });
  add('LSTM', ['step', 'weight ih', 'weight hh', 'bias rnn', '', 'hidden', 'cell'], ['', 'next hidden', 'next cell'], {
    hidden_size: stateWidth,
  });
  add('Concat', ['next hidden', 'next cell'], ['stateN'], { axis: 0 });
  add('Relu', ['next hidden'], ['heard']);
  add('Reshape', ['heard', whole(-1, stateWidth)], ['heard of a row']);
  add('Gemm', ['heard of a row', 'weight out', 'bias out'], ['sum']);
  add('Sigmoid', ['sum'], ['output']);

  const { values: basis } = of('stft.forward_basis_buffer');
  return {
    inputs: [
      { name: 'input', shape: ['rows', contextSamples + hopSamples] },
      { name: 'state', shape: [2, 'rows', stateWidth] },
    ],
    outputs: [
      { name: 'output', shape: ['rows', 1] },
      { name: 'stateN', shape: [2, 'rows', stateWidth] },
    ],
    weights: {
      basis: turned(basis, 2 * bins, frameSamples),
      'weight 0': convolution(0, 0, 2),
      'weight 1': convolution(1, 0, 2),
      'weight 2': convolution(2, 1, 2),
      'weight 3': convolution(3, 1, 1),
      'bias 0': bias(0),
      'bias 1': bias(1),
      'bias 2': bias(2),
      'bias 3': bias(3),
      'weight ih': gates(of('decoder.rnn.weight_ih'), widths[3]),
      'weight hh': gates(of('decoder.rnn.weight_hh'), stateWidth),
      'bias rnn': joined(gates(of('decoder.rnn.bias_ih'), 1), gates(of('decoder.rnn.bias_hh'), 1)),
      'weight out': { shape: [stateWidth, 1], values: of('decoder.decoder.2.weight').values },
      'bias out': of('decoder.decoder.2.bias'),
    },
    wholes,
    nodes,
  };
}

/** A matrix of `rows` rows by columns, its transpose. */
function turned(values: Float32Array, rows: number, columns: number): Weights {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) result[column * rows + row] = values[row * columns + column]!;
  }
  return { shape: [columns, rows], values: result };
}

/** The taps of a convolution (output, input, tap) as a matrix: frames one after another by outputs. */
function unfolded({ shape, values }: Weights, firstTap: number, lastTap: number): Weights {
  const [outputs, inputs, taps] = [shape[0]!, shape[1]!, shape[2]!];
  const rows = (lastTap - firstTap + 1) * inputs;
  const result = new Float32Array(rows * outputs);
  for (let output = 0; output < outputs; output += 1) {
    for (let input = 0; input < inputs; input += 1) {
      for (let tap = firstTap; tap <= lastTap; tap += 1) {
        const row = (tap - firstTap) * inputs + input;
        result[row * outputs + output] = values[(output * inputs + input) * taps + tap]!;
      }
    }
  }
  return { shape: [rows, outputs], values: result };
}

/** PyTorch's order of gates is input, forget, cell, output; ONNX's is input, output, forget, cell. */
const gateOrder = [0, 3, 1, 2] as const;

function gates({ values }: Weights, columns: number): Weights {
  const size = stateWidth * columns;
  const result = new Float32Array(values.length);
  for (const [to, from] of gateOrder.entries()) result.set(values.subarray(from * size, (from + 1) * size), to * size);
  return { shape: columns === 1 ? [1, 4 * stateWidth] : [1, 4 * stateWidth, columns], values: result };
}

function joined(first: Weights, second: Weights): Weights {
  const values = new Float32Array(first.values.length + second.values.length);
  values.set(first.values);
  values.set(second.values, first.values.length);
  return { shape: [1, values.length], values };
}
