/** What must hold for every list of events, however odd: seeded random conversations through the turn machine. */
import fc from 'fast-check';
import { test } from 'tap';
import { nextDeadlineMs, step } from '../src/turn/machine.js';
import { turnDefaults } from '../src/turn/settings.js';
import { type Action, initialState, type TurnEvent, type TurnState } from '../src/turn/state.js';

const phrases = { idle: ['Still there?'], apology: 'Sorry?' };
const texts = [
  '',
  'yes',
  'mm-hm',
  'stop',
  'I would like a pizza.',
  'we are open from nine',
  'and',
  '[unintelligible]',
  'hold on',
];
/** The caller's own, somebody else's perhaps, and surely. */
const levels = fc.constantFrom(0, -10, -16);

type Input = { readonly waitMs: number; readonly make: (state: TurnState, atMs: number) => TurnEvent };

/** The machine's neighbours keep their own order (a hop only inside speech, a hold only grows); nothing else is promised to it. */
const input: fc.Arbitrary<Input> = fc.record({
  waitMs: fc.oneof(fc.integer({ min: 0, max: 400 }), fc.constant(3000), fc.constant(9000)),
  make: fc.oneof(
    fc.boolean().map((holds) => (state: TurnState, atMs: number): TurnEvent => {
      const audible = state.agent.phase === 'speaking' || state.agent.phase === 'held';
      return { type: 'speech_start', startMs: atMs - 64, hold: holds && audible ? 1 + Math.floor(atMs) : 0 };
    }),
    fc.record({ continuousMs: fc.integer({ min: 32, max: 900 }), levelOverCallerDb: levels }).map(
      ({ continuousMs, levelOverCallerDb }) =>
        (): TurnEvent => ({
          type: 'speech_hop',
          speechMs: continuousMs,
          continuousMs,
          meanProbability: 0.9,
          levelOverCallerDb,
          hold: 0,
        }),
    ),
    fc.record({ speechMs: fc.integer({ min: 60, max: 3000 }), levelOverCallerDb: levels }).map(
      ({ speechMs, levelOverCallerDb }) =>
        (_state: TurnState, atMs: number): TurnEvent => ({ type: 'speech_end', t0Ms: atMs - 192, speechMs, levelOverCallerDb }),
    ),
    fc.record({ text: fc.constantFrom(...texts), isFinal: fc.boolean(), late: fc.integer({ min: -1, max: 1 }) }).map(
      ({ text, isFinal, late }) =>
        (state: TurnState, atMs: number): TurnEvent => ({
          type: 'transcript',
          turn: state.turn + late,
          text,
          isFinal,
          throughMs: atMs - 20,
        }),
    ),
    fc.constant((state: TurnState): TurnEvent => ({ type: 'stt_problem', turn: state.turn })),
    fc.record({ back: fc.integer({ min: -1, max: 0 }), sinceMs: fc.constantFrom(0, 192, 2000) }).map(
      ({ back, sinceMs }) =>
        (state: TurnState, atMs: number): TurnEvent => ({
          type: 'turn_asked',
          turn: state.turn + back,
          throughMs: (state.open?.t0Ms ?? atMs) - sinceMs,
        }),
    ),
    fc
      .record({ probability: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }), isOld: fc.boolean() })
      .map(
        ({ probability, isOld }) =>
          (state: TurnState): TurnEvent => ({
            type: 'turn_score',
            turn: state.turn,
            throughMs: isOld ? 0 : (state.open?.judgement?.throughMs ?? 0),
            probability,
          }),
      ),
    fc.constantFrom(...texts.slice(1)).map((text) => (): TurnEvent => ({ type: 'typed', text })),
    fc.constant((): TurnEvent => ({ type: 'activity' })),
    fc.constant((): TurnEvent => ({ type: 'context_changed' })),
    fc.integer({ min: -1, max: 0 }).map(
      (back) =>
        (state: TurnState): TurnEvent => ({ type: 'audio_started', speech: state.speech + back }),
    ),
    fc.record({ isEmpty: fc.boolean(), endsCall: fc.boolean() }).map(
      (how) =>
        (state: TurnState): TurnEvent => ({
          type: 'reply_end',
          speech: state.speech,
          ...how,
          endsCall: how.endsCall && how.isEmpty,
        }),
    ),
    fc.boolean().map(
      (isHeard) =>
        (state: TurnState): TurnEvent => ({ type: 'reply_failed', speech: state.speech, isHeard }),
    ),
    fc.integer({ min: 0, max: 2000 }).map(
      (heardMs) =>
        (state: TurnState): TurnEvent => ({ type: 'heard', speech: state.speech, heardMs }),
    ),
    fc.boolean().map(
      (isBroken) =>
        (state: TurnState): TurnEvent => ({ type: 'drained', speech: state.speech, isBroken }),
    ),
    fc.boolean().map(
      (isHeard) =>
        (state: TurnState): TurnEvent => ({ type: 'tts_failed', speech: state.speech, isHeard }),
    ),
    fc.record({ areRunning: fc.boolean(), protects: fc.constantFrom('nothing' as const, 'tool' as const, 'turn' as const) }).map(
      (how) =>
        (state: TurnState): TurnEvent => ({ type: 'tools', speech: state.speech, ...how }),
    ),
  ),
});

