/**
 * The official JavaScript client in plain Node: the start race, text conversations with everything that an application can do, and its voice
 * client with a microphone and a loudspeaker of ours.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { t as file, type Test, test } from 'tap';
import { WebSocket } from 'ws';
import { frameSamples, Microphone } from '../../load/microphone.js';
import { LocalMcp, mcpTool, offering, text } from '../support/mcp-server.js';
import { bytesOf, speechOf } from './speech.js';
import { agentOf, type ChatBody, isFull, type Json, Stage, textOf } from './stage.js';
import { whileSteady } from './steady.js';

Object.assign(globalThis, { WebSocket });
// After the global is set, which they take when they are loaded.
const { Conversation } = await import('@elevenlabs/client');
const { createConnection, setSetupStrategy } = await import('@elevenlabs/client/internal');

type Options = Parameters<typeof Conversation.startSession>[0];
type Disconnected = Parameters<NonNullable<Options['onDisconnect']>>[0];

const tool = (name: string, more: object = {}): object => ({
  type: 'client',
  name,
  description: `Does ${name}.`,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  expects_response: true,
  ...more,
});
/** Nothing more came for this long: the reply is over. */
const quietMs = 600;
const named = {
  first_message: 'Hello {{name}}.',
  dynamic_variables: { dynamic_variable_placeholders: { name: 'friend' } },
};
const stage = await Stage.start({
  agents: [
    agentOf('text', { agent: named, conversation: { text_only: true } }),
    agentOf('voice', { agent: { first_message: 'Hello there.' } }),
    agentOf('strict', {}),
    agentOf('needy', { agent: { first_message: 'Hello {{who}}.' } }),
    agentOf('short', { conversation: { text_only: true, max_duration_seconds: 1 } }),
    agentOf('tools', {
      prompt: { tools: ['as_text', 'as_object', 'as_number', 'as_nothing', 'throws', 'unknown'].map((name) => tool(name)) },
      conversation: { text_only: true },
    }),
    agentOf('open', {
      platform: {
        overrides: { conversation_config_override: { agent: { first_message: true, language: true, prompt: { prompt: true } } } },
      },
    }),
  ],
});
file.jobs = 4;
file.setTimeout(120_000);
file.teardown(() => stage.stop());

