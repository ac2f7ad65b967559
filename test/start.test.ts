/** `npm start` as a process: what it says when something is wrong at the start, and how it ends when it is told to soon. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import WebSocket from 'ws';
import { smallYoungGeneration } from '../src/shared/young-generation.js';

const main = fileURLToPath(new URL('../src/main.js', import.meta.url));

class Started {
  readonly process: ChildProcess;
  out = '';
  log = '';
  readonly #exit: Promise<unknown[]>;

  constructor(t: Test, environment: Readonly<Record<string, string>>) {
    // Without what the test runner gives its own processes.
    const { NODE_OPTIONS: _, ...inherited } = process.env;
    const env = { ...inherited, PARLEY_PORT: '0', PARLEY_STORE: 'memory', PARLEY_RECORDINGS: 'off', PARLEY_SESSIONS_MAX: '4' };
    this.process = spawn(process.execPath, [main], { env: { ...env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout?.on('data', (data: Buffer) => (this.out += data.toString()));
    this.process.stderr?.on('data', (data: Buffer) => (this.log += data.toString()));
    this.#exit = once(this.process, 'exit');
    t.teardown(() => this.process.kill('SIGKILL'));
  }

  /** Waits until it has said this, or is over. */
  async says(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.out);
      if (found !== null) return found[1] ?? found[0];
      if (this.process.exitCode !== null) throw new Error(`it ended: ${this.out}${this.log}`);
      await Promise.race([once(this.process.stdout!, 'data'), this.#exit]);
    }
  }

  async exit(): Promise<unknown> {
    const [code] = await this.#exit;
    return code;
  }

  /** Events of the log that are errors. */
  get errors(): string[] {
    return this.log.split('\n').filter((line) => line.includes('"level":"error"'));
  }
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'parley-start-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('what the load rig tells Node is what `npm start` tells it', async (t) => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
  t.match(scripts['start'], ` node ${smallYoungGeneration.join(' ')} dist/src/main.js`);
});

test('a store that cannot be used is said at the start and at /readyz, and REST says why; keys that do nothing are said too', async (t) => {
  const place = folder(t);
  const [file, agents] = [join(place, 'file'), join(place, 'agents.json')];
  writeFileSync(file, '');
  writeFileSync(agents, JSON.stringify({ agent_id: 'a', conversation_config: { agent: { first_mesage: 'Hi' } } }));
  const engine = new Started(t, { PARLEY_STORE: `pglite:${file}`, PARLEY_AGENTS: agents });
  const url = await engine.says(/ready after .*: (http:\S+)\n/);
  await engine.says(/THE STORE CANNOT BE USED: .*EEXIST.* Calls work/);
  await engine.says(/agents\.json: conversation_config\.agent\.first_mesage: .*"first_message"/);
  t.match(engine.log, /"event":"agent\.warning".*"path":"conversation_config\.agent\.first_mesage"/);
  t.match(await (await fetch(`${url}readyz`)).json(), { status: 'ready', store: { status: 'unavailable', reason: /EEXIST/ } });
  const rest = await fetch(`${url}v1/convai/agents`);
  t.equal(rest.status, 503);
  t.match(await rest.json(), { detail: { status: 'unavailable', message: /EEXIST/ } });
  const socket = new WebSocket(`${url.replace('http', 'ws')}v1/convai/conversation?agent_id=default`);
  const [data] = (await once(socket, 'message')) as [Buffer];
  t.match(JSON.parse(data.toString()), { type: 'conversation_initiation_metadata' }, 'calls work');
  socket.terminate();
  engine.process.kill('SIGINT');
  t.equal(await engine.exit(), 0);
  t.match(engine.errors, [/store\.problem/]);
});

test('an engine that is stopped while its store is still being made has no errors; a faulty agent file stops the start', async (t) => {
  const place = folder(t);
  const engine = new Started(t, { PARLEY_STORE: `pglite:${join(place, 'new')}` });
  const agents = join(place, 'agents.json');
  const grammar = { intents: [{ name: 'size', phrases: ['the {size} one'], replies: ['Good.'] }] };
  writeFileSync(agents, JSON.stringify({ agent_id: 'a', parley: { grammar } }));
  const faulty = new Started(t, { PARLEY_AGENTS: agents });
  t.equal(await faulty.exit(), 1);
  t.match(
    faulty.log,
    /cannot start\. .*agents\.json: parley\.grammar\.intents\.0\.phrases\.0: "the \{size\} one": there is no slot 'size'/,
  );
  await engine.says(/is ready/);
  engine.process.kill('SIGINT');
  t.equal(await engine.exit(), 0);
  t.same(engine.errors, []);
});
