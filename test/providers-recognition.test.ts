/** The simulated recogniser, asked by the official SDKs: words come from registered audio that arrived, and from nothing else. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { test } from 'tap';
import { ClipLibrary } from '../load/providers/clips.js';
import { boundaryOf, readForm } from '../load/providers/multipart.js';
import { Recogniser } from '../load/providers/recognise.js';
import { randomOf } from '../load/providers/seeded.js';
import { startProviders } from '../load/providers/server.js';
import { decodeMulaw, encodeMulaw } from '../src/audio/mulaw.js';
import { resample } from '../src/audio/resample.js';
import { writeWav } from '../src/audio/wav.js';
import { hz, inputRateHz } from '../src/shared/units.js';
import { base64Of, control, failureOf, groqAt, openaiAt, started, wavOf } from './support/provider-clients.js';

type WordLabel = [number, number, string];

/** Words as bursts of seeded noise, 200 ms each, 100 ms apart: as good as speech for a recogniser that compares. */
function burstClip(seed: number, words: readonly string[]): { audio: Int16Array; labels: WordLabel[] } {
  const random = randomOf(seed, 'burst');
  const audio = new Int16Array((words.length * 300 + 200) * 16);
  const labels = words.map((word, index): WordLabel => {
    const startMs = 200 + index * 300;
    let low = 0;
    for (let at = startMs * 16; at < (startMs + 200) * 16; at += 1) {
      low += 0.3 * ((random() - 0.5) * 12000 - low);
      audio[at] = Math.round(low);
    }
    return [startMs, startMs + 200, word];
  });
  return { audio, labels };
}

const sentence = ['I', 'would', 'like', 'to', 'go', 'on', 'Friday.'];

test('groq-sdk: words come only from registered audio that arrived', async (t) => {
  const { url } = await started(t);
  const groq = groqAt(url);
  const { audio, labels } = burstClip(1, sentence);
  const other = burstClip(2, ['Thank', 'you!']);
  const hear = async (samples: Int16Array): Promise<string> => {
    const answer = await groq.audio.transcriptions.create({
      file: wavOf(samples),
      model: 'whisper-large-v3-turbo',
      language: 'en',
    });
    return answer.text;
  };
  t.equal(await hear(audio), '', 'nothing is registered yet');
  const registered = await control(url, 'POST', 'clips', [
    { id: 'friday', rateHz: 16000, pcmBase64: base64Of(audio), words: labels },
    { id: 'thanks', rateHz: 16000, pcmBase64: base64Of(other.audio), words: other.labels },
  ]);
  t.same(registered['registered'], ['friday', 'thanks']);

  t.equal(await hear(audio), ' I would like to go on Friday.', 'with the leading space of the real service');
  t.equal(await hear(new Int16Array(16000)), '', 'silence');
  t.equal(await hear(burstClip(99, ['unknown', 'words']).audio), '', 'sound that nobody registered');
  t.equal(await hear(audio.subarray(450 * 16)), ' would like to go on Friday.', 'the beginning is missing');
  t.equal(
    await hear(audio.subarray(0, (2000 + 170) * 16)),
    ' I would like to go on Friday',
    'four fifths of the last word: no full stop yet',
  );
  t.equal(await hear(audio.subarray(0, (2000 + 120) * 16)), ' I would like to go on', 'three fifths of the last word');
  const gap = audio.slice();
  gap.fill(0, 800 * 16, 1000 * 16);
  t.equal(await hear(gap), ' I would to go on Friday.', 'a word that was gated away');
  const joined = new Int16Array(other.audio.length + 8000 + audio.length * 2);
  joined.set(other.audio, 0);
  joined.set(audio, other.audio.length + 8000);
  joined.set(audio, other.audio.length + 8000 + audio.length);
  t.equal(
    await hear(joined),
    ` Thank you! ${sentence.join(' ')} ${sentence.join(' ')}`,
    'in the order of the audio, as often as it came',
  );

  t.match(await failureOf(groqAt(url, 'invalid').models.list().then()), { status: 401 });
  const keyless = await fetch(`${url}/openai/v1/audio/transcriptions`, { method: 'POST' });
  t.equal(keyless.status, 401);
  t.same(await keyless.json(), { error: { message: 'Invalid API Key', type: 'invalid_request_error', code: 'invalid_api_key' } });
});

