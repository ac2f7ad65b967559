/** Colours and type of the page and of every picture, light, dark and on paper. The colours are the console's. Pure. */

const light = `--ground:#f6f5f2;--surface:#fff;--line:#e2dfd8;--strong:#c9c5bc;--ink:#1d1f21;--quiet:#62666b;--caller:#4c6fb5;--agent:#0d7a6f;--hold:#b7791f;--cut:#c0352d;--resume:#4d8a2e;--commit:#3f5fa8;--request:#7d4fa0;--audio:#0b665d;--good:#2e7d4f;--bad:#b3302a;--other:#8b8f95;--wash:#e0efec;--bad-wash:#fbe9e7`;
const dark = `--ground:#121416;--surface:#1a1d20;--line:#2b3035;--strong:#464d54;--ink:#e8e8e6;--quiet:#9ba1a8;--caller:#8fb0f0;--agent:#4fc9ba;--hold:#e3b04b;--cut:#f0857d;--resume:#94cf72;--commit:#9db5f5;--request:#c9a0e6;--audio:#4fc9ba;--good:#6ccf95;--bad:#f0857d;--other:#7e858d;--wash:#19332f;--bad-wash:#3a1f1d`;

/** Custom properties for a page (`:root`) or for a picture of its own (`svg`). Paper is always light. */
export function colours(root: string): string {
  return `${root}{color-scheme:light dark;${light}}@media (prefers-color-scheme:dark){${root}{${dark}}}@media print{${root}{color-scheme:light;${light};--ground:#fff}}`;
}

/** The marks inside pictures; the same in the page and in files of their own. */
export const pictureStyle = [
  'svg text{font:11px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}',
  'svg .small{font-size:9.5px}svg .tick{fill:var(--quiet);font-size:10px}svg .strong{font-weight:600}',
  'svg .grid{stroke:var(--line)}svg .axis{stroke:var(--strong)}svg .frame{fill:var(--surface);stroke:var(--line)}',
  'svg .gate{stroke:var(--cut);stroke-dasharray:5 3}svg .gate-text{fill:var(--cut);font-size:10px}',
  'svg .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}',
  ...['caller', 'agent', 'hold', 'cut', 'resume', 'commit', 'request', 'audio', 'good', 'bad', 'other', 'quiet', 'ink'].map(
    (name) => `svg .s-${name}{stroke:var(--${name})}svg .f-${name}{fill:var(--${name})}`,
  ),
  'svg .wave{stroke:none;opacity:.85}svg .shade{opacity:.18;stroke:none}svg .shade.f-cut{opacity:.3}svg .faint{opacity:.35}svg .dash{stroke-dasharray:3 3}',
  'svg .halo{paint-order:stroke;stroke:var(--surface);stroke-width:3px;stroke-linejoin:round}',
].join('');

export const pageStyle = `
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1200px;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.1rem 0 .3rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2.6rem 0 .7rem}h3{font-size:.95rem;margin:.2rem 0 .3rem}
p,ul{margin:.4rem 0}ul{padding-left:1.1rem}li{margin:.25rem 0}a{color:var(--agent)}
.kind{color:var(--quiet);margin:0;font-size:.9rem}.quiet,.quiet a{color:var(--quiet);font-weight:400}.good{color:var(--good)}.bad{color:var(--bad)}
.verdict{display:flex;flex-wrap:wrap;gap:.4rem 1.6rem;align-items:center;margin:1.4rem 0 .4rem;padding:.8rem 1.1rem;border-radius:.6rem;background:var(--wash)}
.verdict.bad{background:var(--bad-wash);color:inherit}.verdict.good{color:inherit}.verdict p{margin:0}.verdict p:last-child{flex:1 1 22rem}
.number{font-size:2.6rem;font-weight:650;line-height:1.1;font-variant-numeric:tabular-nums}.number small{font-size:.95rem;font-weight:400}.number .range{display:block;color:var(--quiet);font-size:.82rem}
figure svg{margin:0 auto}figure{margin:1rem 0;padding:.9rem 1rem;background:var(--surface);border:1px solid var(--line);border-radius:.6rem}
figcaption{margin-top:.5rem;font-size:.88rem;color:var(--quiet)}figcaption b{color:var(--ink)}
.scroll{overflow-x:auto}.scroll svg{display:block;width:100%;min-width:34rem;height:auto}.wide svg{min-width:58rem}.pair .scroll svg,.top .scroll svg{min-width:0}
.top{display:grid;grid-template-columns:minmax(0,1.15fr) minmax(0,1fr);gap:0 2rem;align-items:start}.top h2{margin-top:1.2rem}@media (max-width:60rem){.top{grid-template-columns:minmax(0,1fr)}}.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:0 1rem}.pair figure{margin:.5rem 0}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:.5rem 2rem;font-size:.92rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
td,th{padding:.28rem .9rem .28rem 0;text-align:right;border-bottom:1px solid var(--line);font-weight:400;white-space:nowrap;vertical-align:top}
th:first-child,td:first-child,td+th,.text{text-align:left}tr:first-child>th{color:var(--quiet)}.gates th,.stats tr+tr>th,.scenarios tr+tr>th{color:var(--ink)}.gates tr:first-child th{color:var(--ink)}
tr.head th{padding-top:1.1rem;font-weight:600;text-align:left}.text{white-space:normal}.condition{display:block}
.scenarios th:nth-child(2),.gates th{text-align:left}.scenarios td+th{white-space:normal;min-width:15rem}.scenarios td{font-size:.85rem}.scenarios a{margin-left:.35rem}
.key{display:inline-block;margin-right:.9rem}.key i{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.35em;vertical-align:-.02em}
.b-agent{background:var(--agent)}.b-hold{background:var(--hold)}.b-caller{background:var(--caller)}
details{margin:.5rem 0;padding:.5rem .9rem;background:var(--surface);border:1px solid var(--line);border-radius:.6rem}summary{cursor:pointer}details .scroll{margin-top:.6rem}
footer{margin-top:3rem;font-size:.85rem}
@media print{@page{margin:14mm}main{max-width:none;padding:0}body{font-size:10pt}figure,details,.verdict,tr{break-inside:avoid}h2{break-after:avoid}.scroll{overflow:visible}.scroll svg,.wide svg{min-width:0}table{font-size:8pt}.scenarios td,.scenarios th{white-space:normal}.scenarios td:last-child,.scenarios th:last-child{display:none}.verdict,figure{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
`.replace(/\n/g, '');
