/** How every ONNX model here is run: on the thread that asks, on one core. Threads come from the engine, not from inside the library. */
import type { InferenceSession } from 'onnxruntime-node';

export const onnxOptions: InferenceSession.SessionOptions = {
  executionProviders: ['cpu'],
  executionMode: 'sequential',
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3,
};