/** Resolves with the first answer of `look` that is not undefined. */
async function until<Found>(what: string, look: () => Found | undefined, waitMs = 8000): Promise<Found> {
  const untilMs = performance.now() + waitMs;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() > untilMs) throw new Error(`waited ${waitMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A text conversation of the client, and what it was told. */
async function chat(agentId: string, options: Partial<Options> = {}) {
  const said: string[] = [];
  const heard = {
    said,
    ids: [] as number[],
    parts: [] as string[],
    errors: [] as unknown[][],
    ending: undefined as Disconnected | undefined,
  };
  const conversation = await Conversation.startSession({
    agentId,
    origin: stage.origin,
    textOnly: true,
    onMessage: ({ role, message, event_id: eventId }) => {
      if (role !== 'agent') return;
      said.push(message);
      heard.ids.push(eventId ?? 0);
    },
    onAgentChatResponsePart: ({ type, text }) => heard.parts.push(type === 'delta' ? text : type),
    onError: (...problem) => heard.errors.push(problem),
    onDisconnect: (details) => {
      heard.ending = details;
    },
    ...options,
  } as Options);
  const ask = async (text: string): Promise<string> => {
    const before = said.length;
    conversation.sendUserMessage(text);
    return await until(`an answer to "${text}"`, () => said[before]);
  };
  return { conversation, heard, ask };
}

async function rejection(options: Partial<Options>): Promise<Json> {
  try {
    await Conversation.startSession({ origin: stage.origin, textOnly: true, ...options } as Options);
  } catch (error) {
    const { message, closeCode, closeReason } = error as Error & { closeCode?: number; closeReason?: string };
    return { message, closeCode, closeReason };
  }
  throw new Error('the session was started');
}

const major = Number(process.versions.node.split('.')[0]);
const runs = isFull ? 100 : 20;
for (const [library, name] of [
  ['ws', 'ws'],
  ['global', 'the WebSocket of Node (undici)'],
] as const) {
  test(`C8 the JavaScript client with ${name} receives the first reply in ${runs} of ${runs} runs`, async (t) => {
    const flags = library === 'global' && major < 22 ? ['--experimental-websocket', '--no-warnings'] : [];
    const program = fileURLToPath(new URL('start-race.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...flags,
      program,
      stage.origin,
      'text',
      String(runs),
      library,
    ]);
    t.equal(Number(stdout), runs);
  });
}

test('C5 the JavaScript client rejects startSession with the reason and the code', { buffered: true }, async (t) => {
  t.match(await rejection({ agentId: 'nobody' }), { message: /Unknown agent/, closeCode: 3000, closeReason: /Unknown agent/ });
  t.match(await rejection({ agentId: 'text', authorization: 'wrong-key' } as Partial<Options>), {
    message: /key/,
    closeCode: 3000,
  });
  const forged = `${stage.origin}/v1/convai/conversation?agent_id=text&conversation_signature=v1.YWJj.ZGVm`;
  t.match(await rejection({ signedUrl: forged } as Partial<Options>), { message: /signed URL/, closeCode: 3000 });
});

test('C15 C18 the JavaScript client connects, and is told why it is not served', { buffered: true }, async (t) => {
  const refused = await chat('strict', { overrides: { agent: { prompt: { prompt: 'Be rude.' } } } });
  t.match(await until('the end', () => refused.heard.ending), {
    reason: 'error',
    message: "Override for field 'prompt' is not allowed by config.",
    closeCode: 1008,
  });
  // In Node a client that is late reads the metadata and what follows it at once, and misses the latter.
  const heard = await whileSteady({ lateMaxMs: 10, attemptsMax: 10 }, async () => {
    const missing = await chat('needy');
    await until('the end', () => missing.heard.ending);
    return missing.heard;
  });
  t.match(heard.ending, { reason: 'error', message: /who/, closeCode: 1008 });
  t.match(heard.errors, [[/Server error/, { errorType: 'missing_dynamic_variable', code: 1008 }]]);
});

test('C6 the JavaScript client opens a signed URL', { buffered: true }, async (t) => {
  const { signed_url: signedUrl } = await stage.rest('GET', '/v1/convai/conversation/get_signed_url?agent_id=text');
  const { conversation, ask } = await chat('text', {
    agentId: undefined,
    origin: undefined,
    signedUrl: String(signedUrl),
  } as Partial<Options>);
  t.match(await ask('Hello'), /\w/);
  await conversation.endSession();
});

test('C48 (JavaScript client, text) messages, parts, ids, variables, overrides, context, activity, feedback, its own end', {
  buffered: true,
}, async (t) => {
  const { conversation, heard, ask } = await chat('text', { dynamicVariables: { name: 'Ada' }, userId: 'u-48' });
  t.equal(await until('the first message', () => heard.said[0]), 'Hello Ada.');
  conversation.sendContextualUpdate('The cart holds a lamp.');
  conversation.sendUserActivity();
  const answer = await ask('What is in the cart of the client?');
  t.equal(heard.parts.slice(heard.parts.lastIndexOf('start')).join('|').replaceAll('|', ''), `start${answer}stop`);
  t.ok(heard.ids[1]! > heard.ids[0]!, 'ids grow');
  const [body] = await stage.asked('cart of the client');
  t.match(textOf(body?.messages[0]?.content), /holds a lamp/);
  conversation.sendFeedback(true);
  const id = conversation.getId();
  const document = await stage.stored(id, (found) => {
    const items = found['transcript'] as Json[];
    return items.some(({ feedback }) => feedback !== undefined && feedback !== null) ? found : undefined;
  });
  const rated = (document['transcript'] as Json[]).find(({ feedback }) => feedback !== undefined && feedback !== null);
  t.match(rated, { source_event_id: heard.ids[1], feedback: { score: 'like' } }, 'the newest reply is rated');
  t.equal(document['user_id'], 'u-48');
  await conversation.endSession();
  t.match(heard.ending, { reason: 'user' });
  t.same(heard.errors, []);
  const other = await chat('open', {
    overrides: { agent: { firstMessage: 'Moin.', language: 'de', prompt: { prompt: 'You are terse.' } } },
  });
  t.equal(await until('the first message', () => other.heard.said[0]), 'Moin.');
  await other.conversation.endSession();
});

test('C44 the JavaScript client is told that the time is over', { buffered: true }, async (t) => {
  const { heard } = await chat('short');
  t.match(await until('the end', () => heard.ending), { reason: 'error', message: /maximum call duration/i });
});

/** Contents of the tool messages of the newest request that began with `question`. */
async function toolTexts(question: string): Promise<string[]> {
  const bodies: readonly ChatBody[] = await stage.asked(question);
  const messages = bodies.at(-1)?.messages ?? [];
  const turn = messages.slice(messages.findLastIndex(({ role }) => role === 'user'));
  return turn.filter(({ role }) => role === 'tool').map(({ content }) => textOf(content));
}

test('C39 the JavaScript client runs tools: text, object, number, nothing, one that throws, one it does not have', {
  buffered: true,
}, async (t) => {
  const given: unknown[] = [];
  const clientTools = {
    as_text: (parameters: unknown) => {
      given.push(parameters);
      return 'It is sunny.';
    },
    as_object: () => ({ sky: 'clear' }),
    as_number: () => 21,
    as_nothing: () => undefined,
    throws: () => {
      throw new Error('out of order');
    },
  };
  const { conversation, heard, ask } = await chat('tools', { clientTools } as unknown as Partial<Options>);
  const cases: readonly (readonly [string, string | RegExp])[] = [
    ['as_text', 'It is sunny.'],
    ['as_object', '{"sky":"clear"}'],
    ['as_number', '21'],
    ['as_nothing', 'Client tool execution successful.'],
    ['throws', /failed: out of order/],
    ['unknown', /unknown is not defined on client/],
  ];
  for (const [name, expected] of cases) {
    const question = `Call the tool ${name} now`;
    await stage.answers({ match: question, toolCall: { name, arguments: { city: 'Rome' } }, afterTool: `${name} is done.` });
    t.equal(await ask(question), `${name} is done.`);
    t.match(await toolTexts(question), [expected], name);
  }
  t.same(given, [{ city: 'Rome' }]);
  t.equal(heard.errors.length, 2, 'the application was told of the two that failed');
  await conversation.endSession();
});

test('C42 the JavaScript client asks its application for approval', { buffered: true }, async (t) => {
  const server = await LocalMcp.open(offering({ tools: [mcpTool('search')], call: () => text('found it') }));
  t.teardown(() => server.die());
  const config = { name: 'local', url: server.url, transport: 'STREAMABLE_HTTP', approval_policy: 'require_approval_all' };
  const { id: serverId } = await stage.rest('POST', '/v1/convai/mcp-servers', { config });
  const created = await stage.rest('POST', '/v1/convai/agents/create', {
    conversation_config: {
      agent: { prompt: { mcp_server_ids: [serverId] } },
      conversation: { text_only: true, client_events: ['agent_response', 'mcp_tool_call', 'mcp_connection_status'] },
    },
  });
  const states: unknown[] = [];
  let isReady = false;
  const options = {
    onMCPConnectionStatus: () => {
      isReady = true;
    },
    onMCPToolCall: ({ state }: { state: string }) => states.push(state),
    onMCPToolApprovalRequest: ({ parameters }: { parameters: { a?: string } }) => parameters.a === 'good',
  };
  const { conversation, ask } = await chat(String(created['agent_id']), options as unknown as Partial<Options>);
  await until('the tools', () => (isReady ? true : undefined));
  await ask('Which tools does the application have?');
  const [body] = await stage.asked('Which tools does the application have?');
  const names = ((body?.['tools'] ?? []) as { function: Json }[]).map((each) => String(each.function['name']));
  const name = names.find((each) => each.includes('search')) ?? '';
  for (const [what, expected] of [
    ['good', /found it/],
    ['bad', /did not approve/],
  ] as const) {
    const question = `Search for something ${what}`;
    await stage.answers({ match: question, toolCall: { name, arguments: { a: what } } });
    await ask(question);
    t.match(await toolTexts(question), [expected]);
  }
  t.same(states, ['awaiting_approval', 'loading', 'success', 'awaiting_approval', 'failure']);
  await conversation.endSession();
});

/** The voice client with this microphone instead of a device; `onPcm` gets what it would play. */
function installAudio(microphone: Microphone, onPcm: (pcm: Buffer) => void, onInterrupt: () => void): void {
  const meter = { getAnalyser: () => undefined, getVolume: () => 0, getByteFrequencyData: () => undefined };
  const strategy = async (options: Parameters<typeof createConnection>[0]) => {
    const connection = await createConnection(options);
    const onAudio = (event: { audio_base_64: string }): void => onPcm(Buffer.from(event.audio_base_64, 'base64'));
    const socket = connection as unknown as {
      addListener(listener: typeof onAudio): void;
      removeListener(listener: typeof onAudio): void;
    };
    socket.addListener(onAudio);
    let dueAtMs = performance.now();
    const timer = setInterval(() => {
      for (; dueAtMs <= performance.now(); dueAtMs += 20) {
        const frame = microphone.takeFrame() ?? new Int16Array(frameSamples);
        connection.sendMessage({ user_audio_chunk: bytesOf(frame).toString('base64') });
      }
    }, 20);
    const close = async (): Promise<void> => clearInterval(timer);
    return {
      connection,
      input: { ...meter, close, setDevice: async () => {}, setMuted: async () => {}, isMuted: () => false },
      output: { ...meter, close: async () => {}, setDevice: async () => {}, setVolume: () => undefined, interrupt: onInterrupt },
      playbackEventTarget: null,
      detach: async () => {
        clearInterval(timer);
        socket.removeListener(onAudio);
      },
    };
  };
  setSetupStrategy(strategy as unknown as Parameters<typeof setSetupStrategy>[0]);
}

test('C48 (JavaScript client, voice in Node) a spoken question, its answer, an interruption, the next answer', async (t: Test) => {
  const [question, interruption] = [
    await speechOf(stage, 'Please tell me a long story.'),
    await speechOf(stage, 'Wait, when does the train leave?'),
  ];
  await stage.answers({ match: 'train leave', text: 'It leaves at nine.' });
  const microphone = new Microphone(0);
  let position = 0;
  const say = (clip: { readonly samples: Int16Array }): void => void microphone.place(clip.samples, position);
  let pcmBytes = 0;
  let interrupts = 0;
  const taken = microphone.takeFrame.bind(microphone);
  microphone.takeFrame = () => {
    position += frameSamples;
    return taken();
  };
  installAudio(
    microphone,
    (pcm) => {
      pcmBytes += pcm.length;
    },
    () => {
      interrupts += 1;
    },
  );
  const said: { role: string; message: string }[] = [];
  const modes: string[] = [];
  const corrections: Json[] = [];
  const alignments: unknown[] = [];
  let pings = 0;
  let ending: Disconnected | undefined;
  const conversation = await Conversation.startSession({
    agentId: 'voice',
    origin: stage.origin,
    connectionType: 'websocket',
    onMessage: ({ role, message }) => said.push({ role, message }),
    onModeChange: ({ mode }) => modes.push(mode),
    onAgentResponseCorrection: (correction) => corrections.push(correction as unknown as Json),
    onAudioAlignment: (alignment) => alignments.push(alignment),
    onPing: () => {
      pings += 1;
    },
    onDisconnect: (details) => {
      ending = details;
    },
  });
  await until('the greeting', () => said.find(({ message }) => message === 'Hello there.'));
  // Heard to its end: words over it would interrupt it.
  let [heardBytes, heardAtMs] = [0, performance.now()];
  await until('the end of the greeting', () => {
    if (pcmBytes > heardBytes) [heardBytes, heardAtMs] = [pcmBytes, performance.now()];
    return heardBytes > 0 && performance.now() - heardAtMs > quietMs ? true : undefined;
  });
  const before = pcmBytes;
  say(question);
  await until('the story', () =>
    said.some(({ role, message }) => role === 'user' && /long story/.test(message)) && pcmBytes > before + 64_000
      ? true
      : undefined,
  );
  say(interruption);
  await until('the next answer', () => said.find(({ message }) => message === 'It leaves at nine.'));
  t.equal(interrupts, 1, 'the client stopped its output once');
  t.equal(corrections.length, 1);
  const { original_agent_response: original, corrected_agent_response: corrected } = corrections[0] as Record<string, string>;
  t.ok(original!.startsWith(corrected!) && corrected !== original, 'what was heard is a prefix');
  t.ok(modes.includes('speaking') && modes.includes('listening'), modes.join(' '));
  t.ok(alignments.length > 0 && pings > 0);
  await conversation.endSession();
  t.match(ending, { reason: 'user' });
});
