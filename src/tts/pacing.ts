/** The numbers of the pacer: how far ahead audio is sent, and what is said again after a hole. TTS thread. */

export const pacing = {
  /** All sessions are looked at together this often. */
  gridMs: 10,
  /** A frame is in the ring up to this much before it is due, and main sends it when it is: a tick that is less late than that does no harm. */
  earlyMs: 20,
  frameMs: 40,
  /** The first audio of a speech goes out unpaced up to this. */
  leadStartMs: 120,
  /** Afterwards this much is sent ahead of real time, more when link or timers are unsteady: less stutters, more delays a barge-in. */
  leadMinMs: 72,
  leadMaxMs: 250,
  /** A frame that cannot be filled is sent short when less than this is left to play. */
  shortFrameMs: 30,
  /** After a hole up to this the next sample follows; after a longer one the word before it is said again. */
  holeMs: 250,
  rewindMaxMs: 600,
  /** What begins behind a hole fades in over this much; from a tenth to nine tenths of the level it takes three fifths of it. */
  fadeInMs: 10,
  /** At a HOLD this much more is sent, faded out: what the client has would end in the middle of a wave. 0: nothing. */
  tailMs: 8,
  /** Audio kept behind the cursor, for rewinding. */
  keptMs: 1500,
} as const;

export type Pacing = { readonly [Name in keyof typeof pacing]: number };

/** A gateway between telephone and engine has a jitter buffer of its own, so less has to be sent ahead; the frames are shorter then, too. */
const phoneRateHz = 8000;
const phoneLeadMs = 34;
const shortFrames = { frameMs: 20, shortFrameMs: 15 } as const;
/** Below this lead a frame of 40 ms would leave next to nothing in hand. */
const shortFramesBelowMs = 60;

/** `base`, for a client of that sample rate or with that lead. */
export function pacingFor(base: Pacing, rateHz: number, leadMs: number | undefined): Pacing {
  const wantedMs = leadMs ?? (rateHz === phoneRateHz ? phoneLeadMs : pacing.leadMinMs);
  const moreMs = wantedMs - pacing.leadMinMs;
  if (moreMs === 0) return base;
  const leads = { leadStartMs: Math.max(base.leadStartMs + moreMs, wantedMs), leadMinMs: base.leadMinMs + moreMs };
  return { ...base, ...leads, ...(wantedMs < shortFramesBelowMs ? shortFrames : {}) };
}
