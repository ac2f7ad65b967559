/** One context of a synthesis socket: its text, and how much of it is to be spoken when. Runs on the simulator's main thread. */
import { nowMs } from '../../src/shared/clock.js';
import type { ClientMessage } from './context-messages.js';
import { styleOf, type VoiceStyle } from './voice.js';

/** The service's own buffering, in characters before the first, second, … generation. */
const defaultSchedule = [120, 160, 250, 290];
/** `try_trigger_generation` needs this much. */
const triggerCharsMin = 50;

export type Context = {
  /** Undefined on single-context sockets. */
  readonly id: string | undefined;
  readonly style: VoiceStyle;
  readonly schedule: readonly number[];
  buffer: string;
  generations: number;
  /** Generations that have not been delivered. */
  open: number;
  /** When the last generation so far has been made. */
  busyUntilMs: number;
  /** Delivery is in order: each generation waits for the one before it. */
  last: Promise<void>;
  isClosing: boolean;
  hasSpoken: boolean;
  isFinalMissing: boolean;
  /** Closed too soon after its text: nothing of it is spoken. */
  isLost: boolean;
  textAtMs: number;
  messageAtMs: number;
};

/** A context as its first message opens it. `id` is undefined on single-context sockets. */
export function openContext(id: string | undefined, voiceId: string, message: ClientMessage): Context {
  return {
    id,
    style: styleOf(voiceId, message.voice_settings?.speed),
    schedule: message.generation_config?.chunk_length_schedule ?? defaultSchedule,
    buffer: '',
    generations: 0,
    open: 0,
    busyUntilMs: 0,
    last: Promise.resolve(),
    isClosing: false,
    hasSpoken: false,
    isFinalMissing: false,
    isLost: false,
    textAtMs: 0,
    messageAtMs: nowMs(),
  };
}

/** Adds the text of `message` to the buffer; white space alone begins nothing. */
export function takeText(context: Context, message: ClientMessage): void {
  const text = message.text ?? '';
  const hasText = text.trim() !== '';
  context.messageAtMs = nowMs();
  if (hasText) context.textAtMs = context.messageAtMs;
  if (hasText || context.buffer !== '') context.buffer += text;
}

/** How many characters of the buffer are spoken after `message` was taken in; 0 while the rules of buffering say to wait. */
export function lengthToSpeak(context: Context, message: ClientMessage, isAuto: boolean): number {
  const { buffer, schedule, generations } = context;
  const isTriggered = message.try_trigger_generation === true && buffer.length >= triggerCharsMin;
  if (message.flush === true || isTriggered || (isAuto && (message.text ?? '').trim() !== '')) return buffer.length;
  const threshold = schedule[Math.min(generations, schedule.length - 1)]!;
  if (isAuto || buffer.length < threshold) return 0;
  // A word that may go on in the next message is kept back.
  return buffer.search(/\s\S*$/) + 1;
}
