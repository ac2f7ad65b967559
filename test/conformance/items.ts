/** The numbered items of the conformance list, in our words. Tests name the ones they prove at the beginning of their own name. Data only. */

export type Item = { readonly id: string; readonly sentence: string };

const items = (letter: 'C' | 'R', sentences: readonly string[]): Item[] =>
  sentences.map((sentence, index) => ({ id: `${letter}${index + 1}`, sentence }));

export const conformanceItems: readonly Item[] = [
  ...items('C', [
    'The upgrade succeeds with agent_id, source, version, environment in any order, and with unknown parameters.',
    'convai is offered: the answer is exactly convai.',
    'convai and bearer.x are offered: the answer is convai, and x is a credential.',
    'No subprotocol is offered: none is answered, and the conversation works.',
    'Unknown agent, bad signature: the upgrade succeeds, then a close with a code and a reason, which the JavaScript client shows.',
    'Signed URLs: made by REST, used once within their life, refused after it; a conversation outlives its URL.',
    'The first frame is the metadata, within 1 s of the initiation.',
    'At least 20 ms between the metadata and the next frame; the JavaScript client hears the first reply in every run.',
    'Without an initiation the conversation starts after the grace time; with audio first, at once.',
    'Audio before the metadata is not lost.',
    'enclave_setup_config before the initiation is tolerated.',
    'Exactly one metadata message a conversation.',
    'The metadata names both formats, in text mode too.',
    'Allowed overrides take effect: prompt, llm, first message, language, voice and its settings, keywords, text-only.',
    'A forbidden override: the metadata, then a close with 1008 that names the field.',
    'Empty objects, null and values equal to the configured ones are no violation.',
    'text_only at the top level of the overrides switches to text mode.',
    'Variables of every type are filled in, secrets never reach the model, a missing one is an error of its own.',
    'custom_llm_extra_body reaches a custom LLM as elevenlabs_extra_body when that is allowed.',
    'user_id and source_info are in the stored conversation.',
    'Every frame is text, an object with a string type; every event_id is an integer.',
    'Pings: the first id is 1, ping_ms is present, at most 10 s apart, updated by pongs.',
    'user_message interrupts, is answered, and is not echoed.',
    'contextual_update is not answered; the newest of one id wins; the next generation sees it.',
    'user_activity puts off the turn timeout and the next start of the agent; 50 a second do no harm.',
    'Feedback is stored with the right reply.',
    'multimodal_message works with file, with files, with both.',
    'Unknown types and malformed JSON do not end the conversation.',
    'Only events that client_events lists are sent, and those that always are.',
    'Output chunks are whole samples of the announced format; none is empty.',
    'Input of any chunk size and cadence gives the same transcript.',
    'After interruption no audio of an older reply is sent.',
    'Ids: earlier audio < interruption < the next reply.',
    'The corrected text is a prefix, within a word of what was played.',
    'Without interruption in client_events the user cannot interrupt.',
    'Alignment: arrays of one length, whole numbers, relative to their chunk, never null.',
    'Text mode: start, deltas, stop, and one agent_response with the same id and text.',
    'Text mode never sends audio.',
    'Client tools: every kind of result, errors, unknown tools, tools that throw, timeouts.',
    'expects_response false does not delay the reply.',
    'end_call: the farewell is played to its end, then 1000; the client reports the agent.',
    'MCP approval: approved, denied, too late, asked twice.',
    'Every way of closing frees everything within 1 s.',
    'Maximum duration: error max_duration_exceeded, then 1000.',
    'A provider that fails: error with its type, then 1002 with a reason.',
    'A half-open connection is noticed and closed.',
    'A client that stops reading does not make the server grow.',
    'The unmodified official clients hold the scripted conversations.',
  ]),
  ...items('R', [
    'Bodies of every endpoint are accepted by the Node SDK.',
    'Both spellings of the signed-URL path work.',
    'conversation/token answers 404 with CORS headers and a message that helps.',
    'feedback and files work from a page of another origin.',
    'Keyed endpoints answer 401 without or with a wrong key; public ones work.',
    '422 answers have the form of a list.',
    'Uploads to unknown or finished conversations, too large ones and foreign types are refused.',
    'The record shows interrupted replies, tools, feedback, user_id, source_info, variables.',
    'Scheme and host of a signed URL follow the public URL behind a proxy.',
    'The signature of the webhook after the call verifies with the helpers of the SDKs.',
  ]),
];

/** Parts of items that no test here plays, and why. The rest of those items is tested. */
export const partsLeftOut: readonly { readonly id: string; readonly what: string; readonly why: string }[] = [
  { id: 'C39', what: 'the Python SDK', why: 'no dependency of an npm project; its messages are played on the wire' },
  {
    id: 'C48',
    what: 'the Python SDK',
    why: 'no dependency of an npm project; what it sends is played on the wire (C16, C17, C39)',
  },
  {
    id: 'C48',
    what: 'React and the widget',
    why: 'no dependencies of the project; their connection is that of the JavaScript client',
  },
  { id: 'C48', what: 'the mobile SDKs', why: 'need their platforms' },
  { id: 'R2', what: 'the Python SDK', why: 'no dependency of an npm project' },
  { id: 'R10', what: 'the helper of the Python SDK', why: 'no dependency of an npm project' },
];
