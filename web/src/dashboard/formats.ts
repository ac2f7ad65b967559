/** Numbers as people read them. Pure. */

/** Milliseconds, three digits. */
export function milliseconds(value: number): string {
  if (value === 0) return '0 ms';
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 100) return `${Math.round(value)} ms`;
  return `${value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

export function amount(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} k`;
  if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export const perSecond = (value: number): string => `${amount(value)}/s`;
/** At an axis, where figures are round. */
export function axisMilliseconds(value: number): string {
  return value >= 1000 ? `${round(value / 1000)} s` : `${round(value)} ms`;
}

/** Without zeros that say nothing. */
export const round = (value: number): number => Number(value.toPrecision(3));

export const percent = (value: number): string => `${value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;
export const mebibytes = (value: number): string => `${value >= 100 || value === 0 ? value.toFixed(0) : value.toFixed(1)} MB`;

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
export const clockOf = (unixMs: number): string => clock.format(unixMs);
