/** The simulated synthesisers: speech whose every word has a known place, over HTTP and over the ElevenLabs sockets. */
import { test } from 'tap';
import { EncodedSpeech, outputFormatOf } from '../load/providers/formats.js';
import { loadVoice, numberWords, type Speech } from '../load/providers/voice.js';
import { nowMs } from '../src/shared/clock.js';
import { bytesOf, control, failureOf, isFinalOf, multi, openaiAt, SocketClient, started } from './support/provider-clients.js';

const voice = await loadVoice();

/** What is heard where the exact times say a word is. */
function levelOf(speech: Speech, fromMs: number, toMs: number): number {
  const part = speech.audio.subarray(fromMs * 16, toMs * 16);
  return Math.sqrt(part.reduce((sum, sample) => sum + sample * sample, 0) / Math.max(1, part.length));
}

test('voice: every word and character has its exact place', (t) => {
  const text = 'Well, "that" costs 42 dollars — or 1305. Fine?';
  const speech = voice.speak(text);
  t.same(
    speech.words.map((word) => word.word),
    ['Well,', '"that"', 'costs', '42', 'dollars', 'or', '1305.', 'Fine?'],
  );
  t.equal(speech.chars.chars.join(''), text);
  t.equal(speech.normalized.chars.join(''), ' Well, "that" costs forty two dollars — or one thousand three hundred five. Fine?');
  for (const timed of [speech.chars, speech.normalized]) {
    let endMs = 0;
    for (const [index, startMs] of timed.startMs.entries()) {
      if (startMs !== endMs) t.fail(`character ${index} begins at ${startMs}, not at ${endMs}`);
      endMs = startMs + timed.durationMs[index]!;
    }
    t.equal(endMs, speech.durationMs);
  }
  t.equal(speech.audio.length, speech.durationMs * 16);
  for (const { word, startMs, endMs } of speech.words) t.ok(levelOf(speech, startMs, endMs) > 300, `${word} sounds`);
  for (const [index, { endMs, word }] of speech.words.entries()) {
    const nextMs = speech.words[index + 1]?.startMs ?? speech.durationMs;
    t.equal(levelOf(speech, endMs, nextMs), 0, `silence after ${word}`);
  }
  t.same(voice.speak(text), speech, 'the same every time');
  t.equal(numberWords(999_999).join(' '), 'nine hundred ninety nine thousand nine hundred ninety nine');
  t.equal(voice.speak('').durationMs, 0);
  t.equal(voice.speak('…').words.length, 0);
  t.end();
});

test('openai: speech is streamed at 24 kHz, raw or as WAV', async (t) => {
  const { url } = await started(t);
  const input = 'Hello there, my friend.';
  const expected = new EncodedSpeech(voice.speak(input), outputFormatOf('pcm_24000')!).bytes;
  const speak = async (extra: object): Promise<Buffer> => {
    const answer = await openaiAt(url).audio.speech.create({
      model: 'tts-1',
      voice: 'alloy',
      input,
      response_format: 'pcm',
      ...extra,
    });
    t.equal(answer.headers.get('server'), 'parley-simulated-providers');
    return Buffer.from(await answer.arrayBuffer());
  };
  t.ok((await speak({})).equals(expected));
  const wav = await speak({ response_format: 'wav' });
  t.equal(wav.toString('latin1', 0, 4), 'RIFF');
  t.equal(wav.readUInt32LE(24), 24000);
  t.ok(wav.subarray(44).equals(expected));
  t.match(await failureOf(speak({ response_format: 'mp3' })), { status: 400 });
  t.match(await failureOf(speak({ input: '' })), { status: 400 });

  const http = await fetch(`${url}/v1/text-to-speech/anna/stream?output_format=ulaw_8000`, {
    method: 'POST',
    headers: { 'xi-api-key': 'test' },
    body: JSON.stringify({ text: input, model_id: 'eleven_flash_v2_5' }),
  });
  const ulaw = new EncodedSpeech(voice.speak(input), outputFormatOf('ulaw_8000')!).bytes;
  t.ok(Buffer.from(await http.arrayBuffer()).equals(ulaw), 'ElevenLabs over HTTP');
  const refused = await fetch(`${url}/v1/text-to-speech/anna/stream`, { method: 'POST', body: '{}' });
  t.match(await refused.json(), { detail: { status: 'invalid_api_key', message: String } });
});

