/** When a conversation was, as this browser writes it. */
const dateText = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
export const dateOf = (unixSeconds: number): string => dateText.format(unixSeconds * 1000);
