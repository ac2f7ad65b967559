/** What becomes of the audio of a speech that was cut: a call keeps it no longer than somebody can still ask for it. */
import { test } from 'tap';
import { hz } from '../src/shared/units.js';
import { CutSpeech } from '../src/tts/cut-speech.js';
import type { TtsProvider, TtsVoice } from '../src/tts/port.js';
import { Speech } from '../src/tts/speech.js';

const rateHz = hz(16000);
/** Half a second, of which half was sent and played. */
const samples = 8000;
const sent = { type: 'cut_sent', slot: 0, generation: 1, epoch: 1, sentPosition: samples / 2, playEndAtMs: 0, atMs: 0 } as const;
const voice: TtsVoice = { voiceId: '', modelId: '', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.5 };
const silent: TtsProvider = {
  name: 'silent',
  warm: async () => undefined,
  close: async () => undefined,
  openStream: () => ({ write: () => undefined, finish: () => undefined, abort: () => undefined, setPaused: () => undefined }),
};

function cutOf(isUndoable: boolean) {
  const heard: { heardMs: number }[] = [];
  const speech = new Speech(1, false, silent, voice, rateHz, () => 0, { onAudio: () => undefined, onProblem: () => undefined });
  speech.audio.append(new Int16Array(samples).fill(1));
  const cut = new CutSpeech(rateHz, (answer) => heard.push(answer));
  cut.ordered(speech, 1, 0, isUndoable);
  const kept = (): number => speech.audio.end - speech.audio.start;
  return { heard, cut, kept };
}

test('a cut that stands: the audio goes when it is known what was heard', (t) => {
  const { heard, cut, kept } = cutOf(false);
  t.equal(kept(), samples, 'what was heard is not known yet');
  cut.sent(sent);
  t.match(heard, [{ heardMs: 250 }]);
  t.equal(kept(), 0);
  t.equal(cut.undo(1), undefined);
  t.end();
});

test('a cut that may be undone: the audio stays until it is discarded', (t) => {
  const { heard, cut, kept } = cutOf(true);
  cut.sent(sent);
  t.match(heard, [{ heardMs: 250 }]);
  t.equal(kept(), samples);
  cut.forget(1);
  t.equal(kept(), 0);
  const { cut: other, kept: keptByOther } = cutOf(true);
  other.sent(sent);
  t.match(other.undo(1), { heardSample: samples / 2 });
  t.equal(keptByOther(), samples, 'it goes on');
  t.end();
});