type Log = { readonly actions: Action[]; readonly state: TurnState; readonly problem: string | undefined };

/** Runs a conversation with its timers and checks what must hold after every step. */
function converse(inputs: readonly Input[]): Log {
  const actions: Action[] = [];
  let state: TurnState = initialState;
  let atMs = 0;
  let problem: string | undefined;
  const turnsEnded: number[] = [];
  const live = new Set<number>();
  const feed = (event: TurnEvent): void => {
    const before = state;
    const frozen = JSON.stringify(before);
    const result = step(before, event, atMs, turnDefaults, phrases);
    const again = step(before, event, atMs, turnDefaults, phrases);
    if (JSON.stringify(result) !== JSON.stringify(again)) problem ??= 'the same step gave two results';
    if (JSON.stringify(before) !== frozen) problem ??= 'a step changed its input';
    state = result.state;
    for (const action of result.actions) {
      actions.push(action);
      if (action.type === 'commit' || action.type === 'drop_turn') turnsEnded.push(action.turn);
      if (action.type === 'cut' && action.epoch !== before.epoch + 1) problem ??= 'an epoch was skipped';
      const isProtected =
        'speech' in action && action.speech === before.protectedSpeech && state.protectedSpeech === action.speech;
      const { phase } = before.agent;
      const isTooLate = before.agent.phase === 'thinking' && atMs >= before.agent.sinceMs + turnDefaults.thinkingMaxMs;
      const isGone = event.type === 'reply_failed' || event.type === 'tts_failed' || phase === 'idle' || isTooLate;
      if (isProtected && (action.type === 'cut' || (action.type === 'discard' && !isGone)))
        problem ??= `${action.type} of a speech that cannot be interrupted`;
      if (action.type === 'generate' || action.type === 'say') live.add(action.speech);
      if (action.type === 'undo') live.add(action.newSpeech);
      if (action.type === 'discard' && !live.has(action.speech))
        problem ??= `speech ${action.speech} was discarded but never begun`;
    }
    if (turnsEnded.some((turn, index) => turn !== index + 1)) problem ??= `turns ended as ${turnsEnded.join()}`;
    if (state.epoch < before.epoch) problem ??= 'the epoch went back';
    const { agent, open } = state;
    const deadline = nextDeadlineMs(state, turnDefaults);
    const hasLiveSpeech = agent.phase !== 'idle';
    const mayAskAgain = state.idlePrompts < turnDefaults.idlePromptsMax;
    if (
      !state.isEnded &&
      !hasLiveSpeech &&
      open === undefined &&
      mayAskAgain &&
      deadline === undefined &&
      state !== initialState
    ) {
      problem ??= 'nobody speaks and no timer runs';
    }
    if (!state.isEnded && open !== undefined && !open.isSpeaking && deadline === undefined)
      problem ??= 'an open turn has no timer';
    if (open === undefined && agent.phase === 'held') problem ??= 'held by nobody';
    if (agent.phase === 'held' && agent.speech === state.protectedSpeech) problem ??= 'what is protected is held';
    const isWaiting = state.waitingTyped !== undefined && (agent.phase === 'idle' || agent.speech !== state.waitingTyped.speech);
    if (!state.isEnded && isWaiting) problem ??= 'typed words are forgotten';
  };
  const timers = (): void => {
    for (let rounds = 0; rounds < 20; rounds++) {
      const due = nextDeadlineMs(state, turnDefaults);
      if (due === undefined || due > atMs) return;
      const before = JSON.stringify(state);
      feed({ type: 'time' });
      if (JSON.stringify(state) === before) return;
    }
    problem ??= 'the timers do not come to rest';
  };
  feed({ type: 'started', firstMessage: '' });
  for (const { waitMs, make } of inputs) {
    atMs += waitMs;
    timers();
    const event = make(state, atMs);
    // A hop or an end of speech comes only inside speech.
    if ((event.type === 'speech_hop' || event.type === 'speech_end') && state.open?.isSpeaking !== true) continue;
    if (event.type === 'speech_start' && state.open?.isSpeaking === true) continue;
    feed(event);
  }
  return { actions, state, problem };
}

test('every conversation keeps its invariants', (t) => {
  fc.assert(
    fc.property(fc.array(input, { maxLength: 60 }), (inputs) => {
      const { problem } = converse(inputs);
      if (problem !== undefined) throw new Error(problem);
    }),
    { numRuns: 1500 },
  );
  t.pass('1500 random conversations');
  t.end();
});

test('every CUT and every resume answers a HOLD or audible speech, and a HOLD never outlives its verdict', (t) => {
  fc.assert(
    fc.property(fc.array(input, { maxLength: 60 }), (inputs) => {
      const { actions } = converse(inputs);
      const cut = actions.filter((action) => action.type === 'cut').map((action) => action.speech);
      if (new Set(cut).size !== cut.length) throw new Error('one speech was cut twice');
      const undone = actions.filter((action) => action.type === 'undo');
      for (const { speech } of undone) if (!cut.includes(speech)) throw new Error('undone without a cut');
    }),
    { numRuns: 500 },
  );
  t.pass('500 random conversations');
  t.end();
});
