/** The upgrade request: query strings as the clients write them, subprotocols, credentials. */
import fc from 'fast-check';
import { test } from 'tap';
import { bearerTokenOf, chooseSubprotocol, parseHandshakeQuery } from '../src/wire/handshake.js';

const nothing = {
  agentId: undefined,
  conversationSignature: undefined,
  source: undefined,
  version: undefined,
  environment: 'production',
  branchId: undefined,
};

test('query strings', (t) => {
  const cases: [string, object | undefined][] = [
    ['', {}],
    ['agent_id=a1', { agentId: 'a1' }],
    ['agent_id=a1&source=js_sdk&version=1.25.0', { agentId: 'a1', source: 'js_sdk', version: '1.25.0' }],
    [
      'version=2&environment=staging&source=widget&agent_id=a1',
      { agentId: 'a1', source: 'widget', version: '2', environment: 'staging' },
    ],
    ['conversation_signature=s%2Bg%3D&agent_id=a', { agentId: 'a', conversationSignature: 's+g=' }],
    ['token=old', { conversationSignature: 'old' }],
    ['token=old&conversation_signature=new', { conversationSignature: 'new' }],
    ['agent_id=a+b=c', { agentId: 'a+b=c' }],
    ['agent_id=first&agent_id=second', { agentId: 'first' }],
    ['agent_id=&source', {}],
    ['branch_id=b&utm=1&&=&x', { branchId: 'b' }],
    ['agent_id=%C3%A4', { agentId: 'ä' }],
    ['agent%5Fid=a', { agentId: 'a' }],
    ['__proto__=x&constructor=y&agent_id=a', { agentId: 'a' }],
    ['agent_id=%', undefined],
    ['agent_id=%4', undefined],
    ['agent_id=%zz', undefined],
    ['agent_id=%ff', undefined],
    ['agent_id=a%00b', undefined],
    ['agent_id=a%0Ab', undefined],
    ['other=%', undefined],
  ];
  for (const [query, expected] of cases) {
    t.same(
      parseHandshakeQuery(query),
      expected === undefined
        ? { ok: false, message: 'The query string is not percent-encoded UTF-8.' }
        : { ok: true, query: { ...nothing, ...expected } },
      query,
    );
  }
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (query) => typeof parseHandshakeQuery(query).ok === 'boolean'));
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (agentId) => {
      const outcome = parseHandshakeQuery(`x=1&agent_id=${encodeURIComponent(agentId)}&agent_id=other`);
      return outcome.ok && outcome.query.agentId === agentId;
    }),
  );
  t.end();
});

test('subprotocols', (t) => {
  const refused = { ok: false, message: 'Offer the subprotocol convai, or none.' };
  const cases: [string[], object][] = [
    [[], { ok: true, protocol: undefined, bearerToken: undefined }],
    [['convai'], { ok: true, protocol: 'convai', bearerToken: undefined }],
    [['convai', 'bearer.x.y'], { ok: true, protocol: 'convai', bearerToken: 'x.y' }],
    [['bearer.x', 'other', 'convai'], { ok: true, protocol: 'convai', bearerToken: 'x' }],
    [['convai', 'bearer.'], { ok: true, protocol: 'convai', bearerToken: undefined }],
    [['bearer.x'], refused],
    [['Convai'], refused],
    [['chat', 'superchat'], refused],
    [[''], refused],
  ];
  for (const [offered, choice] of cases) t.same(chooseSubprotocol(offered), choice, offered.join(', '));
  t.end();
});

test('authorization headers', (t) => {
  const cases: [string | undefined, string | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['Bearer abc.def', 'abc.def'],
    ['bearer  abc ', 'abc'],
    ['Bearer', undefined],
    ['Bearer ', undefined],
    ['Bearer a b', undefined],
    ['Basic dXNlcg==', undefined],
  ];
  for (const [header, token] of cases) t.equal(bearerTokenOf(header), token, header ?? 'absent');
  t.end();
});
