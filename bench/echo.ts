/**
 * The agent's own voice in the caller's microphone: how much of it the detector tells by the samples that were sent, what becomes of callers who
 * speak over it, and what that costs. `node dist/bench/echo.js [--audio DIR] [--json FILE]
 * [--part lines|rooms|recorded|cost]…`; two to four minutes.
 *
 * Read sentences are the agent (-20 dBFS), others the caller (-26 dBFS, by two onsets a session). The echo comes through 64 random taps that decay by
 * 60 dB, or through a recorded room (the first 0.25 s of its response), and for `phone` all goes through mu-law and 300 to 3400 Hz both ways. Two
 * recordings of real loudspeakers and microphones are heard as they are. The agent goes on speaking whatever is raised: the worst case.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { decodeMulaw, encodeMulaw } from '../src/audio/mulaw.js';
import { resample } from '../src/audio/resample.js';
import { VadHost } from '../src/hosts/vad-host.js';
import type { FromVad } from '../src/shared/links.js';
import { ReferenceWriter } from '../src/shared/reference.js';
import { InputWriter } from '../src/shared/ring.js';
import { Cell, claim, createBlock, createBoard, Slot } from '../src/shared/slots.js';
import { type Hz, hopSamples, hz, inputRateHz, ms, samplesIn } from '../src/shared/units.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { EchoEar } from '../src/vad/echo.js';
import { gateDefaults } from '../src/vad/gate.js';
import { rmsLevelDb } from '../src/vad/level.js';
import { SileroModel } from '../src/vad/model.js';
import { nanosecondsPer } from './timing.js';
import { audioFolder, loudSpans, quantile, readMono, seeded, voicedOnset, whiteNoise } from './vad-data.js';

const agentClips = ['LJ001-0001', 'LJ001-0004', 'LJ001-0006', 'librispeech_1995-1837-0001', 'leopard_test_es', 'leopard_test_fr'];
const agentMore = ['leopard_test_it', 'librivox_austen_0870', 'common_voice_en_20005955', 'leopard_test_ko'];
const callerClips = [
  'jfk',
  'leopard_test',
  'goforward',
  'cards_002',
  'whats_the_weather_like',
  'harvard_spk1_snt1',
  'harvard_spk2_snt4',
];
const callerMore = [
  'leopard_test_de',
  'cards_001',
  'common_voice_en_20009651',
  'leopard_test_pt',
  'vosk_digits',
  'harvard_spk1_snt5',
];
const agentDb = -20;
const callerDb = -26;
const noiseDb = -66;
const sessionsMax = 8;
/** A start belongs to an onset up to this long after the words. */
const lateSamples = samplesIn(ms(200), inputRateHz);
const leadSamples = samplesIn(ms(100), inputRateHz);
const frameMs = 40;
/** The agent begins here, the caller there. */
const agentAt = inputRateHz;
const callerAt = [3.3 * inputRateHz, 9.1 * inputRateHz].map(Math.round);
const sessionSamples = 15 * inputRateHz;

type Line = 'wide' | 'phone';
/** `room`: index of a recorded response; else random taps. */
type Setting = { readonly echoDb: number | undefined; readonly delayMs: number; readonly line: Line; readonly room?: number };
type Session = {
  readonly microphone: Int16Array;
  /** What is sent, at `rateHz`; position 0 is heard at `from` of the microphone. */
  readonly reference: Int16Array;
  readonly rateHz: Hz;
  readonly from: number;
  /** Of the caller: where the clip begins, where its first voiced sound does, and the end of its first words. */
  readonly onsets: readonly { readonly from: number; readonly atSample: number; readonly to: number }[];
};
type Heard = { readonly session: Session; readonly events: readonly FromVad[]; readonly scores: readonly number[] };
/** `echoHops`: of all sessions. */
type Pass = { readonly heard: Heard[]; readonly echoHops: number };