test('ElevenLabs: contexts, flush, alignment and final', async (t) => {
  const { url } = await started(t);
  const client = await SocketClient.open(url, multi);
  const text = 'Sure, that costs 42 dollars in total. ';
  client.send(
    {
      context_id: 'a',
      text: ' ',
      voice_settings: { stability: 0.5, speed: 1 },
      generation_config: { chunk_length_schedule: [50, 120] },
    },
    { context_id: 'a', text: 'Sure, that costs ' },
    { context_id: 'a', text: '42 dollars in total. ', flush: true },
    { context_id: 'b', text: 'Other. ', flush: true },
    { text: '' },
  );
  const speech = voice.speak(text);
  await client.until(() => client.audioOf('a').length === bytesOf(speech).length && client.audioOf('b').length > 0);
  t.notOk(
    client.messages.some((each) => each.isFinal),
    'a flush makes nothing final',
  );
  t.ok(client.audioOf('a').equals(bytesOf(speech)), 'both messages spoken as one text');
  t.ok(client.audioOf('b').equals(bytesOf(voice.speak('Other. '))));

  let fromMs = 0;
  const placed: { char: string; startMs: number; durationMs: number }[] = [];
  let normalized = '';
  for (const message of client.messages.filter((each) => each.contextId === 'a')) {
    const { chars, charStartTimesMs, charDurationsMs } = message.alignment!;
    const audioMs = Buffer.from(message.audio!, 'base64').length / 32;
    for (const [index, char] of chars.entries()) {
      const startMs = charStartTimesMs[index]!;
      const durationMs = charDurationsMs[index]!;
      if (startMs + durationMs > audioMs) t.fail(`${char} sounds longer than its message`);
      placed.push({ char, startMs: fromMs + startMs, durationMs });
    }
    normalized += message.normalizedAlignment!.chars.join('');
    fromMs += audioMs;
  }
  t.same(
    placed.map((each) => each.char),
    speech.chars.chars,
  );
  t.same(
    placed.map((each) => each.startMs),
    speech.chars.startMs,
  );
  t.same(
    placed.map((each) => each.durationMs),
    speech.chars.durationMs,
  );
  t.equal(normalized, ' Sure, that costs forty two dollars in total. ');

  client.send({ context_id: 'a', close_context: true }, { context_id: 'b', text: 'And more. ' });
  await client.until(isFinalOf('a'));
  client.send({ close_socket: true });
  t.equal((await client.closed).code, 1000);
  t.ok(isFinalOf('b')(client.messages), 'closing the socket ends every context');
  t.ok(
    client.audioOf('b').equals(Buffer.concat([bytesOf(voice.speak('Other. ')), bytesOf(voice.speak('And more. '))])),
    'after speaking the rest',
  );
});

