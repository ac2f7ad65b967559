/** HOLD, CUT and undo of one session: the cells, what the client is told, and the word of what was truly heard. Conversation thread. */
import type { FromTts } from '../shared/links.js';
import { Cell } from '../shared/slots.js';
import type { Action } from '../turn/state.js';
import type { ServerEvent } from '../wire/events.js';
import type { SessionContext } from './context.js';
import type { Replies } from './replies.js';
import type { ToolDesk } from './tool-desk.js';

export class Interruptions {
  readonly #context: SessionContext;
  readonly #replies: Replies;
  readonly #tools: ToolDesk;
  #heardDueAtMs = 0;
  #lastCut = 0;
  #holdAtMs = 0;
  /** The word of what was heard of the last cut speech is still to come. */
  isHeardPending = false;

  constructor(context: SessionContext, replies: Replies, tools: ToolDesk) {
    this.#context = context;
    this.#replies = replies;
    this.#tools = tools;
  }

  /** History keeps its order: what was heard of a cut reply comes before the words that cut it. */
  mustWait(action: Action): boolean {
    if (!this.isHeardPending) return false;
    if (action.type === 'discard') return action.speech === this.#lastCut;
    return action.type === 'commit' || action.type === 'generate' || action.type === 'undo';
  }

  /** True when it was waited long enough. */
  isOverdue(atMs: number): boolean {
    if (!this.isHeardPending || atMs < this.#heardDueAtMs) return false;
    this.isHeardPending = false;
    return true;
  }

  cut(action: Extract<Action, { type: 'cut' }>): void {
    const { slot, outlet, links, limits, now, turn } = this.#context;
    const { isTextOnly, outputFormat } = this.#context.profile();
    const decidedAtMs = now();
    slot.store(Cell.epoch, action.epoch);
    this.releaseHolds(slot.load(Cell.holdsRaised));
    const event: ServerEvent = { type: 'interruption', eventId: outlet.nextEventId() };
    const flush: ServerEvent = { type: 'flush_audio', eventId: outlet.nextEventId(), format: outputFormat };
    if (isTextOnly) {
      outlet.send(event);
    } else {
      outlet.interrupt(event, flush, action.epoch, decidedAtMs);
      links.toTts({ type: 'cut', speech: action.speech, epoch: action.epoch, isUndoable: action.isUndoable });
      this.isHeardPending = true;
      this.#lastCut = action.speech;
      this.#heardDueAtMs = decidedAtMs + limits.heardWaitMs;
    }
    this.verdict('real', action.reason);
    const reply = this.#replies.get(action.speech);
    outlet.happened(turn(), { kind: 'cut', reason: action.reason, eventId: reply?.eventId ?? 0 }, decidedAtMs);
    if (reply === undefined) return;
    this.#replies.announce(reply);
    reply.isCut = true;
    if (!action.isUndoable) {
      reply.stop();
      this.#tools.cancel(reply);
    }
    if (!isTextOnly) return;
    this.#replies.keepHeard(reply, reply.text.length);
    this.#replies.drop(reply.speech);
  }

  heard(message: Extract<FromTts, { type: 'heard' }>): void {
    const reply = this.#replies.get(message.speech);
    this.isHeardPending = false;
    // A speech that was heard to its end while it was being cut is in the history already.
    if (reply === undefined) return;
    this.#replies.keepHeard(reply, message.heardChars);
    if (!this.#context.isUndoable(reply.speech)) this.#replies.drop(reply.speech);
    this.#context.feed({ type: 'heard', speech: message.speech, heardMs: message.heardMs });
  }

  /** The cut speech goes on. */
  undo(action: Extract<Action, { type: 'undo' }>): void {
    const { recorder, history, links, outlet, epoch, turn } = this.#context;
    recorder.count('parley_undone_cuts_total', `reason="${action.reason}"`);
    history.removeInterrupted(action.speech);
    const reply = this.#replies.get(action.speech);
    if (reply === undefined) return;
    const eventId = reply.eventId;
    this.#replies.continueAs(reply, action.newSpeech);
    outlet.happened(turn(), { kind: 'undo', reason: action.reason, eventId, newEventId: reply.eventId });
    links.toTts({
      type: 'undo',
      speech: action.speech,
      newSpeech: action.newSpeech,
      epoch: epoch(),
      eventId: reply.eventId,
      afterControl: outlet.controlCount,
    });
    this.#replies.takeUp(reply);
  }

  /** `atMs` in the log is the monotonic clock, which other processes of the machine share: load programs subtract it from theirs. */
  noteHold(hold: number, atMs: number): void {
    this.#holdAtMs = atMs;
    this.#context.links.log('turn.hold', { hold, at_ms: atMs });
    this.#context.outlet.happened(this.#context.turn(), { kind: 'hold' }, atMs);
  }

  verdict(is: 'real' | 'false', reason: string): void {
    const { recorder, links, now } = this.#context;
    const atMs = now();
    if (this.#holdAtMs > 0) recorder.record('hold_to_verdict', atMs - this.#holdAtMs);
    this.#holdAtMs = 0;
    recorder.count('parley_verdicts_total', `is="${is}",reason="${reason}"`);
    links.log('turn.verdict', { is, reason, at_ms: atMs });
  }

  releaseHolds(upTo: number): void {
    const { slot } = this.#context;
    if (upTo > slot.load(Cell.holdsReleased)) slot.store(Cell.holdsReleased, upTo);
  }
}
