/**
 * The simulated providers as a process: `npm run providers -- --profile reference --seed 1 --port 9100`. The flags are the options of
 * `server.ts`; `--faults` takes JSON or the name of a JSON file.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type ProfileName, profileNames } from './profile.js';
import { startProviders } from './server.js';
import { simulatorName } from './services.js';

const usage = `Servers that speak as Groq, OpenAI and ElevenLabs do, with SIMULATED recognition, language model and synthesis.

  npm run providers -- [options]

  --profile NAME       how soon they answer: ${profileNames.join(', ')} (reference)
  --seed N             of delays and answers (1; 0..4294967295)
  --port N             (9100; 0: any free one)
  --host ADDRESS       (127.0.0.1)
  --clips PATH         what is said in which recording: a JSON file of clips, or a folder of them
  --faults JSON|FILE   what goes wrong, and when
  --word-errors RATIO  share of the words that recognition gets wrong (0; 0..1)

To use them: GROQ_API_KEY=any GROQ_BASE_URL=http://127.0.0.1:9100 ELEVENLABS_API_KEY=any ELEVENLABS_BASE_URL=http://127.0.0.1:9100 npm start
`;

function numberOf(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max) {
    throw new RangeError(`--${name} ${text}: a number from ${min} to ${max} is needed`);
  }
  return value;
}

function profileOf(text: string): ProfileName {
  const name = profileNames.find((each) => each === text);
  if (name === undefined) throw new RangeError(`--profile ${text}: one of ${profileNames.join(', ')} is needed`);
  return name;
}

async function faultsOf(text: string): Promise<unknown> {
  return JSON.parse(/^\s*[{[]/.test(text) ? text : await readFile(text, 'utf8'));
}

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: {
      profile: { type: 'string', default: 'reference' },
      seed: { type: 'string', default: '1' },
      port: { type: 'string', default: '9100' },
      host: { type: 'string', default: '127.0.0.1' },
      clips: { type: 'string' },
      faults: { type: 'string' },
      'word-errors': { type: 'string', default: '0' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(usage);
    return;
  }
  const profile = profileOf(values.profile);
  const seed = numberOf('seed', values.seed, 0, 4294967295);
  const providers = await startProviders({
    profile,
    seed,
    port: numberOf('port', values.port, 0, 65535),
    host: values.host,
    wordErrorRatio: numberOf('word-errors', values['word-errors'], 0, 1),
    isVoicePrepared: true,
    ...(values.clips === undefined ? {} : { clips: values.clips }),
    ...(values.faults === undefined ? {} : { faults: await faultsOf(values.faults) }),
  });
  const services = 'SIMULATED speech recognition, language model and speech synthesis';
  console.log(`${simulatorName}: ${services} (profile ${profile}, seed ${seed}) on ${providers.url}`);
  const stop = (): void => void providers.close();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

try {
  await run();
} catch (error) {
  console.error(`${simulatorName}: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
