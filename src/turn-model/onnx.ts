/** Opening an ONNX file for one core, and reading a probability out of what it answers. Pool threads. */
import { existsSync } from 'node:fs';

import '../shared/no-telemetry.js';

import { InferenceSession, type Tensor } from 'onnxruntime-node';
import { EngineError } from '../shared/errors.js';
import { onnxOptions } from '../shared/onnx-options.js';

/** Fails with `missing` when there is no such file and with `garbage` when it is no ONNX model. */
export async function openOnnx(path: string): Promise<InferenceSession> {
  if (!existsSync(path)) throw new EngineError('missing', `there is no model at ${path}`);
  try {
    return await InferenceSession.create(path, onnxOptions);
  } catch (cause) {
    throw new EngineError('garbage', `${path} is no ONNX model that can be read`, { cause });
  }
}

export type InputInfo = { readonly name: string; readonly type: string; readonly shape: readonly (number | string)[] };

export function inputsOf(session: InferenceSession): InputInfo[] {
  return session.inputMetadata.flatMap((input) =>
    input.isTensor ? [{ name: input.name, type: input.type, shape: input.shape }] : [],
  );
}

/** How a model's numbers are to be read. `probability`: the last one is it; `logit`: the last one before a sigmoid; `classes`: one per class. */
export type Reading = { readonly as: 'probability' | 'logit' } | { readonly as: 'classes'; readonly done: number };

/**
 * Probability of "done" in the first output of a model. A model that answers for every token is asked for its last one. Fails with `garbage` for
 * anything that is no probability.
 */
export function probabilityIn(output: Tensor, reading: Reading): number {
  const values = numbersOf(output);
  const probability =
    reading.as === 'classes'
      ? softmaxAt(values.slice(-(output.dims.at(-1) ?? 1)), reading.done)
      : read(values.at(-1), reading.as);
  if (!(probability >= 0 && probability <= 1))
    throw new EngineError('garbage', `the turn model answered ${String(probability)}, which is no probability`);
  return probability;
}

function numbersOf(output: Tensor): number[] {
  if (output.type !== 'float32') throw new EngineError('garbage', `the turn model answers with ${output.type}, not float32`);
  return Array.from(output.data as Float32Array);
}

function read(value: number | undefined, as: 'probability' | 'logit'): number {
  if (value === undefined) return Number.NaN;
  return as === 'logit' ? 1 / (1 + Math.exp(-value)) : value;
}

function softmaxAt(logits: readonly number[], index: number): number {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  return (powers[index] ?? Number.NaN) / powers.reduce((sum, power) => sum + power, 0);
}
