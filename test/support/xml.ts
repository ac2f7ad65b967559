/** A strict reader of small XML documents for tests of pictures: anything that is not well-formed throws. */
import assert from 'node:assert/strict';

export type XmlElement = {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: XmlElement[];
  text: string;
};

const tag = /<(?:\?xml[^?]*\?|(\/)?([a-zA-Z][\w-]*)((?:\s+[a-zA-Z][\w:-]*="[^"<]*")*)\s*(\/)?)>/y;
const words = /[^<]+/y;
const entity = /&(amp|lt|gt|quot|#\d+);/g;

function decoded(text: string): string {
  assert.ok(!/&(?!(?:amp|lt|gt|quot|#\d+);)/.test(text), `stray & in "${text.slice(0, 60)}"`);
  const names: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"' };
  return text.replace(entity, (_, name: string) => names[name] ?? String.fromCodePoint(Number(name.slice(1))));
}

/** The one root element of `source`. */
export function readXml(source: string): XmlElement {
  const document: XmlElement = { name: '', attributes: {}, children: [], text: '' };
  const open = [document];
  for (let at = 0; at < source.length; ) {
    words.lastIndex = at;
    const text = words.exec(source);
    if (text !== null) {
      open.at(-1)!.text += decoded(text[0]);
      at = words.lastIndex;
      continue;
    }
    tag.lastIndex = at;
    const match = tag.exec(source);
    assert.ok(match !== null, `not a tag at ${at}: "${source.slice(at, at + 60)}"`);
    at = tag.lastIndex;
    const [, closing, name, attributeText, selfClosing] = match;
    if (name === undefined) continue;
    if (closing !== undefined) {
      assert.equal(open.pop()!.name, name, `</${name}> closes another element`);
      continue;
    }
    const pairs = [...(attributeText ?? '').matchAll(/([\w:-]+)="([^"]*)"/g)].map(
      ([, key, value]) => [key!, decoded(value!)] as const,
    );
    assert.equal(new Set(pairs.map(([key]) => key)).size, pairs.length, `<${name}> repeats an attribute`);
    const made: XmlElement = { name, attributes: Object.fromEntries(pairs), children: [], text: '' };
    open.at(-1)!.children.push(made);
    if (selfClosing === undefined) open.push(made);
  }
  assert.equal(open.length, 1, `<${open.at(-1)!.name}> is not closed`);
  assert.equal(document.text.trim(), '', 'text outside the root');
  assert.equal(document.children.length, 1, 'one root');
  return document.children[0]!;
}

/** All elements under `root` that `is` picks, in order. */
export function pick(root: XmlElement, is: (element: XmlElement) => boolean): XmlElement[] {
  return root.children.flatMap((child) => [...(is(child) ? [child] : []), ...pick(child, is)]);
}
