/**
 * Loaded into an engine process before the engine itself (`node --import`), by the fault rig alone: breaks threads on order. The engine knows
 * nothing of it. In the main thread it takes orders from the parent process and hands them to the workers in a shared cell; in a worker it looks
 * at that cell. Runs in every thread of the engine.
 */
import { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import threads, { isMainThread, type WorkerOptions } from 'node:worker_threads';
import { Board } from '../../src/shared/slots.js';

export const faultyThreads = ['vad', 'stt', 'conversation', 'tts', 'api'] as const;
export type FaultyThread = (typeof faultyThreads)[number];

/**
 * What happens to one thread of that name: `throw` outside of any session's handler · `hang` in an endless loop · `hang_in_model` the same while it
 * says that it is inside onnxruntime · `heap` allocation without end · `exit` by itself · `terminate` from outside · `disk_full` every write to a
 * file fails with ENOSPC from now on.
 */
export const threadFaults = ['throw', 'hang', 'hang_in_model', 'heap', 'exit', 'terminate', 'disk_full'] as const;
export type ThreadFault = (typeof threadFaults)[number];

export type FaultOrder =
  | { readonly fault: ThreadFault; readonly thread: FaultyThread }
  /** The main thread does nothing else for so long. */
  | { readonly fault: 'block'; readonly ms: number }
  /** An exception that nobody catches, on main. */
  | { readonly fault: 'uncaught' };

type Injected = { readonly thread?: string; readonly board?: Int32Array; readonly faultOrders?: Int32Array };

/** Heaps of the workers, so that one runs out of it soon. Set by the rig. */
const heapMb = Number(process.env['FAULT_HEAP_MB'] ?? 0);
const lookEveryMs = 20;

function takeOrders(): void {
  const orders = new Int32Array(new SharedArrayBuffer(faultyThreads.length * Int32Array.BYTES_PER_ELEMENT));
  const workers = new Map<string, threads.Worker>();
  class BreakableWorker extends threads.Worker {
    constructor(file: string | URL, options: WorkerOptions = {}) {
      const data = options.workerData as Injected | undefined;
      const isOurs = data?.thread !== undefined;
      const limits = isOurs && heapMb > 0 ? { resourceLimits: { maxOldGenerationSizeMb: heapMb } } : {};
      super(file, isOurs ? { ...options, ...limits, workerData: { ...data, faultOrders: orders } } : options);
      if (isOurs) workers.set(data.thread, this);
    }
  }
  threads.Worker = BreakableWorker;
  syncBuiltinESMExports();
  process.on('message', (order: FaultOrder) => {
    if (order.fault === 'block') {
      const endMs = performance.now() + order.ms;
      while (performance.now() < endMs);
    } else if (order.fault === 'uncaught') {
      setImmediate(() => {
        throw new Error('injected: nobody catches this');
      });
    } else if (order.fault === 'terminate') {
      void workers.get(order.thread)?.terminate();
    } else {
      Atomics.store(orders, faultyThreads.indexOf(order.thread), threadFaults.indexOf(order.fault) + 1);
    }
  });
  process.channel?.unref();
}

function watch(data: Injected | null): void {
  const { thread, faultOrders, board } = data ?? {};
  const index = (faultyThreads as readonly (string | undefined)[]).indexOf(thread);
  if (faultOrders === undefined || index < 0) return;
  const look = (): void => {
    // Of several threads of one name the first that looks takes the order.
    const fault = threadFaults[Atomics.exchange(faultOrders, index, 0) - 1];
    if (fault !== undefined) sufferings[fault](board);
  };
  if (thread !== 'vad') {
    setInterval(look, lookEveryMs).unref();
    return;
  }
  // That one sleeps in `Atomics.wait` and turns its loop only while it is inside the model.
  const wait = Atomics.wait;
  Atomics.wait = ((...given: Parameters<typeof wait>) => {
    look();
    return wait(...given);
  }) as typeof wait;
}

const sufferings: Readonly<Record<ThreadFault, (board: Int32Array | undefined) => void>> = {
  throw: () => {
    throw new Error('injected: a bug outside of any session');
  },
  hang,
  hang_in_model: (board) => {
    if (board !== undefined) Atomics.store(board, Board.vadInRun, 1);
    hang();
  },
  heap: fillHeap,
  exit: () => process.exit(3),
  terminate: () => undefined,
  disk_full: () => void fillDisk(),
};

function fillHeap(): never {
  for (const kept: number[][] = []; ; ) kept.push(new Array<number>(100_000).fill(kept.length));
}

function hang(): never {
  for (;;);
}

async function fillDisk(): Promise<void> {
  const file = await open('/dev/null', 'w');
  const prototype = Object.getPrototypeOf(file) as Record<string, unknown>;
  await file.close();
  const full = async (): Promise<never> => {
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', errno: -28 });
  };
  for (const name of ['write', 'writev', 'writeFile', 'appendFile', 'datasync', 'sync']) prototype[name] = full;
}

if (isMainThread) takeOrders();
else watch(threads.workerData as Injected | null);
