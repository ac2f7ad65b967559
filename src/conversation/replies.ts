/**
 * The replies of one session, from the request to the model until the last word was heard: rounds of tools, what the client and the
 * synthesiser are told, and what is kept of it. A discarded reply never runs a tool. Conversation thread.
 */
import type { ChatFile, LlmUsage } from '../llm/port.js';
import type { EngineError } from '../shared/errors.js';
import { protectionBy, type ToolManner } from '../tools/manner.js';
import type { Action, Agent, SpeechKind } from '../turn/state.js';
import type { SessionContext } from './context.js';
import { roundMessages } from './history.js';
import { type After, Reply, type ToolResult } from './reply.js';
import type { ToolDesk } from './tool-desk.js';
import { toolBounds } from './tools.js';

/** Adapters read on this long behind the end of an answer, where the provider's count is. */
const countWaitMs = 1000;

/**
 * Tokens of a reply come one by one, and a message to another thread costs more than what is in it. Behind its beginning, which is awaited, they are
 * gathered; what is said first takes longer than that.
 */
const gathering = { afterChars: 100, maxMs: 40 } as const;

const brokenOff = ' Sorry, I lost my thread there.';

export class Replies {
  readonly #context: SessionContext;
  readonly #tools: ToolDesk;
  readonly #replies = new Map<number, Reply>();
  /** Replies whose model has answered and not yet said what it took, and until when it may. */
  readonly #uncounted = new Map<Reply, number>();

  constructor(context: SessionContext, tools: ToolDesk) {
    this.#context = context;
    this.#tools = tools;
  }

  get(speech: number): Reply | undefined {
    return this.#replies.get(speech);
  }

