/**
 * The recordings of calls: stereo WAV, 16 kHz, 16 bits, caller left, agent right, on the caller's own timeline. API thread.
 * A disk that is full or broken ends a recording, never a call.
 */
import { EngineError, type Problem, problemOf } from '../shared/errors.js';
import type { Slot } from '../shared/slots.js';
import { inputRateHz } from '../shared/units.js';
import type { Log } from '../telemetry/log.js';
import type { RecordingAsk, SpokenAudio } from './links.js';
import { problemWith, RecordingFile } from './recording-file.js';
import { type OpenRecording, RecordingFolder } from './recording-folder.js';
import { AgentLane, CallerLane } from './recording-lanes.js';

export const recordingLimits = {
  /** How often `tick` should be called: an eighth of what the input ring holds. */
  tickMs: 500,
  /** When a call is over, its last piece of agent audio is waited for this long. */
  lastPieceWaitMs: 2000,
} as const;

/** What became of a recording; facts for the conversation's record. */
export type RecordingFacts = {
  readonly conversationId: string;
  /** 0: there is none, because nothing was heard or nothing could be written. */
  readonly durationMs: number;
  readonly hasCallerAudio: boolean;
  readonly hasAgentAudio: boolean;
  /** Of the caller's, lost because this thread was late; silence in the file. */
  readonly missedSamples: number;
  /** Why it is not complete. */
  readonly problem: Problem | undefined;
};

export type RecordingCounters = { finished: number; failed: number; repaired: number; missedSamples: number };

type Active = {
  readonly conversationId: string;
  readonly key: string;
  readonly partPath: string;
  readonly file: RecordingFile;
  readonly caller: CallerLane;
  readonly agent: AgentLane;
  hasLastPiece: boolean;
  /** Monotonic instant at which the call was over. */
  endedAtMs: number | undefined;
  isUnwanted: boolean;
  /** Its end, once that has begun. */
  closing: Promise<RecordingFacts> | undefined;
  readonly waiting: ((facts: Promise<RecordingFacts>) => void)[];
};

const keyOf = ({ slot, generation }: RecordingAsk): string => `${slot}/${generation}`;

/**
 * What its owner calls:
 * 1. `start()` once, before any call: creates the folder and repairs what a killed process left. The ids it gives have a recording now.
 * 2. `begin(conversationId, ask)` at conversation's `begin` with a `recording`. Not called: the call is not recorded.
 * 3. `tick()` every `recordingLimits.tickMs`, on a timer of the thread's.
 * 4. `spoken(message)` for every message of a tts thread's port.
 * 5. `end(conversationId)` at conversation's `end`; resolves with the facts when the file is there under its name (up to 2 s later, for the last
 *    agent audio). Undefined for a call that was not recorded.
 * 6. `open`, `exists`, `remove` for REST and retention. `remove` also ends a recording under way, and nothing of it stays.
 * 7. `close()` when the thread ends: finishes what is under way.
 *
 * Only `start`, `open`, `exists` and `remove` may fail, with what the file system said. Main may give a slot out again as soon as the other threads have
 * released it: then what the caller said after the last tick is missing (the end of a call, where as a rule nothing is said).
 */
export class Recordings {
  readonly counters: RecordingCounters = { finished: 0, failed: 0, repaired: 0, missedSamples: 0 };
  readonly #folder: RecordingFolder;
  readonly #slots: readonly Slot[];
  readonly #log: Log;
  readonly #now: () => number;
  readonly #byConversation = new Map<string, Active>();
  readonly #bySession = new Map<string, Active>();
  #ready: Promise<readonly string[]> | undefined;

  /** `slots`: all of the engine, by index. `now`: the monotonic clock. */
  constructor(folder: string, slots: readonly Slot[], log: Log, now: () => number) {
    this.#folder = new RecordingFolder(folder);
    this.#slots = slots;
    this.#log = log;
    this.#now = now;
  }

  /** Recordings under way. */
  get activeCount(): number {
    return this.#byConversation.size;
  }