test('groq-sdk and openai: formats, limits and refusals of recognition', async (t) => {
  const { url, services } = await started(t);
  const { audio, labels } = burstClip(3, ['Hello', 'there.']);
  await control(url, 'POST', 'clips', { id: 'hello', rateHz: 16000, pcmBase64: base64Of(audio), words: labels });
  const create = (extra: object, file = wavOf(audio)): Promise<unknown> =>
    groqAt(url).audio.transcriptions.create({ file, model: 'whisper-large-v3', ...extra });

  const verbose = (await create({ response_format: 'verbose_json', timestamp_granularities: ['word', 'segment'] })) as {
    text: string;
    duration: number;
    words: unknown;
    segments: { no_speech_prob: number }[];
  };
  t.match(verbose, { task: 'transcribe', language: 'English', text: ' Hello there.', duration: 0.8, x_groq: { id: String } });
  t.same(verbose.words, [
    { word: 'Hello', start: 0.2, end: 0.4 },
    { word: 'there.', start: 0.5, end: 0.7 },
  ]);
  t.ok(verbose.segments[0]!.no_speech_prob < 0.1);
  const silent = (await create({ response_format: 'verbose_json' }, wavOf(new Int16Array(8000)))) as typeof verbose;
  t.ok(silent.segments[0]!.no_speech_prob > 0.8, 'silence is likely no speech');
  t.equal(await create({ response_format: 'text' }), ' Hello there.');
  const openai = await openaiAt(url).audio.transcriptions.create({ file: wavOf(audio), model: 'whisper-1' });
  t.equal(openai.text, 'Hello there.', 'OpenAI trims');

  const refusals: [string, object, File | undefined, number][] = [
    ['a model that cannot hear', { model: 'llama-3.1-8b-instant' }, undefined, 404],
    ['an unknown format', { response_format: 'vtt' }, undefined, 400],
    ['a language that is none', { language: 'English' }, undefined, 400],
    ['a temperature out of range', { temperature: 1.5 }, undefined, 400],
    ['an unknown field', { colour: 'blue' }, undefined, 400],
    ['word times without verbose_json', { timestamp_granularities: ['word'] }, undefined, 400],
    ['a file that is no sound', {}, new File(['hello'], 'a.wav'), 400],
    ['a file without a type', {}, new File([writeWav({ channels: [audio], rateHz: inputRateHz })], 'audio'), 400],
    ['too short', {}, wavOf(new Int16Array(100)), 400],
  ];
  for (const [name, extra, file, status] of refusals) t.match(await failureOf(create(extra, file)), { status }, name);

  // The same words at another level, through a telephone, and at 8 kHz: found by correlation.
  const quiet = Int16Array.from(audio, (sample) => Math.round(sample * 0.3));
  const narrow = resample(audio, inputRateHz, hz(8000));
  const telephone = decodeMulaw(encodeMulaw(narrow));
  for (const [name, file] of [
    ['quieter', wavOf(quiet)],
    ['8 kHz', wavOf(narrow, 8000)],
    ['telephone', wavOf(resample(telephone, hz(8000), inputRateHz))],
  ] as const) {
    t.match(await create({}, file), { text: ' Hello there.' }, name);
  }
  const log = services.journal.entries();
  t.equal(log[0]!.exactRatio, 1);
  t.ok(log.at(-1)!.exactRatio! < 0.5, 'the journal says how the words were found');
});

test('recogniser: a word is heard exactly when four fifths of it arrived', async (t) => {
  const recogniser = new Recogniser(new ClipLibrary());
  const words = Array.from({ length: 12 }, (_, index) => `w${index}`);
  const { audio, labels } = burstClip(5, words);
  recogniser.index(await recogniser.library.register({ id: 'a', rateHz: 16000, pcmBase64: base64Of(audio), words: labels }));
  const none = { ratio: 0, seed: 1 };
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 190, maxLength: 190 }), fc.integer({ min: 0, max: 2000 }), (lost, lead) => {
      const received = new Int16Array(lead + audio.length);
      received.set(audio, lead);
      const kept = new Uint8Array(audio.length).fill(1);
      for (const [frame, isLost] of lost.entries()) {
        // Lost in runs, as networks lose: a frame goes when its neighbour does too.
        if (!isLost || lost[frame + 1] !== true) continue;
        kept.fill(0, frame * 320, (frame + 1) * 320);
        received.fill(0, lead + frame * 320, lead + (frame + 1) * 320);
      }
      const share = ([startMs, endMs]: WordLabel): number => {
        const bits = kept.subarray(startMs * 16, endMs * 16);
        return bits.reduce((sum, bit) => sum + bit, 0) / bits.length;
      };
      const expected = labels.filter((label) => share(label) >= 0.8).map(([, , word]) => word);
      const heard = recogniser.hear(received, none).words.map((word) => word.text);
      return JSON.stringify(heard) === JSON.stringify(expected);
    }),
    { numRuns: 60 },
  );
  const errors = { ratio: 0.4, seed: 9 };
  const once = recogniser.hear(audio, errors).words.map((word) => word.text);
  t.same(
    recogniser.hear(audio, errors).words.map((word) => word.text),
    once,
    'errors are the same in every request',
  );
  t.not(once.join(' '), words.join(' '), 'and there are some');
  const firstHalf = recogniser.hear(audio.subarray(0, audio.length / 2), errors).words.map((word) => word.text);
  t.same(once.slice(0, firstHalf.length), firstHalf, 'a partial errs as the final does');
});

