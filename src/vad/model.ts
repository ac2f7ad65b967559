/**
 * The Silero voice-activity model behind onnxruntime: probability of speech for one hop of many sessions in one call.
 * Runs on the VAD thread. The call itself is synchronous native work on this thread (1 thread, no pool); onnxruntime only hands it
 * over through `setImmediate`, which costs under 2 us.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import '../shared/no-telemetry.js';

import { InferenceSession, Tensor } from 'onnxruntime-node';
import { EngineError } from '../shared/errors.js';
import { onnxOptions } from '../shared/onnx-options.js';
import { hopSamples, inputRateHz } from '../shared/units.js';
import { flatSilero } from './flat-silero.js';

/** Samples of the hop before that the model wants in front of the new ones. Zeros instead change its answers by up to 0.17, silently. */
export const contextSamples = 64;
/** Floats of recurrent state per layer and session. There are two layers. */
export const stateWidth = 128;
export const stateLayers = 2;
/** Floats of one input row: context, then the hop. */
export const rowSamples = contextSamples + hopSamples;

/** Path of the model file that npm installed: version 6 in `@ricky0123/vad-web`, found beside that package's entry point. */
export function defaultModelPath(): string {
  const entry = createRequire(import.meta.url).resolve('@ricky0123/vad-web');
  return join(dirname(entry), 'silero_vad_v6.onnx');
}

type Call = { readonly feeds: InferenceSession.FeedsType; readonly fetches: InferenceSession.FetchesType };

/**
 * Memory for one call of up to `rowsMax` sessions, taken once. A call of n rows uses the first n of every array, with the state's two
 * layers n rows apart, so all sizes share the same memory and none is padded (padding to powers of two costs a fifth more; bench/vad-batch.ts).
 * The owner fills `input` and `state` before a run and reads `output` and `nextState` after it.
 */
export class ModelBatch {
  readonly rowsMax: number;
  readonly input: Float32Array;
  readonly state: Float32Array;
  readonly output: Float32Array;
  readonly nextState: Float32Array;
  readonly #calls: Call[] = [];

  constructor(rowsMax: number) {
    const stateFloats = stateLayers * stateWidth;
    this.rowsMax = rowsMax;
    this.input = new Float32Array(rowsMax * rowSamples);
    this.state = new Float32Array(rowsMax * stateFloats);
    this.output = new Float32Array(rowsMax);
    this.nextState = new Float32Array(rowsMax * stateFloats);
    const rate = new Tensor('int64', BigInt64Array.of(BigInt(inputRateHz)), []);
    for (let rows = 1; rows <= rowsMax; rows += 1) {
      const stateShape = [stateLayers, rows, stateWidth];
      this.#calls.push({
        feeds: {
          input: new Tensor('float32', this.input.subarray(0, rows * rowSamples), [rows, rowSamples]),
          state: new Tensor('float32', this.state.subarray(0, rows * stateFloats), stateShape),
          sr: rate,
        },
        fetches: {
          output: new Tensor('float32', this.output.subarray(0, rows), [rows, 1]),
          stateN: new Tensor('float32', this.nextState.subarray(0, rows * stateFloats), stateShape),
        },
      });
    }
  }

  /** Tensors over the first `rows` rows; `rows` from 1 to `rowsMax`. */
  call(rows: number): Call {
    const call = this.#calls[rows - 1];
    if (call === undefined) throw new RangeError(`a batch of ${rows} rows where 1 to ${this.rowsMax} fit`);
    return call;
  }
}

/** Answers of the file as it is and of the plain graph differ by a millionth; of another model with the same weights by more than this. */
const differenceMax = 1e-3;
/** Rows and calls of the comparison. */
const comparedRows = 4;
const comparedCalls = 3;

export class SileroModel {
  readonly path: string;
  readonly #session: InferenceSession;

  private constructor(path: string, session: InferenceSession) {
    this.path = path;
    this.#session = session;
  }

  /**
   * Loads the model, which takes about 0.1 s and 40 MB with the native library. `path`: a Silero version 5 or 6 file with the 16 kHz branch. It is run as a
   * plain graph (`flat-silero.ts`) when it has the weights for one, and a file of somebody's own only after both have given the same answers.
   * Fails with `missing` when there is no such file and with `garbage` when it is not such a model.
   */
  static async load(path: string = defaultModelPath()): Promise<SileroModel> {
    const bytes = await readFile(path).catch((cause: unknown) => {
      throw new EngineError('missing', 'the speech detector model is not there', { cause, fields: { path } });
    });
    const flat = flatSilero(bytes);
    if (flat !== undefined && path === defaultModelPath())
      return new SileroModel(path, await InferenceSession.create(flat, onnxOptions));
    const asItIs = await SileroModel.loadAsItIs(path, bytes);
    if (flat === undefined) return asItIs;
    const model = new SileroModel(path, await InferenceSession.create(flat, onnxOptions));
    const isSame = await answersAlike(asItIs, model);
    await (isSame ? asItIs : model).close();
    return isSame ? model : asItIs;
  }

  /** The file's own graph. */
  static async loadAsItIs(path: string, bytes: Uint8Array): Promise<SileroModel> {
    let session: InferenceSession;
    try {
      session = await InferenceSession.create(bytes, onnxOptions);
    } catch (cause) {
      throw new EngineError('garbage', 'the speech detector model cannot be read', { cause, fields: { path } });
    }
    const inputs = [...session.inputNames].sort().join();
    const outputs = [...session.outputNames].sort().join();
    if (inputs !== 'input,sr,state' || outputs !== 'output,stateN') {
      await session.release();
      throw new EngineError('garbage', 'the model is not Silero 5 or 6', { fields: { path, inputs, outputs } });
    }
    return new SileroModel(path, session);
  }

  /** Fills `output` and `nextState` of the first `rows` rows. The batch must be left alone until this resolves. */
  async run(batch: ModelBatch, rows: number): Promise<void> {
    const { feeds, fetches } = batch.call(rows);
    await this.#session.run(feeds, fetches);
  }

  /** Frees the native session; no run may follow. */
  async close(): Promise<void> {
    await this.#session.release();
  }
}

/** Whether two models hear the same in a few hops of a tone that swells and fades. */
async function answersAlike(first: SileroModel, second: SileroModel): Promise<boolean> {
  const batches = [new ModelBatch(comparedRows), new ModelBatch(comparedRows)] as const;
  for (let call = 0; call < comparedCalls; call += 1) {
    for (const { input, state, nextState } of batches) {
      for (let index = 0; index < input.length; index += 1) {
        const at = call * input.length + index;
        input[index] = 0.3 * Math.sin(at * 0.07) * Math.sin(at * 0.0031) ** 2;
      }
      state.set(nextState);
    }
    await first.run(batches[0], comparedRows);
    await second.run(batches[1], comparedRows);
    const isFar = (value: number, index: number): boolean => Math.abs(value - batches[1].output[index]!) > differenceMax;
    if (batches[0].output.some(isFar)) return false;
  }
  return true;
}
