/** What the server says of a call, in words for whoever wants to talk. Pure. */

export type Problem = { readonly title: string; readonly advice: string };

/** What the protocol's own names stand for on this page. */
const overrideNames: Readonly<Record<string, string>> = {
  text_only: 'whether it is text only',
  client_events: 'which events are sent',
};

/** What the server said when it ended a call, or did not begin it. Pure. */
export function explained(message: string, closeCode: number | undefined): Problem {
  const missing = /^Missing required dynamic variables: (.+)$/.exec(message)?.[1];
  if (missing !== undefined) return variablesProblem(missing.split(', '));
  const field = /^Override for field '(.+)' is not allowed by config\.$/.exec(message)?.[1];
  if (field !== undefined) {
    return {
      title: `The agent does not let a client choose ${overrideNames[field] ?? field}.`,
      advice: 'Its settings say so, under platform_settings.overrides. Start without it, or allow it there.',
    };
  }
  if (closeCode === 1013 || /^capacity|overloaded/.test(message))
    return { title: message, advice: 'Wait a little and start again.' };
  if (closeCode === 3000 || closeCode === 1008)
    return { title: message, advice: 'Look at the agent’s settings, or choose another agent.' };
  return { title: message, advice: 'Start again; if it stays, the server’s log says more.' };
}

export function variablesProblem(names: readonly string[]): Problem {
  const what = names.length === 1 ? 'a value' : 'values';
  return {
    title: `The agent needs ${what} for ${names.join(', ')}.`,
    advice: 'Fill in what is missing under Variables, and start again.',
  };
}
