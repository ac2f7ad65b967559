/**
 * `npm run talk`: a caller in the terminal. Plays sound files to an agent over the real socket in real time, shows and measures the
 * conversation, and keeps what was heard. One thread, one call.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeWav } from '../src/audio/wav.js';
import { EngineError } from '../src/shared/errors.js';
import { inputRateHz } from '../src/shared/units.js';
import { Beat } from './beat.js';
import { Caller } from './caller.js';
import { type Clip, readClip } from './clip.js';
import { cough } from './cough.js';
import { type DialogueOptions, holdDialogue } from './dialogue.js';
import type { EarKind } from './ear.js';
import { type Output, Screen } from './screen.js';
import { isUnderstood, summaryOf } from './summary.js';
import { jsonOf, type Timeline, timelineOf } from './timeline.js';

const usage = `Talks to an agent with sound files and measures how it answers.

  npm run talk -- FILE… [options]

The agent's first message is heard out, then FILE 1 is said (WAV or FLAC, any rate), its answer heard out, FILE 2 said, and so on.

  --url URL            the server               (ws://127.0.0.1, port of PARLEY_PORT or 8080)
  --agent ID           the agent                (the server's default agent)
  --barge-in-at MS     say the next FILE this long after the agent began to speak, as an interruption;
                       with one FILE the first message is interrupted
  --cough-at MS        cough for 200 ms this long after each answer began; it should go on
  --wait-ms MS         longest wait for an answer, from the end of our speech (15000)
  --ear KIND           what the agent is heard through: buffered, the web client, or paced, a telephone (buffered)
  --out DIR            where the recording (call.wav: left caller, right agent) and the timeline (call.json) go (out/talk)
  --json               print the timeline on standard output, and what happens on standard error

All instants are ms since the socket opened, heard at the caller's ear. "End of speech" is the last sample above the file's peak
minus 45 dB; a frame leaves 20 ms of speech after it began, as from a real microphone.
Exit status: 0 each file was understood and answered, or interrupted something, 1 it was not, 2 usage, files or connection.
`;

type Settings = {
  readonly files: readonly string[];
  readonly url: string;
  readonly agentId: string | undefined;
  readonly bargeInAtMs: number | undefined;
  readonly coughAtMs: number | undefined;
  readonly waitMs: number;
  readonly ear: EarKind;
  readonly folder: string;
  readonly isJson: boolean;
};

/** Runs the command with `args` (without node and script) and returns its exit status. */
export async function talk(args: readonly string[], out: Output, errors: Output): Promise<0 | 1 | 2> {
  try {
    const settings = parseSettings(args);
    if (settings === undefined) {
      out.write(usage);
      return args.includes('--help') ? 0 : 2;
    }
    const clips = await Promise.all(settings.files.map(readClip));
    await makeFolder(settings.folder);
    return await call(settings, clips, out, settings.isJson ? errors : out);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    errors.write(`talk: ${error.message}\n`);
    if (error.kind === 'refused') errors.write('Is the engine running there? "npm start" starts it.\n');
    return 2;
  }
}

/** Undefined when the usage is wanted. */
function parseSettings(args: readonly string[]): Settings | undefined {
  const { values, positionals } = parse(args);
  if (values.help === true || positionals.length === 0) return undefined;
  const ear = values.ear ?? 'buffered';
  if (ear !== 'buffered' && ear !== 'paced') throw new EngineError('config', `--ear is buffered or paced, not ${ear}`);
  const url = values.url ?? `ws://127.0.0.1:${process.env['PARLEY_PORT'] || 8080}`;
  if (!URL.canParse(url) || !/^wss?:/.test(url)) throw new EngineError('config', `--url is like ws://host:port, not ${url}`);
  return {
    files: positionals,
    url,
    agentId: values.agent,
    bargeInAtMs: milliseconds('--barge-in-at', values['barge-in-at']),
    coughAtMs: milliseconds('--cough-at', values['cough-at']),
    waitMs: milliseconds('--wait-ms', values['wait-ms']) ?? 15_000,
    ear,
    folder: values.out ?? join('out', 'talk'),
    isJson: values.json === true,
  };
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = {
    ...{ url: text, agent: text, out: text, ear: text, 'barge-in-at': text, 'cough-at': text, 'wait-ms': text },
    ...{ json: flag, help: flag },
  };
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (cause) {
    throw new EngineError('config', `${cause instanceof Error ? cause.message : cause}\nWithout arguments it explains itself.`, {
      cause,
    });
  }
}

function milliseconds(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 600_000))
    throw new EngineError('config', `${name} is 0 to 600000 ms, not ${text}`);
  return value;
}

/** Before the call, so that no recording is lost for the want of a folder. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new EngineError('config', `--out ${folder}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

async function call(settings: Settings, clips: readonly Clip[], out: Output, display: Output): Promise<0 | 1> {
  const beat = new Beat();
  const screen = new Screen(display);
  const caller = await Caller.connect({
    url: settings.url,
    ...(settings.agentId === undefined ? {} : { agentId: settings.agentId }),
    beat,
    ear: settings.ear,
    onEvent: (event) => screen.onEvent(event),
  });
  const hangUp = (): void => void caller.hangUp();
  process.once('SIGINT', hangUp);
  try {
    screen.line(
      0,
      'call',
      `${caller.conversationId} on ${settings.url}, speaking ${caller.inputFormat}, hearing ${caller.outputFormat}`,
    );
    screen.follow(caller, beat);
    const dialogue = await holdDialogue(caller, clips, optionsOf(settings, screen));
    const wasClosedByServer = caller.closed !== undefined;
    const closed = await caller.hangUp();
    screen.stop();
    screen.line(closed.atMs, 'call', wasClosedByServer ? `the server closed: ${closed.code} ${closed.reason}` : 'hung up');
    const timeline = timelineOf(caller, dialogue, beat);
    await keep(settings.folder, timeline, caller);
    screen.text(summaryOf(timeline, clips));
    screen.text(`  ${join(settings.folder, 'call.wav')}, ${join(settings.folder, 'call.json')}`);
    if (settings.isJson) out.write(jsonOf(timeline));
    const isGood = timeline.turns.every(
      (turn) => (turn.answer !== undefined && isUnderstood(turn)) || turn.interruption !== undefined,
    );
    return isGood && timeline.turns.length === clips.length ? 0 : 1;
  } finally {
    process.removeListener('SIGINT', hangUp);
    screen.stop();
    if (caller.closed === undefined) await caller.hangUp();
  }
}

function optionsOf(settings: Settings, screen: Screen): DialogueOptions {
  return {
    waitMs: settings.waitMs,
    ...(settings.bargeInAtMs === undefined ? {} : { bargeInAtMs: settings.bargeInAtMs }),
    ...(settings.coughAtMs === undefined ? {} : { cough: { clip: cough(), atMs: settings.coughAtMs } }),
    onSay: (said, kind) => screen.onSay(said, kind),
  };
}

async function keep(folder: string, timeline: Timeline, caller: Caller): Promise<void> {
  const [said, heard] = [caller.saidLane(), caller.heardLane()];
  const length = Math.max(said.length, heard.length);
  const lanes = [said, heard].map((lane) => {
    const padded = new Int16Array(length);
    padded.set(lane);
    return padded;
  });
  await writeFile(join(folder, 'call.json'), jsonOf(timeline));
  await writeFile(join(folder, 'call.wav'), writeWav({ channels: lanes, rateHz: inputRateHz }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await talk(process.argv.slice(2), process.stdout, process.stderr);
}