const limited = (value: number): number => Math.max(-32768, Math.min(32767, Math.round(value)));

function levelled(clip: Int16Array, levelDb: number): Int16Array {
  const spans = loudSpans(clip) ?? [{ from: 0, to: clip.length }];
  const loud = Int16Array.from(spans.flatMap(({ from, to }) => [...clip.subarray(from, to)]));
  const gain = 10 ** ((levelDb - rmsLevelDb(loud)) / 20);
  return clip.map((sample) => limited(sample * gain));
}

/** 300 to 3400 Hz, 8 kHz, mu-law, and back. */
function telephoned(signal: Int16Array): Int16Array {
  const narrow = resample(signal, inputRateHz, hz(8000));
  let [slow, before] = [0, 0];
  const high = narrow.map((sample) => {
    slow = 0.8 * (slow + sample - before);
    before = sample;
    return limited(slow);
  });
  return resample(decodeMulaw(encodeMulaw(high)), hz(8000), inputRateHz).subarray(0, signal.length);
}

function randomTaps(random: () => number): Float64Array {
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Float64Array.from({ length: 64 }, (_, tap) => normal() * 10 ** ((-60 * tap) / 64 / 20));
}

/** `signal` through `taps` of unit energy, `gain` and a delay. */
function echoOf(signal: Int16Array, taps: Float64Array, gainDb: number, delay: number): Float64Array {
  const energy = taps.reduce((sum, tap) => sum + tap * tap, 0);
  const gain = 10 ** (gainDb / 20) / Math.sqrt(energy);
  const out = new Float64Array(signal.length);
  for (let index = delay; index < out.length; index += 1) {
    let sum = 0;
    const last = Math.min(taps.length - 1, index - delay);
    for (let tap = 0; tap <= last; tap += 1) sum += taps[tap]! * signal[index - delay - tap]!;
    out[index] = gain * sum;
  }
  return out;
}

class Material {
  readonly agents: Int16Array[] = [];
  readonly callers: Int16Array[] = [];
  readonly rooms: Float64Array[] = [];

  static async read(folder: string): Promise<Material> {
    const material = new Material();
    const read = (name: string): Promise<Int16Array> => readMono(join(folder, 'speech', `${name}.flac`));
    for (const name of [...agentClips, ...agentMore]) material.agents.push(levelled(await read(name), agentDb));
    for (const name of [...callerClips, ...callerMore]) material.callers.push(levelled(await read(name), callerDb));
    for (const room of [1, 2, 3, 4]) {
      const response = await readMono(join(folder, 'rir', `rir${room}.flac`));
      const peak = response.reduce((best, value, index) => (Math.abs(value) > Math.abs(response[best]!) ? index : best), 0);
      const from = Math.max(0, peak - 16);
      material.rooms.push(Float64Array.from(response.subarray(from, from + samplesIn(ms(250), inputRateHz))));
    }
    return material;
  }

  session(number: number, { echoDb, delayMs, line, room }: Setting, hasCaller: boolean): Session {
    const random = seeded(1000 + number);
    const agent = new Int16Array(sessionSamples);
    let at: number = agentAt;
    for (let clip = number; at < sessionSamples; clip += 1) {
      const samples = this.agents[clip % this.agents.length]!.subarray(0, sessionSamples - at);
      agent.set(samples, at);
      at += samples.length + samplesIn(ms(300), inputRateHz);
    }
    const isPhone = line === 'phone';
    const rateHz: Hz = isPhone ? hz(8000) : inputRateHz;
    const reference = resample(agent.subarray(agentAt), inputRateHz, rateHz);
    const played = isPhone ? telephoned(agent) : agent;
    const sum = Float64Array.from(whiteNoise(sessionSamples, noiseDb, random));
    if (echoDb !== undefined) {
      const taps = room === undefined ? randomTaps(random) : this.rooms[room]!;
      echoOf(played, taps, echoDb, samplesIn(ms(delayMs), inputRateHz)).forEach((value, index) => {
        sum[index]! += value;
      });
    }
    const onsets = hasCaller ? callerAt.flatMap((at, index) => this.#place(sum, at + number * 97, 2 * number + index)) : [];
    const microphone = Int16Array.from(sum, limited);
    return { microphone: isPhone ? telephoned(microphone) : microphone, reference, rateHz, from: agentAt, onsets };
  }

  #place(sum: Float64Array, at: number, number: number): Session['onsets'] {
    const clip = this.callers[number % this.callers.length]!.subarray(0, 3 * inputRateHz);
    clip.forEach((sample, index) => {
      if (at + index < sum.length) sum[at + index]! += sample;
    });
    const span = loudSpans(clip)?.[0] ?? { from: 0, to: clip.length };
    return [{ from: at, atSample: at + (voicedOnset(clip, span) ?? span.from), to: at + span.to }];
  }
}

