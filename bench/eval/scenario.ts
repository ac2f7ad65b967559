/** What a scenario file says: the script of one call, and what is expected of the engine in it. */
import * as z from 'zod';

export const families = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N'] as const;
export type Family = (typeof families)[number];

/**
 * When something begins. `after` names what it waits for: `prev.start`, `prev.end`, `agent.onset#k` and `agent.end#k` (k-th utterance that the
 * caller hears, from 1), `agent.word#k:w` (end of its w-th word), `event:<id>.end`. Reactive anchors use what the caller hears.
 */
const instant = z.union([
  z.strictObject({ abs: z.number().min(0) }),
  z.strictObject({
    after: z.string().regex(/^(prev\.(start|end)|agent\.(onset|end)#\d+|agent\.word#\d+:\d+|event:[\w-]+\.end)$/),
    ms: z.number(),
  }),
]);
export type Instant = z.infer<typeof instant>;

const role = z.enum(['turn', 'interrupt', 'backchannel', 'abandon', 'aside', 'wait']);
export type Role = z.infer<typeof role>;

const expectation = z.enum(['yield', 'ignore', 'resume', 'merge', 'wait']);
export type Expectation = z.infer<typeof expectation>;

const step = z.strictObject({
  say: z.string().min(1),
  /** Parts with the same name are one contribution of the caller. */
  turn: z.string().optional(),
  /** The last part of its turn. */
  final: z.boolean().default(false),
  role: role.default('turn'),
  at: instant,
  level_dbfs: z.number().min(-60).max(-3).optional(),
  /** For roles other than `turn`. */
  expect: expectation.optional(),
});
export type Step = z.infer<typeof step>;

const eventClass = z.enum([
  'cough',
  'sneeze',
  'door',
  'keys',
  'click',
  'tone',
  'ring',
  'music',
  'breath',
  'bystander',
  'babble',
  'silence',
  'hang_up',
]);
export type EventClass = z.infer<typeof eventClass>;

const event = z.strictObject({
  id: z.string().regex(/^[\w-]+$/),
  class: eventClass,
  at: instant,
  /** Of the sound's loudest 50 ms. */
  level_dbfs: z.number().min(-60).max(-3).optional(),
  /** Under the caller's voice level, in place of `level_dbfs`. */
  snr_db: z.number().optional(),
  dur: z.number().positive().optional(),
  /** What a bystander says. */
  say: z.string().optional(),
  expect: expectation,
});
export type ScenarioEvent = z.infer<typeof event>;

const channel = z.strictObject({
  kind: z.enum(['wide', 'phone', 'opus']).default('wide'),
  /** Share of 20 ms frames that never arrive. */
  loss: z.number().min(0).max(0.2).default(0),
  jitter_ms: z.number().min(0).max(200).default(0),
  noise_snr_db: z.number().optional(),
  gain_db: z.number().default(0),
  /** Samples are limited at full scale after `gain_db`. */
  echo: z
    .strictObject({
      db: z.number().max(30),
      delay_ms: z.number().min(0).max(500),
      aec_hint: z.boolean().default(false),
      /** Of a loudspeaker that distorts. */
      limit_dbfs: z.number().min(-90).max(0).optional(),
      expect: z.enum(['ignore', 'resume']).default('ignore'),
    })
    .optional(),
});
export type ChannelSetting = z.infer<typeof channel>;

export const scenarioSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9-]+$/),
  family: z.enum(families),
  title: z.string().min(1),
  seed: z.int().min(0),
  part: z.enum(['open', 'held']),
  voice: z.strictObject({ name: z.string(), level_dbfs: z.number().default(-26) }),
  channel: z.union([z.enum(['wide', 'phone', 'opus']).transform((kind) => channel.parse({ kind })), channel]).prefault('wide'),
  agent: z.strictObject({
    greeting: z.string().nullable(),
    /** What the model answers to each turn, by its name; `*`: to anything else. */
    answers: z.record(z.string(), z.string()),
  }),
  gap_class: z.enum(['normal', 'dictation']).default('normal'),
  steps: z.array(step),
  events: z.array(event).default([]),
  /** Engine settings under test, in the shape of an agent's `conversation_config` and `parley`. */
  config: z.record(z.string(), z.unknown()).default({}),
  /** `max`: at the latest so many ms after the connect. */
  end: z.strictObject({ after: z.string(), ms: z.number(), max: z.number().positive().max(120_000) }),
  expect: z.strictObject({
    /** Turns that are to be answered. */
    answers: z.int().min(0),
    merge: z.array(z.string()).default([]),
    forbid: z.array(z.enum(['cut_in', 'double_answer', 'spurious', 'stop', 'idle_prompt'])).default([]),
    /** The idle prompt is due this long after the agent fell silent. */
    idle_prompt_ms: z.number().positive().optional(),
  }),
});
export type Scenario = z.infer<typeof scenarioSchema>;
