/** What every page of the evaluator is put together from: one file that fetches nothing and runs nothing. Pure. */
import { escapeText } from '../../../load/rig/charts.js';
import { colours, pageStyle, pictureStyle } from './style.js';

/** `body` is HTML. */
export function htmlPage(title: string, body: readonly string[]): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeText(title)}</title><style>${colours(':root')}${pageStyle}${pictureStyle}</style></head><body><main>${body.join('\n')}</main></body></html>\n`;
}

/** Nothing when there is no content. */
export function section(title: string, content: readonly string[]): string {
  const shown = content.filter((each) => each !== '');
  return shown.length === 0 ? '' : `<section><h2>${escapeText(title)}</h2>${shown.join('\n')}</section>`;
}

/** `note` is HTML. */
export function figure(caption: string, svg: string, note = ''): string {
  if (svg === '') return '';
  const head = caption === '' ? '' : `<b>${escapeText(caption)}</b>`;
  return `<figure><div class="scroll">${svg}</div>${head === '' && note === '' ? '' : `<figcaption>${head} ${note}</figcaption>`}</figure>`;
}
