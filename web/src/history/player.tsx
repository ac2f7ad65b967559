/** Plays a recording: two lanes of waveform, caller above agent, and a place that is heard. */

import type { Ref } from 'preact';
import { useEffect, useImperativeHandle, useRef, useState } from 'preact/hooks';
import { readAudio } from '../api/conversations.js';
import { messageOf } from '../api/http.js';
import { clockText } from '../talk/timeline.js';
import { coloursOf, onColoursChanged } from '../theme.js';
import { readWaveform, type Waveform } from './wav.js';

export type PlayerHandle = { readonly seek: (seconds: number) => void };

const peakCount = 600;
const laneGapPx = 4;
const keyStepSeconds = 5;

/** `onTime`: the place that is heard, some times a second. */
export function Player(props: { conversationId: string; handle: Ref<PlayerHandle>; onTime: (seconds: number) => void }) {
  const { conversationId, onTime } = props;
  const audio = useRef<HTMLAudioElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [source, setSource] = useState('');
  const [waveform, setWaveform] = useState<Waveform | undefined>(undefined);
  const [problem, setProblem] = useState('');
  const [isPlaying, setPlaying] = useState(false);
  const [atSeconds, setAtSeconds] = useState(0);
  const [knownSeconds, setKnownSeconds] = useState(0);
  const durationSeconds = waveform?.durationSeconds ?? knownSeconds;

  useEffect(() => {
    const abort = new AbortController();
    let url = '';
    readAudio(conversationId, abort.signal).then(
      ({ bytes, type }) => {
        url = URL.createObjectURL(new Blob([bytes], { type }));
        setSource(url);
        setWaveform(readWaveform(bytes, peakCount));
      },
      (error: unknown) => {
        if (!abort.signal.aborted) setProblem(messageOf(error));
      },
    );
    return () => {
      abort.abort();
      if (url !== '') URL.revokeObjectURL(url);
    };
  }, [conversationId]);

  const seek = (seconds: number): void => {
    const { current } = audio;
    if (current === null || durationSeconds === 0) return;
    current.currentTime = Math.max(0, Math.min(durationSeconds, seconds));
    setAtSeconds(current.currentTime);
    onTime(current.currentTime);
  };
  useImperativeHandle(props.handle, () => ({
    seek: (seconds) => {
      seek(seconds);
      void audio.current?.play();
    },
  }));

  const place = useRef(0);
  place.current = durationSeconds === 0 ? 0 : atSeconds / durationSeconds;
  const redraw = useRef(() => {});
  useEffect(() => {
    const target = canvas.current;
    if (target === null || waveform === undefined) return;
    let colours = coloursOf(waveColours);
    redraw.current = () => drawWaveform(target, waveform, place.current, colours);
    const stopColours = onColoursChanged(() => {
      colours = coloursOf(waveColours);
      redraw.current();
    });
    const observer = new ResizeObserver(() => redraw.current());
    observer.observe(target);
    return () => {
      observer.disconnect();
      stopColours();
    };
  }, [waveform]);
  useEffect(() => redraw.current(), [atSeconds, waveform]);

  if (problem !== '') return <p class="quiet">No recording: {problem}</p>;
  const onKeyDown = (event: KeyboardEvent): void => {
    const to = { ArrowLeft: atSeconds - keyStepSeconds, ArrowRight: atSeconds + keyStepSeconds, Home: 0, End: durationSeconds }[
      event.key
    ];
    if (to === undefined) return;
    event.preventDefault();
    seek(to);
  };
  return (
    <div class="player panel">
      <button
        type="button"
        class="primary play icon"
        aria-label={isPlaying ? 'Pause' : 'Play'}
        disabled={source === ''}
        onClick={() => (isPlaying ? audio.current!.pause() : void audio.current!.play())}
      >
        <svg viewBox="0 0 24 24" aria-hidden="true">
          {isPlaying ? <path d="M8 5v14M16 5v14" /> : <path d="M8 5.500v13l10.500-6.500z" class="solid" />}
        </svg>
      </button>
      <div class="wave">
        <div class="lane-names" aria-hidden="true">
          <span>caller</span>
          <span>agent</span>
        </div>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="slider"
          aria-label="Place in the recording"
          aria-valuemin={0}
          aria-valuemax={Math.round(durationSeconds)}
          aria-valuenow={Math.round(atSeconds)}
          aria-valuetext={`${clockText(Math.round(atSeconds))} of ${clockText(Math.round(durationSeconds))}`}
          onKeyDown={onKeyDown}
          onPointerDown={(event) => seek((event.offsetX / canvas.current!.clientWidth) * durationSeconds)}
        />
      </div>
      <span class="time quiet">
        {clockText(Math.floor(atSeconds))} / {clockText(Math.floor(durationSeconds))}
      </span>
      <audio
        ref={audio}
        {...(source === '' ? {} : { src: source })}
        onPlay={() => setPlaying(true)}
        onPause={() => setPlaying(false)}
        onEnded={() => setPlaying(false)}
        onLoadedMetadata={(event) =>
          setKnownSeconds(Number.isFinite(event.currentTarget.duration) ? event.currentTarget.duration : 0)
        }
        onTimeUpdate={(event) => {
          setAtSeconds(event.currentTarget.currentTime);
          onTime(event.currentTarget.currentTime);
        }}
      />
    </div>
  );
}

const waveColours = ['caller', 'agent', 'line', 'ink'] as const;

function drawWaveform(
  canvas: HTMLCanvasElement,
  waveform: Waveform,
  place: number,
  colours: Record<(typeof waveColours)[number], string>,
): void {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext('2d')!;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  const laneHeight = (height - laneGapPx) / waveform.peaks.length;
  for (const [lane, peaks] of waveform.peaks.entries()) {
    const middle = lane * (laneHeight + laneGapPx) + laneHeight / 2;
    context.fillStyle = lane === 0 ? colours.caller : colours.agent;
    const perBar = Math.max(1, Math.round((3 * peaks.length) / width));
    for (let index = 0; index < peaks.length; index += perBar) {
      let peak = 0;
      for (let at = index; at < Math.min(peaks.length, index + perBar); at++) peak = Math.max(peak, peaks[at]!);
      const half = Math.max(0.5, Math.min(1, Math.sqrt(peak) * 1.1) * (laneHeight / 2 - 1));
      const x = (index / peaks.length) * width;
      // What was heard already is strong, the rest faint.
      context.globalAlpha = x < place * width ? 1 : 0.45;
      context.fillRect(x, middle - half, Math.max(1, (perBar / peaks.length) * width - 1), 2 * half);
    }
  }
  context.globalAlpha = 1;
  context.fillStyle = colours.ink;
  context.fillRect(Math.min(width - 2, place * width), 0, 2, height);
}
