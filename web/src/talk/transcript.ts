/** The conversation as lines: what was said, what of it was heard, and what tools did. Pure: events in, new lines out. */

export type Rating = 'like' | 'dislike' | null;

export type Line =
  | {
      readonly id: number;
      readonly kind: 'caller';
      readonly text: string;
      readonly isTentative: boolean;
      readonly isTyped: boolean;
    }
  | {
      readonly id: number;
      readonly kind: 'agent';
      readonly text: string;
      /** What of it was heard, when that is less than all. */
      readonly heard: string | undefined;
      readonly eventId: number;
      /** More of it is to come. */
      readonly isOpen: boolean;
      readonly rating: Rating;
    }
  | {
      readonly id: number;
      readonly kind: 'tool';
      readonly name: string;
      readonly callId: string;
      readonly state: 'running' | 'done' | 'failed' | 'asking';
    }
  | { readonly id: number; readonly kind: 'notice'; readonly text: string };

/** A line without its number. */
type NewLine<Member = Line> = Member extends Line ? Omit<Member, 'id'> : never;
export type Lines = readonly Line[];
type AgentLine = Extract<Line, { kind: 'agent' }>;

/** Older lines are dropped from the screen; the server keeps them. */
const linesMax = 500;

export function add(lines: Lines, line: NewLine): Lines {
  const id = (lines.at(-1)?.id ?? 0) + 1;
  return [...lines.slice(-linesMax + 1), { id, ...line } as Line];
}

function replaceLast(lines: Lines, fits: (line: Line) => boolean, change: (line: Line) => Line): Lines | undefined {
  const at = lines.findLastIndex(fits);
  if (at < 0) return undefined;
  return lines.map((line, index) => (index === at ? change(line) : line));
}

const isOfReply =
  (eventId: number, isOpen?: boolean) =>
  (line: Line): boolean =>
    line.kind === 'agent' && line.eventId === eventId && (isOpen === undefined || line.isOpen === isOpen);

/** What the caller seems to be saying; the newest version replaces the one before. */
export function hearing(lines: Lines, text: string): Lines {
  const tentative = { kind: 'caller', text, isTentative: true, isTyped: false } as const;
  const change = (line: Line): Line => ({ ...line, ...tentative });
  return replaceLast(lines, (line) => line.kind === 'caller' && line.isTentative, change) ?? add(lines, tentative);
}

/** What the caller said. */
export function heard(lines: Lines, text: string): Lines {
  return add(notHearing(lines), { kind: 'caller', text, isTentative: false, isTyped: false });
}

/** Nothing came of it: a cough, a noise. */
export function notHearing(lines: Lines): Lines {
  return lines.filter((line) => line.kind !== 'caller' || !line.isTentative);
}

/** The agent's next words, while they are made. */
export function growing(lines: Lines, eventId: number, part: 'start' | 'delta' | 'stop', text: string): Lines {
  if (part === 'start') return lines; // a line with nothing in it would only flicker
  const isOpen = part === 'delta';
  const grown = replaceLast(lines, isOfReply(eventId, true), (line) => ({
    ...(line as AgentLine),
    text: (line as AgentLine).text + text,
    isOpen,
  }));
  if (grown !== undefined || !isOpen) return grown ?? lines;
  return add(lines, { kind: 'agent', text, heard: undefined, eventId, isOpen, rating: null });
}

/** A whole stretch of the agent's text: the end of one that grew, or one that comes at once. */
export function said(lines: Lines, eventId: number, text: string): Lines {
  const finish = (line: Line): Line => ({ ...(line as AgentLine), text, isOpen: false });
  const grown = replaceLast(
    lines,
    (line) => isOfReply(eventId)(line) && ((line as AgentLine).isOpen || (line as AgentLine).text === text),
    finish,
  );
  return grown ?? add(lines, { kind: 'agent', text, heard: undefined, eventId, isOpen: false, rating: null });
}

/** Only a part was heard. */
export function corrected(lines: Lines, eventId: number, original: string, heardText: string): Lines {
  const change = (line: Line): Line => ({ ...(line as AgentLine), isOpen: false, text: original, heard: heardText });
  return (
    replaceLast(lines, (line) => isOfReply(eventId)(line) && (line as AgentLine).text === original, change) ??
    replaceLast(lines, isOfReply(eventId), change) ??
    lines
  );
}

/** A reply that was cut goes on: nothing of it is struck out any more, and it has a new id. */
export function undone(lines: Lines, eventId: number, newEventId: number): Lines {
  return lines.map((line) =>
    isOfReply(eventId)(line) ? { ...(line as AgentLine), eventId: newEventId, heard: undefined } : line,
  );
}

export function rated(lines: Lines, eventId: number, rating: Rating): Lines {
  return lines.map((line) => (isOfReply(eventId)(line) ? { ...(line as AgentLine), rating } : line));
}

export function tool(lines: Lines, callId: string, name: string, state: Extract<Line, { kind: 'tool' }>['state']): Lines {
  const change = (line: Line): Line => ({ ...(line as Extract<Line, { kind: 'tool' }>), state });
  return (
    replaceLast(lines, (line) => line.kind === 'tool' && line.callId === callId, change) ??
    add(lines, { kind: 'tool', name, callId, state })
  );
}

/** What of a text was heard, and what was not. The heard part is a prefix, often with an ellipsis behind it. */
export function strike(text: string, heardText: string | undefined): { readonly heard: string; readonly unheard: string } {
  if (heardText === undefined) return { heard: text, unheard: '' };
  const prefix = heardText.replace(/\s*(…|\.\.\.)$/, '');
  return text.startsWith(prefix)
    ? { heard: prefix, unheard: text.slice(prefix.length) }
    : { heard: heardText, unheard: ` ${text}` };
}