test('ElevenLabs: buffering', async (t) => {
  const { url } = await started(t);
  const words = 'several words that make up fifty characters or so, and go on';
  const client = await SocketClient.open(url, multi);
  client.send({ context_id: 'c', text: words, generation_config: { chunk_length_schedule: [50] } });
  const spoken = bytesOf(voice.speak('several words that make up fifty characters or so, and go '));
  await client.until(() => client.audioOf('c').length >= spoken.length);
  t.ok(client.audioOf('c').equals(spoken), 'the threshold speaks whole words and keeps the last');
  client.send({ context_id: 'c', text: 'wards. ', flush: true });
  await client.until(() => client.audioOf('c').length > spoken.length);
  t.ok(
    client
      .audioOf('c')
      .subarray(spoken.length)
      .equals(bytesOf(voice.speak('onwards. '))),
    'pieces are joined as they are',
  );
  client.close();

  const auto = await SocketClient.open(url, `${multi}&auto_mode=true`);
  auto.send({ context_id: 'd', text: 'One. ' }, { context_id: 'd', text: ' ' }, { context_id: 'd', text: 'Two. ' });
  const both = Buffer.concat([bytesOf(voice.speak('One. ')), bytesOf(voice.speak('Two. '))]);
  await auto.until(() => auto.audioOf('d').length >= both.length);
  t.ok(auto.audioOf('d').equals(both), 'auto mode speaks each message, in order');
  auto.close();

  const hurried = await SocketClient.open(url, multi);
  hurried.send({ context_id: 'e', text: 'Lost. ', flush: true }, { context_id: 'e', close_context: true });
  await hurried.until(isFinalOf('e'));
  t.equal(hurried.audioOf('e').length, 0, 'closed right after its text, before any audio: lost');
  hurried.close();

  const single = await SocketClient.open(url, 'stream-input?output_format=pcm_8000');
  single.send({ text: ' ' }, { text: 'Hello there. ' }, { text: '' });
  t.equal((await single.closed).code, 1000, 'the single-context socket is closed by the server');
  t.match(single.messages.at(-1), { isFinal: true, audio: null });
  t.ok(single.audioOf(undefined).equals(new EncodedSpeech(voice.speak('Hello there. '), outputFormatOf('pcm_8000')!).bytes));
});

test('ElevenLabs: what the real service refuses ends the socket with 1008', async (t) => {
  const { url } = await started(t);
  const a = (extra: object): object => ({ context_id: 'a', ...extra });
  const breaches: [string, object[], string][] = [
    [
      'settings after the first message',
      [a({ text: ' ' }), a({ text: 'Hi. ', voice_settings: { stability: 0.5 } })],
      'invalid_input_message',
    ],
    [
      'settings after a keep-alive opened the context',
      [a({ text: '' }), a({ text: ' ', generation_config: {} })],
      'invalid_input_message',
    ],
    ["the other direction's spelling", [{ contextId: 'a', text: 'Hi. ' }], 'invalid_input_message'],
    ['speed out of range', [a({ text: ' ', voice_settings: { speed: 1.3 } })], 'invalid_input_message'],
    ['a schedule out of range', [a({ text: ' ', generation_config: { chunk_length_schedule: [49] } })], 'invalid_input_message'],
    ['text of the wrong type', [a({ text: 5 })], 'invalid_input_message'],
    ['a message without content', [a({})], 'invalid_input_message'],
    ['a sixth context', [1, 2, 3, 4, 5, 6].map((n) => ({ context_id: `c${n}`, text: ' ' })), 'max_active_conversations'],
  ];
  for (const [name, messages, error] of breaches) {
    const client = await SocketClient.open(url, multi);
    client.send(...messages);
    const { code } = await client.closed;
    t.match({ code, ...client.messages.at(-1) }, { code: 1008, error, message: String }, name);
  }
  const queries: [string, string][] = [
    ['an unknown parameter', 'output_format=pcm_16000&optimise=4'],
    ['a seed out of range', 'output_format=pcm_16000&seed=-1'],
    ['a timeout out of range', 'output_format=pcm_16000&inactivity_timeout=181'],
    ['a format it cannot make', 'output_format=mp3_44100_128'],
    ['a model that is not served here', 'output_format=pcm_16000&model_id=eleven_v3'],
  ];
  for (const [name, query] of queries) {
    const client = await SocketClient.open(url, `multi-stream-input?${query}`);
    t.equal((await client.closed).code, 1008, name);
    t.match(client.messages, [{ error: 'invalid_input_message' }], name);
  }
  const keyless = await SocketClient.open(url, multi, {});
  keyless.send({ context_id: 'a', text: ' ' });
  t.equal((await keyless.closed).code, 1008, 'no key');
  const late = await SocketClient.open(url, multi, {});
  late.send({ context_id: 'a', text: 'Hi. ', xi_api_key: 'test', flush: true });
  await late.until(() => late.audioOf('a').length > 0);
  late.close();
  await t.rejects(SocketClient.open(url, multi, { 'xi-api-key': 'invalid' }), /401/);

  // Slots are given back when the audio of a closed context is delivered, and idle sockets and contexts end by themselves.
  const idle = await SocketClient.open(url, `${multi}&inactivity_timeout=1`);
  for (let round = 0; round < 8; round += 1) {
    idle.send({ context_id: `r${round}`, text: 'Yes. ', flush: true });
    await idle.until(() => idle.audioOf(`r${round}`).length > 0);
    idle.send({ context_id: `r${round}`, close_context: true });
    await idle.until(isFinalOf(`r${round}`));
  }
  const fromMs = nowMs();
  idle.send({ context_id: 'idle', text: ' ' });
  const keepAlive = setInterval(() => idle.send({ text: '' }), 250);
  await idle.until(isFinalOf('idle'));
  clearInterval(keepAlive);
  t.ok(nowMs() - fromMs > 950, 'an idle context is closed while the socket is kept alive');
  t.equal((await idle.closed).code, 1008);
  t.match(idle.messages.at(-1), { error: 'input_timeout_exceeded' });
});