/** All sessions side by side through the detector's host. */
async function listen(model: SileroModel, sessions: readonly Session[], hasReference: boolean): Promise<Pass> {
  const block = createBlock(sessions.length);
  const events: FromVad[][] = sessions.map(() => []);
  const scores: number[][] = sessions.map(() => []);
  const host = new VadHost(
    { block, board: createBoard(), model, recorder: new Recorder('vad') },
    {
      toMain: () => undefined,
      toStt: () => undefined,
      toConversation: (message) => {
        if (message.type === 'score') scores[message.slot]!.push(message.score);
        else events[message.slot]!.push(message);
      },
    },
  );
  const ears = sessions.map((session, index) => {
    const slot = new Slot(block, index);
    const generation = claim(slot);
    slot.store(Cell.wantsScores, 1);
    host.fromMain({ type: 'open', slot: index, generation });
    const reference = hasReference ? new ReferenceWriter(slot, session.rateHz) : undefined;
    return { session, slot, generation, writer: new InputWriter(slot), reference, sent: 0 };
  });
  const length = Math.max(...sessions.map(({ microphone }) => microphone.length));
  for (let at = 0; at + hopSamples <= length; at += hopSamples) {
    for (const ear of ears) {
      const { session, slot, writer, reference } = ear;
      const { rateHz, from } = session;
      const frame = (rateHz * frameMs) / 1000;
      const wanted = ((at + hopSamples - from + leadSamples) * rateHz) / inputRateHz;
      while (ear.sent < wanted && ear.sent < session.reference.length) {
        const samples = session.reference.subarray(ear.sent, ear.sent + frame);
        reference?.write(ear.sent, samples);
        ear.sent += samples.length;
        slot.store(Cell.sentPosition, ear.sent);
      }
      const isHeard = ear.sent > 0 && at < from + (session.reference.length * inputRateHz) / rateHz;
      slot.store(Cell.floor, isHeard ? 1 : 0);
      writer.write(session.microphone.subarray(at, at + hopSamples));
    }
    while (await host.pass());
  }
  const echoes = host.figures().counters.find(({ name, labels }) => name === 'parley_vad_echoes_total' && labels === 'of="hop"');
  const heard = sessions.map((session, index) => ({ session, events: events[index]!, scores: scores[index]! }));
  return { heard, echoHops: echoes?.value ?? 0 };
}

type Starts = { readonly startedPerMinute: number; readonly leftPerMinute: number; readonly heardRatio: number };

/** Segments that began, those that did not end as an echo, and the share of the model's hops of speech that lie in the latter. */
function echoFigures(heard: readonly Heard[]): Starts {
  let [started, left, speech, counted] = [0, 0, 0, 0];
  for (const { events, scores } of heard) {
    speech += scores.filter((score) => score >= gateDefaults.offProbability).length;
    let hops = 0;
    for (const event of events) {
      if (event.type === 'speech_start') {
        started += 1;
        hops = (event.atSample - event.startSample) / hopSamples;
      }
      if (event.type === 'speech_hop') hops += 1;
      const isOver = event.type === 'speech_end' || event === events.at(-1);
      if (!isOver || (event.type === 'speech_end' && event.isEcho === true)) continue;
      left += 1;
      counted += hops;
    }
  }
  const minutes = heard.reduce((sum, { session }) => sum + session.microphone.length - session.from, 0) / inputRateHz / 60;
  return { startedPerMinute: started / minutes, leftPerMinute: left / minutes, heardRatio: counted / speech };
}