  /** What the model took for some reply may still be told. */
  isCountDue(atMs: number): boolean {
    for (const dueAtMs of this.#uncounted.values()) if (atMs < dueAtMs) return true;
    return false;
  }

  /** The call is over, though what was heard of it may not be known yet: no more is made, and no tool is begun. */
  stop(): void {
    for (const reply of this.#replies.values()) reply.stop();
  }

  /** The call is over: what was heard and done of the replies under way is kept. */
  leave(): void {
    const replies = [...this.#replies.values()];
    for (const reply of replies) reply.isDropped = true;
    this.#tools.end();
    for (const reply of replies) {
      reply.stop();
      if (reply.isLive && !reply.isCut) this.#keep(reply, reply.heard, true);
    }
  }

  close(): void {
    for (const reply of this.#replies.values()) {
      reply.isDropped = true;
      reply.stop();
    }
    this.#replies.clear();
  }

  // Begin -----------------------------------------------------------------------------------------------------------------------------

  generate(action: Extract<Action, { type: 'generate' }>, files: readonly ChatFile[]): void {
    const { history, clock } = this.#context;
    const { speech, isSpeculative } = action;
    const reply = this.#new(speech);
    const times = clock.bind(speech);
    if (!isSpeculative) this.goLive(reply);
    const { prompt } = this.#context.profile();
    reply.base = history.messages(prompt, action.text, isSpeculative ? action.isMerged : true, files);
    this.#ask(reply, isSpeculative);
    times.mark('llmAsked', reply.askedAtMs);
  }

  /** Words that no model makes: the first message, apologies, fillers between turns. */
  say(speech: number, kind: SpeechKind, text: string): void {
    const { turn } = this.#context.profile();
    const reply = this.#new(speech, kind === 'first' && !turn.isFirstInterruptible);
    reply.text = text;
    reply.isDone = true;
    if (!this.#isText) {
      this.#context.links.toTts({ type: 'text', speech, delta: text });
      this.#context.links.toTts({ type: 'text_end', speech });
    }
    this.goLive(reply);
  }

  /** The reply may be heard: it gets its id, and the client what there is of it. */
  goLive(reply: Reply): void {
    const { outlet, records, now } = this.#context;
    reply.isLive = true;
    reply.progressAtMs = now();
    reply.eventId = outlet.nextEventId();
    records.reserve(reply);
    this.#startPart(reply);
    // Released, it may be heard before it can be held back.
    if (!this.#context.isHeldBack(reply.speech)) this.release(reply.speech);
    if (reply.text !== '') this.#tell(reply, reply.text);
    if (reply.isDone) this.#finish(reply);
    else if (reply.isWaiting) this.#runTools(reply);
  }

  release(speech: number): void {
    const reply = this.#replies.get(speech);
    if (reply === undefined || !reply.isLive || this.#isText) return;
    const { links, outlet, epoch } = this.#context;
    links.toTts({ type: 'release', speech, epoch: epoch(), eventId: reply.eventId, afterControl: outlet.controlCount });
  }

  #new(speech: number, isProtected = false): Reply {
    const reply = new Reply(speech);
    this.#replies.set(speech, reply);
    const { turn } = this.#context.profile();
    reply.isProtected = isProtected || !turn.isInterruptible;
    if (!this.#isText) this.#context.links.toTts({ type: 'speak', speech, isProtected: reply.isProtected });
    return reply;
  }

  #ask(reply: Reply, isSpeculative: boolean): void {
    const { recorder, now, records, llm } = this.#context;
    const profile = this.#context.profile();
    const mustAnswer = reply.rounds.length >= toolBounds.roundsMax;
    const request = {
      messages: [...reply.base, ...reply.rounds.flatMap(roundMessages)],
      tools: mustAnswer ? [] : this.#tools.specs(),
      model: profile.model,
      temperature: profile.temperature,
      maxTokens: profile.maxTokens,
      grammar: profile.grammar,
      ...(profile.userId === undefined ? {} : { userId: profile.userId }),
      ...(profile.extraBody === undefined ? {} : { extraBody: profile.extraBody }),
    };
    recorder.count('parley_llm_requests_total', `speculative="${isSpeculative}"`);
    records.cost.llmRequests += 1;
    reply.isAsking = true;
    reply.requestCount += 1;
    const number = reply.requestCount;
    const provider = llm();
    const model = profile.model === '' ? provider.name : profile.model;
    const events = {
      onText: (delta: string) => this.#text(reply, delta),
      onEnd: () => this.#roundEnded(reply),
      onError: (error: EngineError) => this.#failed(reply, error),
      onUsage: (usage: LlmUsage) => this.#counted(reply, number, model, usage),
    };
    // What these callbacks do is ours: what they throw is a bug, and ends this call alone.
    reply.run(provider, request, now, events).catch((error: unknown) => this.#context.fail(error));
  }

  // Progress --------------------------------------------------------------------------------------------------------------------------

  #text(reply: Reply, delta: string): void {
    const { clock, records, now } = this.#context;
    clock.of(reply.speech)?.mark('firstToken', reply.firstTokenAtMs);
    if (!this.#isText) {
      if (reply.unsent === '') reply.unsentSinceMs = now();
      reply.unsent += reply.owesSpace ? ` ${delta}` : delta;
      reply.owesSpace = false;
      if (reply.text.length <= gathering.afterChars) this.#sendText(reply);
      records.cost.ttsCharacters += delta.length;
    }
    if (reply.isLive && !reply.isCut) this.#tell(reply, delta);
  }

  /** Text that was gathered goes to the synthesiser. */
  #sendText(reply: Reply): void {
    if (reply.unsent === '') return;
    this.#context.links.toTts({ type: 'text', speech: reply.speech, delta: reply.unsent });
    reply.unsent = '';
  }

  /** What there is of the text is spoken without waiting for more. */
  #pauseText(reply: Reply): void {
    if (this.#isText) return;
    this.#sendText(reply);
    this.#context.links.toTts({ type: 'text_pause', speech: reply.speech });
  }

  /** The client and the machine learn of text of a live reply. */
  #tell(reply: Reply, delta: string): void {
    const { outlet, feed } = this.#context;
    if (this.#isText && !reply.isShown && reply.text.trim() !== '') {
      reply.isShown = true;
      feed({ type: 'audio_started', speech: reply.speech });
    }
    this.#startPart(reply);
    outlet.send({ type: 'agent_chat_response_part', part: 'delta', text: delta, eventId: reply.eventId });
    feed({ type: 'agent_text', speech: reply.speech, text: delta });
  }

  #startPart(reply: Reply): void {
    const { segment } = reply;
    if (segment.isStarted) return;
    segment.isStarted = true;
    this.#context.outlet.send({ type: 'agent_chat_response_part', part: 'start', text: '', eventId: reply.eventId });
  }

  /** What a request took: told when its answer is over, and in text mode that is when the reply is on record already. */
  #counted(reply: Reply, number: number, model: string, usage: LlmUsage): void {
    const { records, outlet, onCounted } = this.#context;
    records.counted(usage);
    reply.countedRequest = number;
    if (reply.isCounted) this.#uncounted.delete(reply);
    if (reply.isLive) {
      outlet.send({ type: 'context_usage', model, contextTokens: usage.inputTokens, eventId: reply.eventId });
      if (reply.isFinished) this.#tellUsage(reply, model);
      if (reply.isKept) records.agent(reply, reply.heard);
    }
    onCounted();
  }