test('faults of synthesis', async (t) => {
  const { url } = await started(t);
  const text = 'This is a sentence of several words for you. ';
  const whole = bytesOf(voice.speak(text));
  const inject = (fault: object): Promise<unknown> => control(url, 'POST', 'faults', { endpoint: 'tts', ...fault });
  const speak = async (): Promise<SocketClient> => {
    const client = await SocketClient.open(url, multi);
    client.send({ context_id: 'a', text, flush: true });
    return client;
  };
  await inject({ kind: 'close', position: 'middle' });
  const cut = await speak();
  t.equal((await cut.closed).code, 1006, 'lost in mid-utterance');
  t.ok(cut.audioOf('a').length > 0 && cut.audioOf('a').length < whole.length);

  await inject({ kind: 'error_event' });
  const failed = await speak();
  t.equal((await failed.closed).code, 1008);
  t.match(failed.messages.at(-1), { error: 'internal_error', contextId: 'a' });

  await inject({ kind: 'null_alignment' });
  const unaligned = await speak();
  await unaligned.until(() => unaligned.audioOf('a').length === whole.length);
  t.ok(unaligned.messages.every((each) => each.alignment === null && each.normalizedAlignment === null));
  unaligned.close();

  await inject({ kind: 'split_samples' });
  const split = await speak();
  await split.until(() => split.audioOf('a').length === whole.length);
  t.ok(
    split.messages.some((each) => Buffer.from(each.audio!, 'base64').length % 2 === 1),
    'odd chunks',
  );
  t.ok(split.audioOf('a').equals(whole));
  split.close();

  await inject({ kind: 'both_spellings' });
  const twice = await speak();
  await twice.until(() => twice.audioOf('a').length === whole.length);
  t.match(twice.messages[0], { contextId: 'a', context_id: 'a', alignment: { charsDurationsMs: Array, charDurationsMs: Array } });
  twice.close();

  await inject({ kind: 'missing_final' });
  const endless = await speak();
  await endless.until(() => endless.audioOf('a').length === whole.length);
  endless.send({ context_id: 'a', close_context: true }, { context_id: 'b', text: 'Next. ', flush: true });
  await endless.until(() => endless.audioOf('b').length > 0);
  endless.send({ context_id: 'b', close_context: true });
  await endless.until(isFinalOf('b'));
  t.notOk(isFinalOf('a')(endless.messages));
  endless.close();

  await inject({ kind: 'final_without_audio' });
  const mute = await SocketClient.open(url, `${multi}&auto_mode=true`);
  mute.send({ context_id: 'a', text });
  await control(url, 'GET', 'healthz');
  mute.send({ context_id: 'a', close_context: true });
  await mute.until(isFinalOf('a'));
  t.equal(mute.audioOf('a').length, 0);
  mute.close();

  for (const [kind, problem] of [
    ['status', /429/],
    ['refuse', /hang up|ECONNRESET/],
  ] as const) {
    await control(url, 'POST', 'faults', { endpoint: 'tts_connect', kind, status: 429 });
    await t.rejects(SocketClient.open(url, multi), problem);
  }
});