/** `addedMs`: later than without an echo. `open`: something was taken for speech just before. */
type Onsets = {
  readonly p50Ms: number;
  readonly addedP50Ms: number;
  readonly addedP95Ms: number;
  readonly missed: number;
  readonly open: number;
  readonly count: number;
};
/** Of each onset: ms until the start of speech. */
type Delay = number | 'missed' | 'open';

function delaysOf(heard: readonly Heard[]): Delay[] {
  return heard.flatMap(({ events, session }) =>
    session.onsets.map(({ from, atSample, to }): Delay => {
      const starts = events.filter((event) => event.type === 'speech_start' || event.type === 'speech_end');
      if (starts.findLast((event) => event.atSample <= from)?.type === 'speech_start') return 'open';
      const start = starts.find(
        (event) => event.type === 'speech_start' && event.atSample > from && event.atSample < to + lateSamples,
      );
      return start === undefined ? 'missed' : ((start.atSample - atSample) * 1000) / inputRateHz;
    }),
  );
}

function onsetFigures(heard: readonly Heard[], clean: readonly Delay[]): Onsets {
  const delays = delaysOf(heard);
  const found = delays.flatMap((delay) => (typeof delay === 'number' ? [delay] : []));
  const added = delays.flatMap((delay, index) => {
    const before = clean[index];
    return typeof delay === 'number' && typeof before === 'number' ? [delay - before] : [];
  });
  const count = (kind: Delay): number => delays.filter((delay) => delay === kind).length;
  return {
    p50Ms: quantile(found, 0.5),
    addedP50Ms: quantile(added, 0.5),
    addedP95Ms: quantile(added, 0.95),
    missed: count('missed'),
    open: count('open'),
    count: delays.length,
  };
}

const onsetText = ({ p50Ms, addedP50Ms, addedP95Ms, missed, open, count }: Onsets): string =>
  `${p50Ms.toFixed(0)} ms, later by ${addedP50Ms.toFixed(0)} / ${addedP95Ms.toFixed(0)}, of ${count}${missed > 0 ? `, ${missed} missed` : ''}${open > 0 ? `, ${open} in an open segment` : ''}`;
const startText = ({ startedPerMinute, leftPerMinute, heardRatio }: Starts): string =>
  `${startedPerMinute.toFixed(1).padStart(5)} a minute, ${leftPerMinute.toFixed(1).padStart(4)} not ended as echo, ${(100 * heardRatio).toFixed(1).padStart(5)} % of its hops left`;

function settingText({ echoDb, delayMs, line, room }: Setting): string {
  return `${line}, ${echoDb} dB, ${delayMs} ms${room === undefined ? '' : `, room ${room + 1}`}`;
}

async function realPair(folder: string, name: string): Promise<Session> {
  const reference = await readMono(join(folder, 'echo', `${name}_lpb.flac`));
  const microphone = await readMono(join(folder, 'echo', `${name}_mic.flac`));
  return { microphone, reference, rateHz: inputRateHz, from: 0, onsets: [] };
}

type Cost = {
  readonly silentUs: number;
  readonly knownUs: number;
  readonly searchUs: number;
  readonly firstUs: number;
  readonly bytes: number;
};

const hopsAhead = 16;

/**
 * Microseconds of what is asked: nothing while no echo was ever found, the known way, a search, and the first search of all, which converts a
 * second. `bytes`: what a hop by the known way allocates.
 */
