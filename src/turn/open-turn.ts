/** The open user turn as a value: how it begins, what its words are, and whether recognition has caught up with it. Pure; conversation thread. */
import type { OpenTurn } from './state.js';

/** A turn that speech has just opened. */
export function newOpenTurn(startMs: number): OpenTurn {
  return {
    startMs,
    isSpeaking: true,
    t0Ms: startMs,
    endedAtMs: startMs,
    closedSpeechMs: 0,
    segmentSpeechMs: 0,
    continuousMs: 0,
    meanProbability: 0,
    levelOverCallerDb: 0,
    loudestDb: 0,
    isOther: false,
    text: '',
    isFinal: false,
    throughMs: 0,
    hasTranscript: false,
    hasProblem: false,
    judgement: undefined,
    prefix: '',
    draft: undefined,
    draftCount: 0,
    waitsFor: 0,
  };
}

/** There is a final that reaches to the last speech. */
export const covers = (open: OpenTurn): boolean => open.hasTranscript && open.isFinal && open.throughMs >= open.t0Ms;

/** The words of the turn, with those of the turn that it continues. */
export const mergedText = (open: OpenTurn): string => (open.prefix === '' ? open.text : `${open.prefix} ${open.text}`.trim());
