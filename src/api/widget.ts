/** `GET /v1/convai/agents/{id}/widget`: what the embedded widget needs to know of an agent. Anybody may ask. API thread. */
import { z } from 'zod';
import { readTicket } from '../wire/signed-url.js';
import { checkDocument } from './agent-documents.js';
import type { ApiContext } from './context.js';
import { refuse } from './errors.js';
import { ok } from './http.js';
import { isObject } from './merge.js';
import { json, type Route, route } from './router.js';

/** Shown unless `platform_settings.widget` says otherwise. */
const looks = {
  variant: 'full',
  placement: 'bottom-right',
  avatar: { type: 'orb', color_1: '#2792dc', color_2: '#9ce6e6' },
  feedback_mode: 'none',
  terms_text: null,
  terms_html: null,
  terms_key: null,
  mic_muting_enabled: true,
  transcript_enabled: true,
  text_input_enabled: true,
  default_expanded: false,
  always_expanded: false,
  dismissible: false,
  strip_audio_tags: true,
  show_agent_status: false,
  disable_banner: true,
  text_contents: {},
  styles: {},
} as const;

export function widgetRoutes(context: ApiContext): Route[] {
  const { directory, signingKey, nowMs } = context;
  return [
    route('GET', '/v1/convai/agents/{agent_id}/widget', {
      id: 'getWidget',
      summary: 'Configuration of the embedded widget',
      isPublic: true,
      query: z.object({ conversation_signature: z.string().max(4096).optional() }),
      answer: json(z.object({ agent_id: z.string(), widget_config: z.looseObject({ language: z.string() }) })),
      run: async ({ params, query }) => {
        const agentId = params['agent_id']!;
        const record = await directory.record(agentId);
        const checked = record === undefined ? undefined : checkDocument(agentId, record.name, record.config);
        if (record === undefined || checked?.ok !== true) {
          throw refuse(404, 'document_not_found', `Agent ${agentId} does not exist.`);
        }
        const { conversation_config: config, platform_settings: settings } = checked.agent;
        if (settings.auth.enable_auth) {
          const { conversation_signature: signature } = query;
          const shown = signature === undefined ? undefined : readTicket(signature, signingKey, nowMs());
          if (shown?.ok !== true || shown.ticket.agentId !== agentId) {
            throw refuse(401, 'needs_authorization', 'This agent needs a signed URL; pass its conversation_signature.');
          }
        }
        const own = isObject(record.config['platform_settings']) ? record.config['platform_settings']['widget'] : undefined;
        const may = settings.overrides.conversation_config_override;
        const presets = Object.entries(config.language_presets).map(([language, { overrides }]) => [
          language,
          { first_message: overrides.agent.first_message ?? config.agent.first_message },
        ]);
        return ok({
          agent_id: agentId,
          widget_config: {
            ...looks,
            ...(isObject(own) ? own : {}),
            language: config.agent.language,
            supported_language_overrides: may.agent.language
              ? [config.agent.language, ...presets.map(([language]) => language)]
              : [],
            language_presets: Object.fromEntries(presets),
            first_message: config.agent.first_message,
            text_only: config.conversation.text_only,
            supports_text_only: config.conversation.text_only || may.conversation.text_only,
            // There is no WebRTC here.
            use_rtc: false,
            file_input_config: config.conversation.file_input,
          },
        });
      },
    }),
  ];
}
