/**
 * Models of the Smart Turn kind: 8 s of the caller's sound in, the probability that he is done out. Version 3 takes Whisper's log-mel features
 * (80 × 800), models of the version 2 kind the samples themselves; which it is shows the shape of the input. Pool threads.
 */
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { EngineError } from '../shared/errors.js';
import { inputRateHz } from '../shared/units.js';
import { bandCount, frameCount, LogMel } from './log-mel.js';
import { inputsOf, openOnnx, probabilityIn, type Reading } from './onnx.js';
import { type LoadedTurnModel, type TurnQuestion, windowSeconds } from './port.js';

/** Samples a raw model may want: it is fed zeros in front of what there is. */
const rawSamplesMax = 16 * inputRateHz;
/** Added to the variance of raw samples, which models of this kind want normalised. */
const varianceFloor = 1e-7;

type Feed = (audio: Int16Array) => Tensor;

export class AudioTurnModel implements LoadedTurnModel {
  readonly name: string;
  readonly #session: InferenceSession;
  readonly #inputName: string;
  readonly #feed: Feed;
  readonly #reading: Reading;

  private constructor(name: string, session: InferenceSession, inputName: string, feed: Feed) {
    this.name = name;
    this.#session = session;
    this.#inputName = inputName;
    this.#feed = feed;
    // Both kinds end in a sigmoid of their own, unless the output says that it does not.
    this.#reading = { as: session.outputNames[0] === 'logits' ? 'logit' : 'probability' };
  }

  /** Fails with `missing`, or with `garbage` for a file that is no such model. */
  static async load(path: string): Promise<AudioTurnModel> {
    const session = await openOnnx(path);
    const inputs = inputsOf(session);
    const [input] = inputs;
    const feed = input !== undefined && inputs.length === 1 && input.type === 'float32' ? feedFor(input.shape) : undefined;
    if (input === undefined || feed === undefined) {
      await session.release();
      const described = inputs.map(({ name, type, shape }) => `${name} ${type} [${shape.join(', ')}]`).join('; ');
      throw new EngineError(
        'garbage',
        `${path} is no turn model that hears: it takes ${described || 'nothing'}, not [1, ${bandCount}, ${frameCount}] features or [1, samples]`,
      );
    }
    return new AudioTurnModel(feed.name, session, input.name, feed.feed);
  }

  async judge(question: TurnQuestion): Promise<number> {
    if (question.kind !== 'audio') throw new EngineError('config', 'an audio turn model was asked about text');
    const answer = await this.#session.run({ [this.#inputName]: this.#feed(question.audio) });
    return probabilityIn(answer[this.#session.outputNames[0]!] as Tensor, this.#reading);
  }
}

/** Undefined for a shape that neither kind has. Names stand for sizes that the model leaves open. */
function feedFor(shape: readonly (number | string)[]): { readonly name: string; readonly feed: Feed } | undefined {
  const fits = (size: number | string | undefined, wanted: number): boolean =>
    size === wanted || (size !== undefined && !(Number(size) > 0));
  if (shape.length === 3 && fits(shape[1], bandCount) && fits(shape[2], frameCount)) {
    const features = new LogMel();
    return { name: 'log-mel', feed: (audio) => new Tensor('float32', features.of(audio), [1, bandCount, frameCount]) };
  }
  if (shape.length !== 2) return undefined;
  const samples = Number(shape[1]) > 0 ? Number(shape[1]) : windowSeconds * inputRateHz;
  if (samples < inputRateHz || samples > rawSamplesMax) return undefined;
  return { name: 'raw', feed: (audio) => new Tensor('float32', normalised(audio, samples), [1, samples]) };
}

/** The last `count` samples with zero mean and unit variance, zeros in front where there are fewer. */
function normalised(audio: Int16Array, count: number): Float32Array {
  const heard = audio.subarray(Math.max(0, audio.length - count));
  const window = new Float32Array(count);
  for (let at = 0; at < heard.length; at++) window[count - heard.length + at] = heard[at]! / 32768;
  let sum = 0;
  for (const sample of window) sum += sample;
  const mean = sum / count;
  let squares = 0;
  for (const sample of window) squares += (sample - mean) ** 2;
  const scale = 1 / Math.sqrt(squares / count + varianceFloor);
  for (let at = 0; at < count; at++) window[at] = (window[at]! - mean) * scale;
  return window;
}
