/** Turn models made for tests, small enough to say by hand what they must answer. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onnxFile } from './onnx.js';

/** Sure of itself in one direction or the other as the mean of what it is fed is above or below `middle`. */
function meanModel(
  input: string,
  shape: readonly (number | string)[],
  axes: readonly number[],
  middle: number,
  slope: number,
): Uint8Array {
  const one = [1];
  return onnxFile({
    inputs: [{ name: input, type: 'float32', shape }],
    constants: [
      { name: 'middle', type: 'float32', shape: one, values: [middle] },
      { name: 'slope', type: 'float32', shape: one, values: [slope] },
    ],
    nodes: [
      { op: 'ReduceMean', inputs: [input], output: 'mean', attributes: { axes, keepdims: 0 } },
      { op: 'Sub', inputs: ['mean', 'middle'], output: 'apart' },
      { op: 'Mul', inputs: ['apart', 'slope'], output: 'steep' },
      { op: 'Sigmoid', inputs: ['steep'], output: 'probability' },
    ],
    outputs: [{ name: 'probability', type: 'float32', shape: ['batch'] }],
  });
}

/** Of the Smart Turn 3 shape: sigmoid(slope · (mean of the features - middle)). */
export function featureModel(middle: number, slope: number): Uint8Array {
  return meanModel('input_features', ['batch', 80, 800], [1, 2], middle, slope);
}

/** Of the version 2 shape: sigmoid(mean of the last `tail` normalised samples). */
export function rawModel(samples: number, tail: number): Uint8Array {
  return onnxFile({
    inputs: [{ name: 'input_values', type: 'float32', shape: ['batch', samples] }],
    constants: [
      { name: 'from', type: 'int64', shape: [1], values: [samples - tail] },
      { name: 'to', type: 'int64', shape: [1], values: [samples] },
      { name: 'axis', type: 'int64', shape: [1], values: [1] },
    ],
    nodes: [
      { op: 'Slice', inputs: ['input_values', 'from', 'to', 'axis'], output: 'end' },
      { op: 'ReduceMean', inputs: ['end'], output: 'mean', attributes: { axes: [1], keepdims: 1 } },
      { op: 'Sigmoid', inputs: ['mean'], output: 'probability' },
    ],
    outputs: [{ name: 'probability', type: 'float32', shape: ['batch', 1] }],
  });
}

export const vocabulary = [
  '[PAD]',
  '[UNK]',
  '[CLS]',
  '[SEP]',
  '<|caller|>',
  '<|agent|>',
  '<|end|>',
  'yes',
  'and',
  'book',
  'odd',
  '.',
  ',',
];

/** Written as the tokenizers of encoders are: lower case, split at punctuation, marks at both ends. */
function tokenizer(): unknown {
  const special = (content: string) => ({
    id: vocabulary.indexOf(content),
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  });
  const mark = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const markIds = Object.fromEntries(['[CLS]', '[SEP]'].map((id) => [id, { id, ids: [vocabulary.indexOf(id)], tokens: [id] }]));
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: vocabulary.slice(0, 7).map(special),
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [mark('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, mark('[SEP]')],
      pair: [],
      special_tokens: markIds,
    },
    decoder: null,
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
    },
  };
}

/**
 * A classifier of sentences: the two logits are the sums of what each token says of "not done" and "done". `description`: `turn-model.json`.
 */
export function writeClassifier(
  folder: string,
  weightOf: Readonly<Record<string, readonly [number, number]>>,
  description?: unknown,
): void {
  const weights = vocabulary.flatMap((token) => weightOf[token] ?? [0, 0]);
  write(
    folder,
    onnxFile({
      inputs: ['input_ids', 'attention_mask'].map((name) => ({ name, type: 'int64' as const, shape: ['batch', 'tokens'] })),
      constants: [
        { name: 'weights', type: 'float32', shape: [vocabulary.length, 2], values: weights },
        { name: 'axis', type: 'int64', shape: [1], values: [1] },
      ],
      nodes: [
        { op: 'Gather', inputs: ['weights', 'input_ids'], output: 'said', attributes: { axis: 0 } },
        { op: 'ReduceSum', inputs: ['said', 'axis'], output: 'logits', attributes: { keepdims: 0 } },
      ],
      outputs: [{ name: 'logits', type: 'float32', shape: ['batch', 2] }],
    }),
    description,
  );
}

/** Answers for every token, as language models do: the token's own weight, which need not be a probability. */
export function writeTokenModel(folder: string, weightOf: Readonly<Record<string, number>>, description?: unknown): void {
  write(
    folder,
    onnxFile({
      inputs: [{ name: 'input_ids', type: 'int64', shape: [1, 'tokens'] }],
      constants: [
        { name: 'weights', type: 'float32', shape: [vocabulary.length], values: vocabulary.map((token) => weightOf[token] ?? 0) },
      ],
      nodes: [{ op: 'Gather', inputs: ['weights', 'input_ids'], output: 'prob', attributes: { axis: 0 } }],
      outputs: [{ name: 'prob', type: 'float32', shape: [1, 'tokens'] }],
    }),
    description,
  );
}

function write(folder: string, model: Uint8Array, description: unknown): void {
  mkdirSync(join(folder, 'onnx'), { recursive: true });
  writeFileSync(join(folder, 'onnx', 'model.onnx'), model);
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer()));
  writeFileSync(join(folder, 'tokenizer_config.json'), '{}');
  if (description !== undefined) writeFileSync(join(folder, 'turn-model.json'), JSON.stringify(description));
}