function costs(session: Session): Cost {
  const block = createBlock(1);
  const slot = new Slot(block, 0);
  claim(slot);
  const writer = new InputWriter(slot);
  const reference = new ReferenceWriter(slot, session.rateHz);
  const sentAt = (sample: number): number => Math.max(0, Math.floor(((sample - session.from) * session.rateHz) / inputRateHz));
  let at = 0;
  const hear = (): void => {
    writer.write(session.microphone.subarray(at, at + hopSamples));
    reference.write(sentAt(at), session.reference.subarray(sentAt(at), sentAt(at + hopSamples)));
    at += hopSamples;
    slot.store(Cell.sentPosition, sentAt(at));
  };
  const earOf = (): EchoEar => new EchoEar(slot, gateDefaults.echoLikenessMin);
  while (at < 4 * inputRateHz) hear();
  const firstUs = nanosecondsPer(10, () => void earOf().leftDb(at, true)) / 1000;
  const silent = earOf();
  const silentUs = nanosecondsPer(100_000, () => void silent.leftDb(at, false)) / 1000;
  const ear = earOf();
  while (!ear.isKnown) {
    hear();
    ear.leftDb(at, true);
  }
  const times: number[] = [];
  const bytes: number[] = [];
  const ends = new Int32Array(hopsAhead);
  const sent = new Int32Array(hopsAhead);
  // Some hops are written ahead, so that what writes them is not counted.
  while (at + hopsAhead * hopSamples < session.microphone.length) {
    for (let hop = 0; hop < hopsAhead; hop += 1) {
      hear();
      ends[hop] = at;
      sent[hop] = sentAt(at);
    }
    const before = process.memoryUsage().heapUsed;
    const startedAt = performance.now();
    for (let hop = 0; hop < hopsAhead; hop += 1) {
      slot.store(Cell.sentPosition, sent[hop]!);
      ear.leftDb(ends[hop]!, false);
    }
    const tookMs = performance.now() - startedAt;
    const after = process.memoryUsage().heapUsed;
    times.push((tookMs * 1000) / hopsAhead);
    bytes.push(after - before - (process.memoryUsage().heapUsed - after));
  }
  const stranger = earOf();
  slot.input.set(whiteNoise(slot.input.length, -20, seeded(1)));
  stranger.leftDb(at, true);
  const searchUs = nanosecondsPer(20, () => void stranger.leftDb(at, true)) / 1000;
  return { silentUs, knownUs: quantile(times, 0.5), searchUs, firstUs, bytes: quantile(bytes, 0.5) / hopsAhead };
}

const settings: readonly Setting[] = (['wide', 'phone'] as const).flatMap((line) =>
  [-10, -20, -30].flatMap((echoDb) => [40, 250].map((delayMs) => ({ echoDb, delayMs, line }))),
);
const rooms: readonly Setting[] = [0, 1, 2, 3].map((room) => ({ echoDb: -15, delayMs: 120, line: 'wide', room }));

const parts = ['lines', 'rooms', 'recorded', 'cost'] as const;
type Part = (typeof parts)[number];
type Entry = {
  readonly name: string;
  readonly echo?: Starts;
  readonly without?: Starts;
  readonly over?: Onsets;
  readonly clean?: Onsets;
  readonly echoHops?: number;
};

const sessionsOf = (material: Material, setting: Setting, hasCaller: boolean): Session[] =>
  Array.from({ length: sessionsMax }, (_, number) => material.session(number, setting, hasCaller));

