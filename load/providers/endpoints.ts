/** The services of the simulator that draw delays and take faults. */

/** `tts` is synthesis, over a socket or ElevenLabs' HTTP; `tts_connect` the upgrade of such a socket; `speech` OpenAI's synthesis. */
export const endpoints = ['stt', 'llm', 'tts', 'tts_connect', 'speech'] as const;
export type Endpoint = (typeof endpoints)[number];
