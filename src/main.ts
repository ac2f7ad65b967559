/** `npm start`: reads the settings, starts the engine, says what it is and can, and ends it in good order. Main thread. */
import { readConfig, settingsTable, unknownSettings } from './config.js';
import { Engine, version } from './engine.js';
import { Fleet } from './fleet.js';
import { nowMs } from './shared/clock.js';
import { EngineError } from './shared/errors.js';
import { stageTable } from './telemetry/prometheus.js';

/** Ends the process however it hangs. */
const exitMaxMs = 10_000;
/** After an exception that nobody caught: calls are told, what is written is flushed, and that is all. */
const crashMaxMs = 2000;

function help(): string {
  const rows = settingsTable.map(
    ({ name, fallback, allowed, means }) => `  ${name.padEnd(21)} ${means}. ${allowed}. Default: ${fallback || 'none'}.`,
  );
  return ['Parley, a voice-agent engine. Settings are environment variables:', ...rows].join('\n');
}

function canAndCannot(providers: { stt: string; llm: string; tts: string }): string[] {
  const lines: string[] = [];
  if (providers.stt === 'embedded') {
    lines.push(
      'Recognition is embedded: it understands the phrases of the agent’s grammar (the demo agent: digits, numbers and sums, the time,',
      'yes and no, "tell me a story", "stop", "repeat", "help", "goodbye") and says so when it did not catch something. It takes no dictation.',
      'For open speech set GROQ_API_KEY, or OPENAI_API_KEY, or PARLEY_STT=openai with OPENAI_BASE_URL (faster-whisper and the like).',
    );
  }
  if (providers.llm === 'embedded') {
    lines.push(
      'Answers are embedded too: fixed ones by intent, no language model, so prompts and tools of agents have no effect until',
      'GROQ_API_KEY, OPENAI_API_KEY or OPENAI_BASE_URL gives them one.',
    );
  }
  if (providers.tts === 'embedded') {
    lines.push('The voice is embedded (Flite): plain, quick, English. ELEVENLABS_API_KEY or OPENAI_API_KEY give a better one.');
  }
  return lines;
}

async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    console.log(help());
    return;
  }
  const startedAtMs = nowMs();
  const config = readConfig(process.env);
  const lost: { isFatal: boolean; stop: (() => void) | undefined } = { isFatal: false, stop: undefined };
  const onFatal = (): void => {
    lost.isFatal = true;
    lost.stop?.();
  };
  // News that come before the start line are shown with it.
  const news: string[] = [];
  let tell = (line: string): void => void news.push(line);
  const onNews = (line: string): void => tell(line);
  const isFleet = config.processes > 1;
  const engine = isFleet ? await Fleet.start(config, onFatal) : await Engine.start(config, onFatal, undefined, onNews);
  const stop = async (drainMs: number, noticeMs: number, status: number): Promise<void> => {
    setTimeout(() => process.exit(1), drainMs + noticeMs + exitMaxMs).unref();
    const table = stageTable(await engine.stop(drainMs, noticeMs));
    if (table !== '') console.log(table);
    process.exit(status);
  };
  const failed = (error: unknown): void => {
    console.error(error);
    process.exit(1);
  };
  let signals = 0;
  const onSignal = (drainMs: number, noticeMs: number): void => {
    signals += 1;
    const isAgain = signals > 1;
    stop(isAgain ? 0 : drainMs, isAgain ? 0 : noticeMs, 0).catch(failed);
  };
  const drainMs = config.drainSeconds * 1000;
  process.on('SIGTERM', () => onSignal(drainMs, Math.min(config.drainNoticeSeconds * 1000, drainMs)));
  process.on('SIGINT', () => onSignal(0, 0));
  // A part of the engine cannot be brought back: calls that it does not concern may finish, then the supervisor starts another process.
  lost.stop = () => void stop(drainMs, 0, 1).catch(failed);
  if (lost.isFatal) lost.stop();
  process.on('uncaughtException', (error) => {
    console.error(error);
    setTimeout(() => process.exit(1), crashMaxMs).unref();
    engine.stop(0, 0, 'Internal error. Please call again.').then(() => process.exit(1), failed);
  });

  const providers = { stt: config.stt.provider, llm: config.llm.provider, tts: config.tts.provider };
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;
  console.log(
    `Parley ${version} is ready after ${((nowMs() - startedAtMs) / 1000).toFixed(2)} s: http://${host}:${engine.port}/`,
  );
  for (const line of [...news, ...engine.says]) console.log(`  ${line}`);
  tell = (line) => console.log(`  ${line}`);
  for (const line of canAndCannot(providers)) console.log(`  ${line}`);
  for (const name of unknownSettings(process.env))
    console.log(`  ${name} is no setting of this version; "npm start -- --help" lists them all.`);
  console.log(`  Talk: open the page, or "npm run talk -- FILE.wav". Settings: "npm start -- --help".`);
}

main().catch((error: unknown) => {
  console.error(error instanceof EngineError ? `Parley cannot start. ${error.message}` : error);
  process.exit(1);
});