/** A caller over the agent without any echo; then echoes alone, and callers over them. */
async function hearSettings(model: SileroModel, material: Material, settings: readonly Setting[]): Promise<Entry[]> {
  const entries: Entry[] = [];
  const cleanDelays = new Map<Line, Delay[]>();
  for (const line of new Set(settings.map((setting) => setting.line))) {
    const sessions = sessionsOf(material, { echoDb: undefined, delayMs: 0, line }, true);
    const without = (await listen(model, sessions, false)).heard;
    const delays = delaysOf(without);
    cleanDelays.set(line, delays);
    const { heard, echoHops } = await listen(model, sessions, true);
    const clean = onsetFigures(heard, delays);
    const hops = heard.reduce((sum, { session }) => sum + session.microphone.length / hopSamples, 0);
    entries.push({ name: `${line}, no echo`, clean, echoHops });
    console.log(
      `  ${`${line}, no echo`.padEnd(28)} caller ${onsetText(clean)}; without a reference ${onsetText(onsetFigures(without, delays))}; of ${hops.toFixed(0)} hops ${echoHops} taken for an echo`,
    );
  }
  for (const setting of settings) {
    const name = settingText(setting);
    const alone = sessionsOf(material, setting, false);
    // Without a reference the delay makes no difference.
    const without = setting.delayMs === 250 ? undefined : echoFigures((await listen(model, alone, false)).heard);
    const echo = echoFigures((await listen(model, alone, true)).heard);
    const over = onsetFigures(
      (await listen(model, sessionsOf(material, setting, true), true)).heard,
      cleanDelays.get(setting.line) ?? [],
    );
    entries.push({ name, echo, over, ...(without === undefined ? {} : { without }) });
    if (without !== undefined) console.log(`  ${name.padEnd(28)} no reference ${startText(without)}`);
    console.log(`  ${name.padEnd(28)} as it is     ${startText(echo)}; caller ${onsetText(over)}`);
  }
  return entries;
}

async function hearRecorded(model: SileroModel, folder: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const name of ['farend', 'doubletalk']) {
    const session = await realPair(folder, name);
    const without = echoFigures((await listen(model, [session], false)).heard);
    const echo = echoFigures((await listen(model, [session], true)).heard);
    entries.push({ name: `recorded ${name}`, echo, without });
    console.log(`  ${`recorded, ${name}`.padEnd(28)} no reference ${startText(without)}`);
    console.log(`  ${''.padEnd(28)} as it is     ${startText(echo)}`);
  }
  return entries;
}

async function run(folder: string, chosen: readonly Part[]): Promise<unknown> {
  const material = await Material.read(folder);
  const model = await SileroModel.load();
  const entries: Entry[] = [];
  console.log(
    'Echo alone: segments begun while the agent speaks. A caller over it: onset to start, median, and how much later than without an echo, p50 / p95',
  );
  if (chosen.includes('lines')) entries.push(...(await hearSettings(model, material, settings)));
  if (chosen.includes('rooms')) entries.push(...(await hearSettings(model, material, rooms)));
  if (chosen.includes('recorded')) entries.push(...(await hearRecorded(model, folder)));
  await model.close();
  if (!chosen.includes('cost')) return { entries };
  const cost = (['wide', 'phone'] as const).map((line) => {
    const session = material.session(0, { echoDb: -20, delayMs: 120, line }, false);
    for (let warm = 0; warm < 3; warm += 1) costs(session);
    return { line, ...costs(session) };
  });
  for (const { line, silentUs, knownUs, searchUs, firstUs, bytes } of cost)
    console.log(
      `  ${line}: no echo known ${silentUs.toFixed(3)} us a hop, known way ${knownUs.toFixed(0)} us and ${bytes.toFixed(0)} bytes, search ${searchUs.toFixed(0)} us, first search ${firstUs.toFixed(0)} us`,
    );
  return { entries, cost };
}

const { values } = parseArgs({
  options: { audio: { type: 'string' }, json: { type: 'string' }, part: { type: 'string', multiple: true, default: [...parts] } },
});
const folder = audioFolder(values.audio);
if (folder === undefined) {
  console.error('no recordings: there is no manifest.json in ../shared/audio or the folder given with --audio');
  process.exitCode = 2;
} else {
  const report = await run(
    folder,
    parts.filter((part) => values.part.includes(part)),
  );
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, null, 1)}\n`);
}
