/**
 * The conversation class of the official Node SDK: it asks for a signed URL, speaks before it has the metadata, runs tools, and closes without a
 * code.
 */
import { ElevenLabsClient } from '@elevenlabs/elevenlabs-js';
import { ClientTools, Conversation } from '@elevenlabs/elevenlabs-js/api/resources/conversationalAi/conversation/index.js';
import { t as file, test } from 'tap';
import { bytesOf, speechOf } from './speech.js';
import { agentOf, apiKey, type Json, placesMax, Stage, textOf } from './stage.js';

const tools = ['as_object', 'as_number', 'as_nothing', 'throws', 'unknown'].map((name) => ({
  type: 'client',
  name,
  description: `Does ${name}.`,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  expects_response: true,
}));
const stage = await Stage.start({
  agents: [
    agentOf('guarded', { agent: { first_message: '' }, prompt: { tools }, platform: { auth: { enable_auth: true } } }),
    agentOf('open', { agent: { first_message: 'Hello {{name}}.' } }),
  ],
});
file.teardown(() => stage.stop());
const sdk = new ElevenLabsClient({ apiKey, baseUrl: stage.http });

/** Its own recorder sends 250 ms at a time. */
const recorderMs = 250;
const recorderBytes = 8000;

type Session = {
  readonly conversation: Conversation;
  readonly said: string[];
  readonly transcripts: string[];
  readonly corrections: [string, string][];
  readonly messages: Json[];
  readonly ended: Promise<readonly unknown[]>;
  played: number;
  interrupts: number;
  say(clip: { readonly samples: Int16Array }): void;
  /** The first answer of `look` that is not undefined, asked every 5 ms. */
  until<Found>(look: () => Found | undefined): Promise<Found>;
};

async function start(agentId: string, clientTools?: ClientTools, early?: { readonly samples: Int16Array }): Promise<Session> {
  const queue: Buffer[] = [];
  let timer: NodeJS.Timeout | undefined;
  const place = ({ samples }: { readonly samples: Int16Array }): void => {
    const bytes = bytesOf(samples);
    for (let at = 0; at < bytes.length; at += recorderBytes) queue.push(bytes.subarray(at, at + recorderBytes));
  };
  const said: string[] = [];
  const transcripts: string[] = [];
  const corrections: [string, string][] = [];
  const messages: Json[] = [];
  const counts = { played: 0, interrupts: 0 };
  if (early !== undefined) place(early);
  const conversation = new Conversation({
    conversationClient: sdk,
    agentId,
    requiresAuth: true,
    audioInterface: {
      start: (send: (pcm: Buffer) => void) => {
        const tick = (): void => send(queue.shift() ?? Buffer.alloc(recorderBytes));
        tick();
        timer = setInterval(tick, recorderMs);
      },
      stop: () => clearInterval(timer),
      output: (pcm: Buffer) => {
        counts.played += pcm.length;
      },
      interrupt: () => {
        counts.interrupts += 1;
      },
    },
    ...(clientTools === undefined ? {} : { clientTools }),
    config: { extraBody: {}, conversationConfigOverride: {}, dynamicVariables: { name: 'Ada' } },
    callbackAgentResponse: (text) => said.push(text),
    callbackAgentResponseCorrection: (original, corrected) => corrections.push([original, corrected]),
    callbackUserTranscript: (text) => transcripts.push(text),
    callbackMessageReceived: (message) => messages.push(message as Json),
  });
  const ended = new Promise<readonly unknown[]>((resolve) =>
    conversation.once('session_ended', (...details) => resolve(details)),
  );
  await conversation.startSession();
  const until = async <Found>(look: () => Found | undefined): Promise<Found> => {
    for (const untilMs = performance.now() + 10_000; performance.now() < untilMs; ) {
      const found = look();
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`waited 10 s; received ${messages.map(({ type }) => type).join(' ')}`);
  };
  const session = { conversation, said, transcripts, corrections, messages, ended, say: place, until };
  return Object.defineProperties(session, {
    played: { get: () => counts.played },
    interrupts: { get: () => counts.interrupts },
  }) as Session;
}

test('C48 (Node SDK) a signed URL, speech before the metadata, an answer, an interruption, its own end', async (t) => {
  const question = await speechOf(stage, 'Please tell me a long story.');
  const interruption = await speechOf(stage, 'Wait, when does the train leave?');
  await stage.answers({ match: 'train leave', text: 'It leaves at nine.' });
  const session = await start('guarded', undefined, question);
  const { conversation, said, transcripts, corrections } = session;
  await session.until(() => (said.length > 0 && session.played > 64_000 ? true : undefined));
  t.equal(transcripts[0], 'Please tell me a long story.', 'not a word of the early speech is lost');
  session.say(interruption);
  await session.until(() => said.find((text) => text === 'It leaves at nine.'));
  t.equal(session.interrupts, 1);
  t.ok(corrections[0]![0].startsWith(corrections[0]![1]));
  t.match(session.messages[0], { type: 'conversation_initiation_metadata' });
  const conversationId = conversation.getConversationId() ?? '';
  t.match(conversationId, /^conv_/);
  conversation.endSession();
  await session.ended;
  t.ok((await stage.freeAfterMs(placesMax, 1000)) !== undefined, 'its place is free');
  const reason = await stage.stored(conversationId, (document) => {
    const { termination_reason: found } = document['metadata'] as Json;
    return document['status'] === 'done' ? found : undefined;
  });
  t.match(reason, /1005/, 'it closes without a code');
});

test('C18 C23 C24 (Node SDK) variables, typed messages, context, activity', async (t) => {
  const session = await start('open');
  await session.until(() => session.said.find((text) => text === 'Hello Ada.'));
  session.conversation.sendContextualUpdate('The cart holds a lamp.');
  session.conversation.registerUserActivity();
  session.conversation.sendUserMessage('What is in the cart of the SDK?');
  await session.until(() => session.said[1]);
  const [body] = await stage.asked('cart of the SDK');
  t.match(textOf(body?.messages[0]?.content), /holds a lamp/);
  t.same(session.transcripts, []);
  session.conversation.endSession();
});

test('C39 (Node SDK) tools: an object and a number as they are, nothing, one that throws, one it does not have', async (t) => {
  const clientTools = new ClientTools();
  const given: unknown[] = [];
  clientTools.register('as_object', async (parameters) => {
    given.push(parameters);
    return { sky: 'clear', degrees: 21 };
  });
  clientTools.register('as_number', () => 21.5);
  clientTools.register('as_nothing', () => undefined);
  clientTools.register('throws', () => {
    throw new Error('out of order');
  });
  const session = await start('guarded', clientTools);
  const cases: readonly (readonly [string, string | RegExp])[] = [
    ['as_object', '{"sky":"clear","degrees":21}'],
    ['as_number', '21.5'],
    ['as_nothing', /called successfully/],
    ['throws', 'out of order'],
    ['unknown', /not registered/],
  ];
  for (const [name, expected] of cases) {
    const question = `Call the tool ${name} now`;
    await stage.answers({ match: question, toolCall: { name, arguments: { city: 'Rome' } }, afterTool: `${name} is done.` });
    session.conversation.sendUserMessage(question);
    await session.until(() => session.said.find((text) => text === `${name} is done.`));
    const messages = (await stage.asked(question)).at(-1)?.messages ?? [];
    const result = messages.findLast(({ role }) => role === 'tool')?.content;
    t.match(textOf(result), expected, name);
  }
  t.match(given, [{ city: 'Rome', tool_call_id: /\w/ }]);
  session.conversation.endSession();
});