test('clips: a lane may grow while it is played, and mistakes are named', async (t) => {
  const { url } = await started(t);
  const { audio, labels } = burstClip(6, ['one', 'two', 'three']);
  const half = 650 * 16;
  await control(url, 'POST', 'clips', {
    id: 'lane',
    rateHz: 16000,
    pcmBase64: base64Of(audio.slice(0, half)),
    words: labels.slice(0, 1),
    append: true,
  });
  await control(url, 'POST', 'clips', {
    id: 'lane',
    rateHz: 16000,
    pcmBase64: base64Of(audio.slice(half)),
    words: labels.slice(1),
    append: true,
  });
  const heard = await groqAt(url).audio.transcriptions.create({ file: wavOf(audio), model: 'whisper-large-v3' });
  t.equal(heard.text, ' one two three', 'also the word across the seam');
  const bad = async (clip: object): Promise<unknown> => (await control(url, 'POST', 'clips', clip))['error'];
  const pcmBase64 = base64Of(audio);
  t.match(await bad({ id: 'x', rateHz: 16000, pcmBase64, words: [[0, 150, 'hush']] }), /no sound/);
  t.match(await bad({ id: 'x', rateHz: 16000, pcmBase64, words: [[5000, 5200, 'late']] }), /beyond/);
  t.match(await bad({ id: 'x', pcmBase64, words: [] }), /rateHz/);
  t.match(await bad({ id: 'x', words: [] }), /either/);
  t.equal((await control(url, 'DELETE', 'clips'))['httpStatus'], 200);
  const after = await groqAt(url).audio.transcriptions.create({ file: wavOf(audio), model: 'whisper-large-v3' });
  t.equal(after.text, '', 'forgotten');
});

test('clips: from a folder of files, and again', async (t) => {
  const folder = t.testdir({});
  const { audio, labels } = burstClip(7, ['from', 'a', 'file.']);
  await writeFile(join(folder, 'lane.wav'), writeWav({ channels: [audio], rateHz: inputRateHz }));
  await writeFile(join(folder, 'lane.json'), JSON.stringify({ clips: [{ id: 'lane', path: 'lane.wav', words: labels }] }));
  const { url, services } = await started(t, { clips: folder });
  const hear = async (): Promise<string> =>
    (await groqAt(url).audio.transcriptions.create({ file: wavOf(audio), model: 'whisper-large-v3' })).text;
  t.equal(await hear(), ' from a file.');
  const again = labels.map(([startMs, endMs, word]): WordLabel => [startMs, endMs, word.toUpperCase()]);
  await control(url, 'POST', 'clips', { id: 'lane', rateHz: 16000, pcmBase64: base64Of(audio), words: again });
  t.equal(await hear(), ' FROM A FILE.', 'the same audio with other words');
  const other = burstClip(8, ['new', 'audio']);
  await control(url, 'POST', 'clips', { id: 'lane', rateHz: 16000, pcmBase64: base64Of(other.audio), words: other.labels });
  t.equal(await hear(), '', 'replaced');
  t.match(await control(url, 'GET', 'clips'), { clips: [{ id: 'lane', durationMs: 800, words: 2 }] });
  t.equal(services.recogniser.library.clips.length, 1);
  await t.rejects(startProviders({ clips: join(folder, 'absent') }), { code: 'ENOENT' });
});

test('forms: every part comes out as it went in', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.string({ unit: 'grapheme', maxLength: 40 }), async (bytes, text) => {
      const form = new FormData();
      form.append('file', new File([bytes], 'a b.wav', { type: 'audio/wav' }));
      form.append('prompt', text);
      const request = new Response(form);
      const boundary = boundaryOf(request.headers.get('content-type') ?? undefined);
      const read = readForm(Buffer.from(await request.arrayBuffer()), boundary!);
      const [file, prompt] = 'parts' in read ? read.parts : [];
      const isFile = file?.data.equals(Buffer.from(bytes)) && file.fileName === 'a b.wav' && file.contentType === 'audio/wav';
      // Forms write line ends as CR LF.
      return isFile === true && prompt?.data.toString() === text.replace(/\r\n|\r|\n/g, '\r\n');
    }),
    { numRuns: 50 },
  );
  for (const broken of ['', '--x\r\nfoo', '--x\r\ncontent-disposition: form-data\r\n\r\nv\r\n--x--', '--y\r\n']) {
    t.ok('problem' in readForm(Buffer.from(broken), 'x'), JSON.stringify(broken));
  }
});
