/**
 * Models that read: a folder with an ONNX file and its `tokenizer.json`, as model hubs serve them. The open turn goes in alone, or, for models that
 * were taught on chats, with the lines before it. `turn-model.json` in the folder says what cannot be seen from the model. Pool threads.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import * as z from 'zod';
import { EngineError } from '../shared/errors.js';
import { type InputInfo, inputsOf, openOnnx, probabilityIn, type Reading } from './onnx.js';
import type { ChatLine, LoadedTurnModel, TurnQuestion } from './port.js';

const description = z.strictObject({
  /** The ONNX file, when the folder has several. */
  file: z.string().min(1).optional(),
  /** How a line of the chat is written, `{text}` in it, and what ends every line but the last. Absent: the open turn alone, as plain text. */
  chat: z.strictObject({ caller: z.string(), agent: z.string(), end: z.string() }).optional(),
  /** Lines of the chat that are shown, the open turn included. */
  linesMax: z.int().min(1).max(50).default(6),
  /** Older tokens are left out. */
  tokensMax: z.int().min(8).max(4096).default(128),
  /** Whether the model was taught on lower-case words without punctuation. */
  isPlain: z.boolean().default(false),
  /** What the output is; absent: `logit` for an output named so, else `probability`, and two classes when there are two. */
  output: z.enum(['probability', 'logit', 'classes']).optional(),
  /** Which class means "done". */
  doneClass: z.int().min(0).default(1),
});
type Description = z.infer<typeof description>;

const descriptionName = 'turn-model.json';
const knownInputs = ['input_ids', 'attention_mask', 'token_type_ids'];

export class TextTurnModel implements LoadedTurnModel {
  readonly name: string;
  readonly #session: InferenceSession;
  readonly #inputs: readonly InputInfo[];
  readonly #tokenizer: Tokenizer;
  readonly #description: Description;

  private constructor(name: string, session: InferenceSession, tokenizer: Tokenizer, how: Description) {
    this.name = name;
    this.#session = session;
    this.#inputs = inputsOf(session);
    this.#tokenizer = tokenizer;
    this.#description = how;
  }

  /** Fails with `missing` for a file that is not there, `config` for a wrong description, `garbage` for what is no such model. */
  static async load(folder: string): Promise<TextTurnModel> {
    const how = readDescription(folder);
    const path = onnxIn(folder, how.file);
    const tokenizer = readTokenizer(folder);
    const session = await openOnnx(path);
    const inputs = inputsOf(session);
    const known = inputs.filter(({ name, type }) => knownInputs.includes(name) && (type === 'int64' || type === 'int32'));
    if (known.length < inputs.length || !inputs.some(({ name }) => name === 'input_ids')) {
      await session.release();
      const described = inputs.map(({ name, type }) => `${name} ${type}`).join(', ');
      throw new EngineError('garbage', `${path} is no turn model that reads: it takes ${described}, not token ids`);
    }
    return new TextTurnModel(basename(folder), session, tokenizer, how);
  }

  async judge(question: TurnQuestion): Promise<number> {
    if (question.kind !== 'text') throw new EngineError('config', 'a text turn model was asked about audio');
    const ids = this.#idsOf(question.lines);
    const columns: Readonly<Record<string, readonly number[]>> = {
      input_ids: ids,
      attention_mask: ids.map(() => 1),
      token_type_ids: ids.map(() => 0),
    };
    const feeds = Object.fromEntries(this.#inputs.map(({ name, type }) => [name, integers(columns[name]!, type)]));
    const [outputName] = this.#session.outputNames;
    const answer = await this.#session.run(feeds);
    const output = answer[outputName!] as Tensor;
    return probabilityIn(output, this.#readingOf(output, outputName!));
  }

  #idsOf(lines: readonly ChatLine[]): number[] {
    const { chat, linesMax, tokensMax, isPlain } = this.#description;
    const shown = lines.slice(-linesMax).map(({ role, text }) => ({ role, text: isPlain ? plain(text) : text }));
    if (chat !== undefined) {
      const text = shown.map(({ role, text }) => chat[role].replace('{text}', () => text)).join(chat.end);
      return this.#tokenizer.encode(text, { add_special_tokens: false }).ids.slice(-tokensMax);
    }
    // Marks of beginning and end must stay, so the words are shortened instead of the tokens.
    const words = (shown.at(-1)?.text ?? '').split(/\s+/);
    for (;;) {
      const { ids } = this.#tokenizer.encode(words.join(' '));
      if (ids.length <= tokensMax || words.length <= 1) return ids.slice(-tokensMax);
      words.splice(
        0,
        Math.max(1, Math.min(words.length - 1, Math.floor(((ids.length - tokensMax) * words.length) / ids.length))),
      );
    }
  }

  #readingOf(output: Tensor, name: string): Reading {
    const { output: as, doneClass } = this.#description;
    const width = output.dims.length === 2 ? output.dims[1] : 1;
    if (as === 'classes' || (as === undefined && width === 2 && /logit/.test(name))) return { as: 'classes', done: doneClass };
    return { as: as ?? (/logit/.test(name) ? 'logit' : 'probability') };
  }
}

function integers(values: readonly number[], type: string): Tensor {
  const shape = [1, values.length];
  return type === 'int64'
    ? new Tensor(
        'int64',
        BigInt64Array.from(values, (value) => BigInt(value)),
        shape,
      )
    : new Tensor('int32', Int32Array.from(values), shape);
}

/** Lower case, no punctuation but what is part of words. */
function plain(text: string): string {
  return text
    .toLowerCase()
    .normalize('NFKC')
    .replace(/[^\P{P}'-]/gu, '')
    .replace(/\s+/g, ' ')
    .trim();
}

function readDescription(folder: string): Description {
  const path = join(folder, descriptionName);
  if (!existsSync(path)) return description.parse({});
  const parsed = description.safeParse(readJson(path));
  if (parsed.success) return parsed.data;
  throw new EngineError('config', `${path}: ${z.prettifyError(parsed.error)}`);
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new EngineError('config', `${path}: not readable as JSON`, { cause });
  }
}

function readTokenizer(folder: string): Tokenizer {
  const path = join(folder, 'tokenizer.json');
  if (!existsSync(path)) throw new EngineError('missing', `the turn model has no ${path}`);
  const configPath = join(folder, 'tokenizer_config.json');
  try {
    return new Tokenizer(readJson(path) as object, existsSync(configPath) ? (readJson(configPath) as object) : {});
  } catch (cause) {
    throw new EngineError('garbage', `${path}: not a tokenizer that can be used`, { cause });
  }
}

/** The one ONNX file in the folder or in its `onnx` folder. */
function onnxIn(folder: string, file: string | undefined): string {
  if (file !== undefined) return join(folder, file);
  const found = [folder, join(folder, 'onnx')].flatMap((each) =>
    existsSync(each) ? readdirSync(each).flatMap((name) => (name.endsWith('.onnx') ? [join(each, name)] : [])) : [],
  );
  if (found.length === 1) return found[0]!;
  const problem = found.length === 0 ? 'no ONNX file' : `several ONNX files: name one in ${descriptionName} ("file")`;
  throw new EngineError(found.length === 0 ? 'missing' : 'config', `${folder} has ${problem}`);
}
