/** How a tool's call and what is said around it go together, from its configuration. Pure; API and conversation thread. */

export type ToolManner = {
  /**
   * `immediate`: while the words before it are being said. `post_tool_speech`: when they were heard. `async`: in the background; the reply goes
   * on without the result, and later ones know it.
   */
  readonly execution: 'immediate' | 'post_tool_speech' | 'async';
  /** What the caller cannot interrupt: the reply while the tool runs, or all the rest of it. */
  readonly protects: 'nothing' | 'tool' | 'turn';
  /** Whether something is said before the call; `auto`: when the tool was slow lately. */
  readonly preSpeech: 'auto' | 'force' | 'off';
};

/** The keys of the public API; the first of each pair is the older one. */
export type MannerConfig = {
  readonly disable_interruptions: boolean;
  readonly interruption_mode: 'allow' | 'disable_during_tool' | 'disable_during_tool_and_turn';
  readonly force_pre_tool_speech: boolean;
  readonly pre_tool_speech: 'auto' | 'force' | 'off';
  readonly execution_mode: ToolManner['execution'];
};

export const plainManner: ToolManner = { execution: 'immediate', protects: 'nothing', preSpeech: 'auto' };

const protectionOf = { allow: 'nothing', disable_during_tool: 'tool', disable_during_tool_and_turn: 'turn' } as const;

export function mannerOf(config: MannerConfig): ToolManner {
  const { interruption_mode: mode, pre_tool_speech: preSpeech, execution_mode: execution } = config;
  return {
    execution,
    protects: mode === 'allow' && config.disable_interruptions ? 'tool' : protectionOf[mode],
    preSpeech: preSpeech === 'auto' && config.force_pre_tool_speech ? 'force' : preSpeech,
  };
}

/** What several calls of one round protect together. One in the background protects nothing while it runs: that may take minutes. */
export function protectionBy(manners: readonly ToolManner[]): ToolManner['protects'] {
  if (manners.some(({ protects }) => protects === 'turn')) return 'turn';
  return manners.some(({ protects, execution }) => protects === 'tool' && execution !== 'async') ? 'tool' : 'nothing';
}
