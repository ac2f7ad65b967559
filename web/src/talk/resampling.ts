/**
 * Browsers that cannot capture at a chosen rate (Firefox) need a resampler on their audio thread. The official client takes its address as an
 * option, but for its loudspeaker side forgets to use it and asks a public host, which this page's policy forbids. Both get the console's own.
 */
import resamplerUrl from './resampler.worklet.js?url';

export { resamplerUrl };

const foreignResampler = /^https:.*\/libsamplerate[^/]*\.js$/;
let isServed = false;

export function serveResampler(): void {
  if (isServed) return;
  isServed = true;
  const { addModule } = AudioWorklet.prototype;
  AudioWorklet.prototype.addModule = function (this: AudioWorklet, url, options) {
    return addModule.call(this, foreignResampler.test(String(url)) ? resamplerUrl : url, options);
  };
}
