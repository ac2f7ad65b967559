/** A call on the terminal: one line for each thing that happens, and, where the terminal can redraw it, a line that says what is going on. */
import { inputRateHz } from '../src/shared/units.js';
import type { Beat } from './beat.js';
import type { Caller, ReceivedEvent, Said } from './caller.js';
import type { HeardReply } from './ear.js';

/** What a line is written to; `process.stdout` is one. */
export type Output = { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };

const colours = { call: 2, you: 36, agent: 35, note: 33, bad: 31 } as const;
const redrawMs = 100;
/** A reply that has been silent this long is shown as over. */
const quietMs = 1000;

export class Screen {
  readonly #out: Output;
  readonly #isLive: boolean;
  /** What is being said or will be, in order; a line is due at its beginning and, for speech, at its end. */
  readonly #spoken: Said[] = [];
  readonly #coughs: Said[] = [];
  readonly #begun = new Set<Said>();
  readonly #finished = new Set<Said>();
  readonly #announced = new Set<HeardReply>();
  readonly #ended = new Set<HeardReply>();
  #tentative = '';
  #isStatusShown = false;
  #drawnAtMs = 0;
  #leaveBeat: (() => void) | undefined;

  constructor(out: Output) {
    this.#out = out;
    this.#isLive = out.isTTY === true;
  }

  /** Follows `caller` until `stop`. */
  follow(caller: Caller, beat: Beat): void {
    this.#leaveBeat = beat.join(beat.nowMs, () => this.#update(caller));
  }

  stop(): void {
    this.#leaveBeat?.();
    this.#hideStatus();
  }

  onSay(said: Said, kind: 'speech' | 'cough'): void {
    if (kind === 'speech') this.#spoken.push(said);
    else this.#coughs.push(said);
  }

  onEvent(event: ReceivedEvent): void {
    const text = (key: string) => `“${plain(event.details[key])}”`;
    if (event.type === 'tentative_user_transcript') this.#tentative = text('user_transcript');
    if (event.type === 'user_transcript') {
      this.#tentative = '';
      this.line(event.atMs, 'agent', `understood ${text('user_transcript')}`);
    }
    if (event.type === 'agent_response') this.line(event.atMs, 'agent', `says ${text('agent_response')}`);
    if (event.type === 'agent_response_correction')
      this.line(event.atMs, 'agent', `was heard to say ${text('corrected_agent_response')}`);
    if (event.type === 'interruption') this.line(event.atMs, 'note', 'interruption noticed');
    if (event.type === 'error')
      this.line(event.atMs, 'bad', `error: ${plain(event.details['message'] ?? event.details['reason'])}`);
  }

  line(atMs: number, who: keyof typeof colours, text: string): void {
    this.#hideStatus();
    this.#out.write(`${(atMs / 1000).toFixed(3).padStart(9)} s  ${this.#paint(who, who.padEnd(6))} ${text}\n`);
  }

  text(text: string): void {
    this.#hideStatus();
    this.#out.write(`${text}\n`);
  }

  #update(caller: Caller): void {
    const atMs = caller.nowMs;
    for (const said of [...this.#spoken, ...this.#coughs]) {
      if (atMs >= said.startMs && !this.#begun.has(said)) {
        this.#begun.add(said);
        this.line(said.startMs, 'you', `${said.clip.name} (${(said.clip.samples.length / inputRateHz).toFixed(1)} s)`);
      }
    }
    for (const said of this.#spoken) {
      if (atMs >= said.speechEndMs && !this.#finished.has(said)) {
        this.#finished.add(said);
        this.line(said.speechEndMs, 'you', 'end of speech');
      }
    }
    for (const reply of caller.ear.replies.values()) {
      if (reply.onsetMs === undefined) continue;
      if (!this.#announced.has(reply)) {
        this.#announced.add(reply);
        this.line(reply.onsetMs, 'agent', `speaking${this.#sinceYouStopped(reply.onsetMs)}`);
      }
      if (!this.#ended.has(reply) && atMs - reply.lastAudibleMs! > quietMs && caller.ear.queuedMs === 0) {
        this.#ended.add(reply);
        this.line(reply.lastAudibleMs!, 'agent', 'silent');
      }
    }
    if (this.#isLive && atMs - this.#drawnAtMs >= redrawMs) this.#drawStatus(caller, atMs);
  }

  #sinceYouStopped(onsetMs: number): string {
    const last = this.#spoken.findLast((said) => said.startMs < onsetMs);
    if (last === undefined) return '';
    const afterMs = Math.round(onsetMs - last.speechEndMs);
    return afterMs >= 0 ? `, ${afterMs} ms after you stopped` : `, ${-afterMs} ms before you stopped`;
  }

  #drawStatus(caller: Caller, atMs: number): void {
    this.#drawnAtMs = atMs;
    const isAgent = [...caller.ear.replies.values()].some(
      ({ lastAudibleMs }) => lastAudibleMs !== undefined && atMs - lastAudibleMs < 200,
    );
    const isYou = this.#spoken.some((said) => said.speechStartMs <= atMs && atMs < said.speechEndMs);
    const who = isYou && isAgent ? 'both speaking' : isYou ? 'you are speaking' : isAgent ? 'agent is speaking' : 'listening';
    const status = `${(atMs / 1000).toFixed(1).padStart(7)}   s  ${who} ${this.#tentative}`.slice(
      0,
      (this.#out.columns ?? 80) - 1,
    );
    this.#out.write(`\r\x1b[2K${status}`);
    this.#isStatusShown = true;
  }

  #hideStatus(): void {
    if (!this.#isStatusShown) return;
    this.#isStatusShown = false;
    this.#out.write('\r\x1b[2K');
  }

  #paint(who: keyof typeof colours, text: string): string {
    return this.#isLive ? `\x1b[${colours[who]}m${text}\x1b[0m` : text;
  }
}

/** A server's text on one line, without what a terminal would obey. */
function plain(value: unknown): string {
  return String(value ?? '')
    .replace(/\p{Cc}+/gu, ' ')
    .trim();
}