  #tellUsage(reply: Reply, model: string): void {
    if (!reply.isCounted || reply.usage === undefined) return;
    const { inputTokens, outputTokens } = reply.usage;
    const metadata = { model, input_tokens: inputTokens, output_tokens: outputTokens };
    this.#context.outlet.send({ type: 'agent_response_metadata', metadata, eventId: reply.eventId });
  }

  #roundEnded(reply: Reply): void {
    reply.isAsking = false;
    const atMs = this.#context.now();
    for (const [other, dueAtMs] of this.#uncounted) if (dueAtMs <= atMs) this.#uncounted.delete(other);
    if (!reply.isCounted) this.#uncounted.set(reply, atMs + countWaitMs);
    if (reply.calls.length === 0) {
      this.#done(reply);
      return;
    }
    reply.calls = this.#tools.named(reply.calls);
    reply.isWaiting = true;
    if (reply.text.trim() === '' && this.#tools.manners(reply.calls).some(({ preSpeech }) => preSpeech === 'force')) {
      const { toolPhrase } = this.#context.profile();
      reply.text += toolPhrase;
      this.#text(reply, toolPhrase);
    }
    // Whatever was said so far is spoken while the tools run.
    this.#pauseText(reply);
    if (reply.isLive && !reply.isCut) this.#runTools(reply);
  }

  /** The tools of a live reply run now, or when what was said before them was heard. */
  #runTools(reply: Reply): void {
    if (reply.areToolsRunning) return;
    const manners = this.#tools.manners(reply.calls);
    this.announce(reply);
    const hasWords = !this.#isText && reply.text.trim() !== '';
    if (hasWords && manners.some(({ execution }) => execution === 'post_tool_speech')) {
      reply.toolsDueAtMs = this.#context.now() + toolBounds.postSpeechMaxMs;
      return;
    }
    this.#startTools(reply, protectionBy(manners));
  }

  /** Everything of the speech so far was heard. */
  caughtUp(speech: number): void {
    const reply = this.#replies.get(speech);
    if (reply?.toolsDueAtMs === undefined || reply.isCut) return;
    this.#startTools(reply, protectionBy(this.#tools.manners(reply.calls)));
  }

  #startTools(reply: Reply, protects: ToolManner['protects']): void {
    const { feed, now } = this.#context;
    reply.toolsDueAtMs = undefined;
    reply.areToolsRunning = true;
    if (protects !== 'nothing') this.#protect(reply, true);
    feed({ type: 'tools', speech: reply.speech, areRunning: true, protects });
    const onDone = (results: readonly ToolResult[]): void => {
      reply.closeRound(results);
      reply.progressAtMs = now();
      if (protects === 'tool') this.#protect(reply, reply.isProtected);
      // What protects the rest of the reply goes on doing so.
      feed({ type: 'tools', speech: reply.speech, areRunning: false, protects: protects === 'turn' ? 'turn' : 'nothing' });
      if (reply.isDropped || reply.isCut) {
        this.#keep(reply, reply.heard, true);
        // A draft that was made meanwhile does not know of it.
        feed({ type: 'context_changed' });
      } else {
        this.#goOn(reply);
      }
    };
    this.#tools.run(reply, reply.calls, onDone, (result) => this.#late(reply, result));
  }

  /** A tool that ran in the background has ended, and the reply that called it may be long over. */
  #late(reply: Reply, result: ToolResult): void {
    if (!reply.settle(result)) return;
    if (reply.isKept) this.#keep(reply, reply.heard, reply.isInterrupted);
    this.#context.feed({ type: 'context_changed' });
  }

  #protect(reply: Reply, isProtected: boolean): void {
    if (!this.#isText) this.#context.links.toTts({ type: 'protect', speech: reply.speech, isProtected });
  }

  #done(reply: Reply): void {
    reply.isDone = true;
    if (!this.#isText) {
      this.#sendText(reply);
      this.#context.links.toTts({ type: 'text_end', speech: reply.speech });
    }
    if (reply.isLive && !reply.isCut) this.#finish(reply);
  }

  #modelName(): string {
    const { model } = this.#context.profile();
    return model === '' ? this.#context.llm().name : model;
  }

  #finish(reply: Reply): void {
    const { feed } = this.#context;
    this.announce(reply);
    reply.isFinished = true;
    this.#tellUsage(reply, this.#modelName());
    const { speech, isSkip, after } = reply;
    const isEmpty = reply.text.trim() === '';
    const firstMessage = isEmpty ? this.#after(after) : undefined;
    if (isEmpty) this.#keep(reply, '', false);
    feed({ type: 'reply_end', speech, isEmpty, endsCall: after?.type === 'end_call', isSkip });
    if (isEmpty) {
      this.drop(speech);
      if (firstMessage !== undefined) feed({ type: 'started', firstMessage });
    } else if (this.#isText) {
      this.drained(speech, undefined);
    }
  }

  /** `agent_response`, once a segment: when its text is complete, or when it is cut. */
  announce(reply: Reply): void {
    const { segment } = reply;
    if (segment.isAnnounced || !reply.isLive) return;
    const { outlet } = this.#context;
    const text = reply.textOf(reply.segments.length - 1);
    segment.isAnnounced = true;
    if (segment.isStarted) outlet.send({ type: 'agent_chat_response_part', part: 'stop', text: '', eventId: reply.eventId });
    if (text.trim() !== '') outlet.send({ type: 'agent_response', text, eventId: reply.eventId });
  }

  #failed(reply: Reply, error: EngineError): void {
    const { recorder, links, feed } = this.#context;
    recorder.count('parley_errors_total', `stage="llm",error_type="${error.kind}"`);
    links.log('llm.problem', { kind: error.kind, message: error.message });
    // A draft is not worth finishing: the machine asks anew.
    reply.isAsking = false;
    const isHeard = reply.isLive && reply.modelChars > 0;
    if (isHeard) {
      reply.text += brokenOff;
      this.#text(reply, brokenOff);
      this.#done(reply);
    } else {
      if (!this.#isText) links.toTts({ type: 'discard', speech: reply.speech });
      this.discard(reply.speech);
    }
    feed({ type: 'reply_failed', speech: reply.speech, isHeard });
  }

  /** The model or a tool is slow and nothing is heard: something is said meanwhile, as part of the reply. */
  tick(atMs: number, agent: Agent): void {
    for (const reply of this.#replies.values()) {
      if (reply.unsent !== '' && atMs >= reply.unsentSinceMs + gathering.maxMs) this.#sendText(reply);
      if (reply.toolsDueAtMs !== undefined && atMs >= reply.toolsDueAtMs) this.caughtUp(reply.speech);
    }
    if (agent.phase !== 'thinking' || agent.isHeldBack) return;
    const reply = this.#replies.get(agent.speech);
    const { softTimeout } = this.#context.profile();
    if (softTimeout === undefined || reply === undefined || !reply.isLive || reply.isDone || reply.isDropped) return;
    if (reply.fillersSaid >= softTimeout.max || atMs - reply.progressAtMs < softTimeout.afterMs) return;
    reply.fillers ??= softTimeout.isShuffled ? shuffled(softTimeout.phrases) : softTimeout.phrases;
    const phrase = reply.fillers[Math.min(reply.fillersSaid, reply.fillers.length - 1)] ?? '';
    reply.fillersSaid += 1;
    reply.progressAtMs = atMs;
    if (phrase.trim() === '') return;
    reply.text += `${phrase} `;
    this.#text(reply, `${phrase} `);
    this.#pauseText(reply);
  }

  // End -------------------------------------------------------------------------------------------------------------------------------

  firstFrame(speech: number, atMs: number): void {
    const { clock, feed, outlet, turn } = this.#context;
    clock.of(speech)?.mark('firstFrame', atMs);
    const eventId = this.#replies.get(speech)?.eventId ?? 0;
    outlet.happened(turn(), { kind: 'first_audio', eventId }, atMs);
    this.completeTimes(speech);
    feed({ type: 'audio_started', speech });
  }

  completeTimes(speech: number): void {
    const times = this.#context.clock.complete(speech);
    const reply = this.#replies.get(speech);
    if (times === undefined) return;
    const { outlet } = this.#context;
    outlet.happened(times.turn, { kind: 'answered', instants: outlet.sinceBegin(times.named()) });
    if (reply !== undefined) reply.times = times.spoken();
  }

  /** All there is of it was heard. `heardChars`: synthesis failed behind them. */
  drained(speech: number, heardChars: number | undefined): void {
    const { outlet, feed } = this.#context;
    const reply = this.#replies.get(speech);
    if (reply !== undefined) {
      if (heardChars === undefined) this.#keep(reply, reply.text, false);
      else this.breakOff(reply, heardChars);
      if (reply.isLive) outlet.send({ type: 'agent_response_complete', eventId: reply.eventId });
    }
    // A handover comes first: a turn that is open already is answered by the new agent.
    const firstMessage = heardChars === undefined ? this.#after(reply?.after) : undefined;
    feed({ type: 'drained', speech, isBroken: heardChars !== undefined });
    this.drop(speech);
    if (firstMessage !== undefined) feed({ type: 'started', firstMessage });
  }

  /** Synthesis made no sound of the speech. */
  unheard(speech: number): void {
    const reply = this.#replies.get(speech);
    if (reply?.isLive === true) this.breakOff(reply, 0);
    this.drop(speech);
  }

  breakOff(reply: Reply, heardChars: number): void {
    reply.stop();
    this.announce(reply);
    this.keepHeard(reply, heardChars);
  }

  /** History, record and client learn what was truly heard. */
  keepHeard(reply: Reply, heardChars: number): void {
    const heard = reply.text.slice(0, heardChars).trimEnd();
    this.#keep(reply, heard, true);
    for (const [index, segment] of reply.segments.entries()) {
      const original = reply.textOf(index);
      const corrected = original.slice(0, Math.max(0, heardChars - segment.start)).trimEnd();
      if (!segment.isAnnounced || original.trim() === '' || corrected === original.trimEnd()) continue;
      this.#context.outlet.send({ type: 'agent_response_correction', original, corrected, eventId: reply.eventId });
    }
  }

  #keep(reply: Reply, heard: string, isInterrupted: boolean): void {
    const { history, records } = this.#context;
    reply.heard = heard;
    reply.isInterrupted = isInterrupted;
    const rounds = reply.rounds.map((round, index) => ({ ...round, text: heardOf(reply, index, heard) }));
    const last = reply.segments.length - 1;
    history.addAgent(reply.speech, heardOf(reply, last, heard), isInterrupted, rounds);
    records.agent(reply, heard);
    reply.isKept = true;
  }

  /** Thrown away before it was heard. What its tools did is remembered. */
  discard(speech: number): void {
    const reply = this.#replies.get(speech);
    if (reply?.isLive === true && !reply.isCut && reply.hasTools) this.#keep(reply, '', true);
    this.drop(speech);
  }

  drop(speech: number): void {
    const reply = this.#replies.get(speech);
    if (reply === undefined) return;
    reply.isDropped = true;
    reply.stop();
    if (reply.areToolsRunning) this.#tools.cancel(reply);
    this.#replies.delete(speech);
    this.#context.clock.forget(speech);
  }

  /** The cut speech goes on under a new number, event id and epoch. */
  continueAs(reply: Reply, speech: number): void {
    const { outlet, records } = this.#context;
    this.#replies.delete(reply.speech);
    reply.continueAs(speech, outlet.nextEventId());
    records.reserve(reply);
    this.#replies.set(speech, reply);
  }

  /** After an undone CUT: what came meanwhile is told. */
  takeUp(reply: Reply): void {
    if (reply.isDone) this.#finish(reply);
    else if (reply.isWaiting) this.#runTools(reply);
    else if (!reply.isAsking && reply.hasTools) this.#goOn(reply);
  }

  /** The tools of a round have ended: the model is asked with their results, unless one of them was the last word. */
  #goOn(reply: Reply): void {
    if (reply.after === undefined && !reply.isSkip) {
      this.#ask(reply, false);
      return;
    }
    if (reply.lastWords !== '') {
      reply.text += reply.lastWords;
      this.#text(reply, reply.lastWords);
    }
    this.#done(reply);
  }

  #after(after: After | undefined): string | undefined {
    return after === undefined ? undefined : this.#context.onHeard(after);
  }

  get #isText(): boolean {
    return this.#context.profile().isTextOnly;
  }
}

function shuffled(phrases: readonly string[]): string[] {
  const mixed = [...phrases];
  for (let last = mixed.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other]!, mixed[last]!];
  }
  return mixed;
}

/** What of one segment lies within the words that were heard. */
function heardOf(reply: Reply, index: number, heard: string): string {
  const start = reply.segments[index]?.start ?? 0;
  return reply
    .textOf(index)
    .slice(0, Math.max(0, heard.length - start))
    .trimEnd();
}