  /** Repairs at the first call; tries again when that failed. */
  start(): Promise<readonly string[]> {
    this.#ready ??= this.#folder.repair().then(
      (ids) => {
        this.counters.repaired += ids.length;
        return ids;
      },
      (cause: unknown) => {
        this.#ready = undefined;
        throw problemWith(cause);
      },
    );
    return this.#ready;
  }

  begin(conversationId: string, ask: RecordingAsk): void {
    const slot = this.#slots[ask.slot];
    const partPath = this.#folder.partPath(conversationId);
    if (slot === undefined || partPath === undefined || this.#byConversation.has(conversationId)) {
      this.#failed(new EngineError('garbage', 'a recording was asked for that cannot be'), conversationId);
      return;
    }
    const active: Active = {
      conversationId,
      key: keyOf(ask),
      partPath,
      file: new RecordingFile(partPath, this.start()),
      caller: new CallerLane(slot, ask),
      agent: new AgentLane(),
      hasLastPiece: false,
      endedAtMs: undefined,
      isUnwanted: false,
      closing: undefined,
      waiting: [],
    };
    this.#byConversation.set(conversationId, active);
    this.#bySession.set(active.key, active);
  }

  /** Resolves when everything that has come is written; nobody has to wait for it. */
  async tick(): Promise<void> {
    const atMs = this.#now();
    const settling: Promise<void>[] = [];
    for (const active of this.#bySession.values()) {
      active.caller.read(active.file);
      const isOverdue = active.endedAtMs !== undefined && atMs - active.endedAtMs >= recordingLimits.lastPieceWaitMs;
      if (isOverdue || active.file.problem !== undefined) this.#finish(active);
      settling.push(active.file.settled());
    }
    await Promise.all(settling);
  }

  spoken(message: SpokenAudio): void {
    const active = this.#bySession.get(keyOf(message));
    if (active === undefined) return;
    active.agent.put(active.file, message);
    active.hasLastPiece ||= message.isLast;
    if (active.hasLastPiece && active.endedAtMs !== undefined) this.#finish(active);
  }

  async end(conversationId: string): Promise<RecordingFacts | undefined> {
    const active = this.#byConversation.get(conversationId);
    if (active === undefined) return undefined;
    active.endedAtMs ??= this.#now();
    active.caller.read(active.file);
    if (active.hasLastPiece) this.#finish(active);
    const facts = await (active.closing ?? new Promise<RecordingFacts>((resolve) => active.waiting.push(resolve)));
    this.#byConversation.delete(conversationId);
    return facts;
  }

  /** A finished recording. */
  async open(conversationId: string): Promise<OpenRecording | undefined> {
    return await this.#folder.open(conversationId);
  }

  /** Whether there is a finished recording. */
  async exists(conversationId: string): Promise<boolean> {
    return await this.#folder.exists(conversationId);
  }

  /** False when there was none. */
  async remove(conversationId: string): Promise<boolean> {
    // What a killed process left has its name after that, and is not found otherwise.
    await this.start();
    const discarding = this.discard(conversationId);
    await discarding;
    return (await this.#folder.remove(conversationId)) || discarding !== undefined;
  }

  /** Ends a recording under way, of which nothing stays; a finished one stays. Undefined when there is none under way. Never fails. */
  discard(conversationId: string): Promise<unknown> | undefined {
    const active = this.#byConversation.get(conversationId);
    if (active === undefined) return undefined;
    active.isUnwanted = true;
    return this.#finish(active).then(() => this.#byConversation.delete(conversationId));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#bySession.values()].map((active) => this.#finish(active)));
  }

  /** Reads what is still to come, and gives the file its name. Never fails. */
  #finish(active: Active): Promise<RecordingFacts> {
    if (active.closing !== undefined) return active.closing;
    this.#bySession.delete(active.key);
    active.caller.read(active.file);
    active.agent.flush(active.file);
    active.closing = this.#store(active);
    for (const resolve of active.waiting) resolve(active.closing);
    return active.closing;
  }

  async #store(active: Active): Promise<RecordingFacts> {
    const { conversationId, partPath, file, caller, agent } = active;
    let frames = 0;
    let problem: EngineError | undefined;
    try {
      await file.finish();
      // A `remove` may come until here; after it, it finds the file under its name.
      if (file.frames === 0 || active.isUnwanted) {
        await this.#folder.discard(partPath);
      } else {
        await this.#folder.publish(partPath, conversationId);
        frames = file.frames;
      }
    } catch (cause) {
      problem = problemWith(cause);
    }
    problem = file.problem ?? problem;
    if (problem !== undefined) this.#failed(problem, conversationId);
    else if (frames > 0) this.counters.finished += 1;
    this.counters.missedSamples += caller.missedSamples;
    return {
      conversationId,
      durationMs: (frames * 1000) / inputRateHz,
      hasCallerAudio: frames > 0 && caller.hasSound,
      hasAgentAudio: frames > 0 && agent.hasSound,
      missedSamples: caller.missedSamples,
      problem: problem === undefined ? undefined : problemOf(problem),
    };
  }

  #failed(problem: EngineError, conversationId: string): void {
    this.counters.failed += 1;
    this.#log('recording.failed', { conversation_id: conversationId, kind: problem.kind, message: problem.message });
  }
}
