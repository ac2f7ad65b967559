/** Parameters of tools: what the model sees, what is filled in, and configurations that are refused by name. */
import fc from 'fast-check';
import { test } from 'tap';
import { checkMcpServer, needsApproval, toolHash } from '../src/tools/mcp-config.js';
import { capped, textOf, withoutSecrets } from '../src/tools/result-text.js';
import { fillIn, fillText, misfitOf, modelSchema, parseParameters, schemaLimits, variablesOf } from '../src/tools/schema.js';
import { checkedArguments } from '../src/tools/webhook.js';
import { checkWebhook } from '../src/tools/webhook-config.js';

type Doc = Record<string, unknown>;

const literal: fc.Arbitrary<Doc> = fc.oneof(
  fc.constantFrom('string', 'integer', 'boolean').map((type) => ({ type, description: 'chosen' })),
  fc.string({ minLength: 1 }).map((value) => ({ type: 'string', constant_value: value })),
  fc.constantFrom('known', 'unknown').map((name) => ({ type: 'string', dynamic_variable: name })),
  fc.constant({ type: 'string', is_omitted: true }),
);
const names = fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor', 'toString');
const { object } = fc.letrec<{ object: Doc; node: Doc }>((tie) => ({
  object: fc.tuple(fc.array(fc.tuple(names, tie('node')), { maxLength: 4 }), fc.boolean()).map(([entries, isRequired]) => {
    const properties = Object.fromEntries(entries);
    const free = Object.keys(properties).filter((name) => (properties[name] as Doc)['dynamic_variable'] !== 'unknown');
    return { type: 'object', properties, ...(isRequired ? { required: free } : {}) };
  }),
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    literal,
    tie('object'),
    tie('node').map((items) => ({ type: 'array', items })),
  ),
}));

test('what the model gives passes through, what it does not give cannot be changed by it', (t) => {
  fc.assert(
    fc.property(object, fc.jsonValue(), (document, noise) => {
      const schema = parseParameters(document);
      const visible = modelSchema(schema);
      const text = JSON.stringify(visible);
      // Neither constants nor names of variables are in what the model sees.
      if (/constant_value|dynamic_variable|"known"|"unknown"/.test(text)) return false;
      const hostile = hostileValue(document, noise);
      let sent: unknown;
      try {
        sent = fillIn(schema, hostile, { known: 'value' });
      } catch (error) {
        // Only in lists is a missing variable needed: their items are all required.
        return /"unknown" is missing/.test(String(error)) && JSON.stringify(document).includes('"items"');
      }
      return agrees(document, sent, hostile);
    }),
    { numRuns: 500 },
  );
  t.end();
});

test('arguments of client tools are judged as a validator of JSON Schema judges them', (t) => {
  const names = fc.constantFrom('a', 'b', 'c');
  const type = fc.constantFrom('string', 'number', 'integer', 'boolean', 'null');
  const { schema } = fc.letrec<{ schema: Doc }>((tie) => ({
    schema: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      type.map((one) => ({ type: one })),
      fc.uniqueArray(type, { minLength: 1 }).map((several) => ({ type: several })),
      fc.array(fc.constantFrom<unknown>('x', 1, -0, true, null, { k: [1] }), { minLength: 1 }).map((choices) => ({
        type: ['string', 'number', 'boolean', 'null', 'object'],
        enum: choices,
      })),
      fc.constant({ type: 'string', constant_value: 'ours' }),
      tie('schema').map((items) => ({ type: 'array', items })),
      fc.tuple(fc.dictionary(names, tie('schema'), { maxKeys: 3 }), fc.boolean()).map(([properties, isRequired]) => ({
        type: 'object',
        properties,
        ...(isRequired ? { required: Object.keys(properties) } : {}),
      })),
    ),
  }));
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom('x', 1, 0, 1.5, true, null, { k: [1] }, {}, []),
      fc.array(tie('value'), { maxLength: 2 }),
      fc.dictionary(names, tie('value'), { maxKeys: 3 }),
    ),
  }));
  const judged = { fit: 0, misfit: 0 };
  fc.assert(
    fc.property(schema, fc.array(value, { minLength: 8, maxLength: 8 }), (document, values) => {
      const parsed = parseParameters({ type: 'object', properties: { v: document }, required: ['v'] });
      const parameters = modelSchema(parsed);
      return values.every((v) => {
        const isFit = misfitOf(parsed, { v }) === undefined;
        judged[isFit ? 'fit' : 'misfit'] += 1;
        return isFit === isTaken(parameters, { v });
      });
    }),
    { numRuns: 80 },
  );
  t.ok(judged.fit > 30 && judged.misfit > 30, 'both were seen');
  const city = parseParameters({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] });
  t.equal(misfitOf(city, { city: 7 }), '/city must be string');
  t.equal(misfitOf(city, {}), "they must have required property 'city'");
  t.equal(misfitOf(city, { city: 'Rome', more: 1 }), undefined);
  t.equal(misfitOf({ ...city, required: ['toString'] }, { city: 'Rome' }), undefined, 'only what the schema names is required');
  t.end();
});

/** What the validator says that webhooks use. */
function isTaken(parameters: Doc, given: unknown): boolean {
  try {
    checkedArguments({ parameters }, JSON.stringify(given));
    return true;
  } catch {
    return false;
  }
}

/** A value for every place of a schema, those that are not the model's included. */
function hostileValue(schema: Doc, noise: unknown): unknown {
  if (schema['type'] === 'array') return [hostileValue(schema['items'] as Doc, noise)];
  if (schema['type'] !== 'object') return 'from the model';
  const inside = Object.entries(schema['properties'] as Record<string, Doc>).map(([name, one]) => [
    name,
    hostileValue(one, noise),
  ]);
  return Object.fromEntries([...inside, ['extra', noise]]);
}

function agrees(schema: Doc, sent: unknown, given: unknown): boolean {
  if (schema['is_omitted'] === true) return sent === undefined;
  if (schema['constant_value'] !== undefined) return sent === schema['constant_value'];
  if (schema['dynamic_variable'] !== undefined) return sent === (schema['dynamic_variable'] === 'known' ? 'value' : undefined);
  if (schema['type'] === 'array') return Array.isArray(sent) && agrees(schema['items'] as Doc, sent[0], (given as unknown[])[0]);
  if (schema['type'] !== 'object') return sent === given;
  const properties = schema['properties'] as Record<string, Doc>;
  if (Object.keys(properties).length === 0) return sent === given;
  const own = (value: unknown, name: string): unknown =>
    Object.hasOwn(value as object, name) ? (value as Doc)[name] : undefined;
  return (
    Object.entries(properties).every(([name, one]) => agrees(one, own(sent, name), own(given, name))) &&
    Object.keys(sent as object).every((name) => Object.hasOwn(properties, name))
  );
}

test('variables become what the schema says, or the call is refused', (t) => {
  const value = (type: unknown, text: string) => fillIn(parseParameters({ type, dynamic_variable: 'v' }), undefined, { v: text });
  t.equal(value('integer', '7'), 7);
  t.equal(value('number', '1e3'), 1000);
  t.equal(value('boolean', 'false'), false);
  t.equal(value(['integer', 'string'], '7b'), '7b');
  t.same(value('array', '["a"]'), ['a']);
  t.same(value('object', '{"a":1}'), { a: 1 });
  for (const [type, text] of [
    ['integer', '7.5'],
    ['integer', ''],
    ['number', 'seven'],
    ['boolean', 'yes'],
    ['array', '{}'],
    ['object', 'nonsense'],
  ])
    t.throws(() => value(type, text!), /is not of type/, `${type} ${text}`);
  t.throws(() => fillIn(parseParameters({ type: 'string', dynamic_variable: 'w' }), undefined, {}), /"w" is missing/);
  t.throws(() => fillIn(parseParameters({ type: 'string', dynamic_variable: 'toString' }), undefined, {}), /is missing/);
  t.end();
});

test('an optional object that the model leaves out stays out, one that is all ours is sent', (t) => {
  const inner = { type: 'object', properties: { fixed: { type: 'string', constant_value: 'x' }, open: { type: 'string' } } };
  const ours = { type: 'object', properties: { fixed: { type: 'string', constant_value: 'y' } } };
  const schema = parseParameters({ type: 'object', properties: { inner, ours } });
  t.same(fillIn(schema, {}, {}), { ours: { fixed: 'y' } });
  t.same(fillIn(schema, { inner: {} }, {}), { inner: { fixed: 'x' }, ours: { fixed: 'y' } });
  t.same(fillIn(parseParameters({ type: 'object', properties: { inner }, required: ['inner'] }), {}, {}), {
    inner: { fixed: 'x' },
  });
  t.same(modelSchema(schema), {
    type: 'object',
    properties: { inner: { type: 'object', properties: { open: { type: 'string' } } } },
  });
  t.end();
});

test('a value that only some may be is held against the list of its variable', (t) => {
  for (const rule of [{ allowed_values: { dynamic_variable: 'mine' } }, { allowed_values_dynamic_variable: 'mine' }]) {
    const schema = parseParameters({ type: 'object', properties: { id: { type: 'string', description: 'id', ...rule } } });
    t.same(fillIn(schema, { id: 'a' }, { mine: '["a","b"]' }), { id: 'a' });
    t.throws(() => fillIn(schema, { id: 'c' }, { mine: '["a","b"]' }), /not among the allowed values/);
    t.throws(() => fillIn(schema, { id: 'a' }, {}), /not among/);
    t.notMatch(JSON.stringify(modelSchema(schema)), 'mine');
    t.same([...variablesOf(schema)], ['mine']);
  }
  t.end();
});

test('schemas without end are refused', (t) => {
  let deep: Doc = { type: 'string' };
  for (let level = 0; level < 10_000; level += 1) deep = { type: 'array', items: deep };
  t.throws(() => parseParameters(deep), /deeper than/);
  const properties = Object.fromEntries(Array.from({ length: schemaLimits.nodesMax }, (_, at) => [`p${at}`, { type: 'string' }]));
  t.throws(() => parseParameters({ type: 'object', properties }), /more than/);
  t.end();
});

const webhook = (api: Doc, rest: Doc = {}) =>
  checkWebhook({
    type: 'webhook',
    name: 'lookup',
    description: 'Looks up.',
    api_schema: { url: 'https://a.example/', ...api },
    ...rest,
  });

test('a webhook in the shape of the public API', (t) => {
  const checked = webhook({
    url: 'https://a.example/users/{id}/orders?lang={{language}}',
    method: 'PATCH',
    request_headers: {
      Authorization: { secret_id: 's1' },
      'X-Session': { variable_name: 'secret__session' },
      'X-Plain': 'a {{b}}',
    },
    path_params_schema: { id: { type: 'string', description: 'user' } },
    query_params_schema: {
      properties: { limit: { type: 'integer', description: 'how many' }, v: { type: 'string', constant_value: '2' } },
    },
    request_body_schema: {
      type: 'object',
      description: 'The change.',
      required: ['note', 'source'],
      properties: {
        id: { type: 'string', description: 'user' },
        note: { type: 'string', description: 'text', dynamic_variable: '', constant_value: '' },
        source: { type: 'string', dynamic_variable: 'system__agent_id' },
      },
    },
  });
  if (!checked.ok) throw new Error(JSON.stringify(checked.issues));
  t.same(checked.value.parameters, {
    type: 'object',
    description: 'The change.',
    properties: {
      id: { type: 'string', description: 'user' },
      limit: { type: 'integer', description: 'how many' },
      note: { type: 'string', description: 'text' },
    },
    required: ['id', 'note'],
  });
  t.same(checked.value.headers, { Authorization: { secretId: 's1' }, 'X-Session': '{{secret__session}}', 'X-Plain': 'a {{b}}' });
  t.equal(checked.value.timeoutMs, 20_000);
  const given = checkedArguments(checked.value, '{"id":"7","note":"n"}');
  t.same(given, { id: '7', note: 'n' });
  t.throws(() => checkedArguments(checked.value, '{"id":"7"}'), /required property 'note'/);
  t.throws(() => checkedArguments(checked.value, '{"id":7,"note":"n"}'), /\/id must be string/);
  t.throws(() => checkedArguments(checked.value, '[1]'), /not an object/);
  t.throws(() => checkedArguments(checked.value, '{"id":'), /not JSON/);
  t.throws(() => checkedArguments(checked.value, '['.repeat(70_000)), /longer than/);
  t.end();
});

test('a webhook that is wrong is refused at the place that is wrong', (t) => {
  const cases: [Doc, string, RegExp][] = [
    [{ url: 'ftp://a.example/' }, 'api_schema.url', /http/],
    [{ url: 'https://{host}/' }, 'api_schema.url', /host/],
    [{ url: 'https://{{host}}.example/' }, 'api_schema.url', /host/],
    [{ url: 'https://u:p@a.example/' }, 'api_schema.url', /user info/],
    [{ url: 'https://a.example/{id}' }, 'api_schema.url', /path_params_schema/],
    [{ url: 'https://a.example/{{secret__key}}' }, 'api_schema.url', /headers only/],
    [{ method: 'TRACE' }, 'api_schema.method', /./],
    [{ request_headers: { Host: 'b' } }, 'api_schema.request_headers.Host', /./],
    [{ request_headers: { 'a b': 'c' } }, 'api_schema.request_headers.a b', /./],
    [{ request_headers: { a: { env_var_label: 'c' } } }, 'api_schema.request_headers.a', /secret_id/],
    [
      { query_params_schema: { properties: { a: { type: 'object' } } } },
      'api_schema.query_params_schema.properties.a.type',
      /single/,
    ],
    [
      { query_params_schema: { properties: { a: { type: 'x' } } } },
      'api_schema.query_params_schema.properties.a.type',
      /not one of/,
    ],
    [
      { method: 'POST', request_body_schema: { type: 'object', properties: { a: { type: 'array', items: { type: 'no' } } } } },
      'api_schema.request_body_schema.properties.a.items.type',
      /not one of/,
    ],
    [
      { method: 'POST', request_body_schema: { type: 'object', required: ['a'] } },
      'api_schema.request_body_schema.required',
      /"a"/,
    ],
    [
      {
        method: 'POST',
        request_body_schema: { type: 'object', properties: { a: { constant_value: 1, dynamic_variable: 'v', type: 'integer' } } },
      },
      'api_schema.request_body_schema.properties.a',
      /only one/,
    ],
    [{ auth_connection: { auth_connection_id: 'x' } }, 'api_schema.auth_connection', /not supported/],
    [{ response_filter: { mode: 'hide_all' } }, 'api_schema.response_filter.mode', /not supported/],
  ];
  for (const [api, path, message] of cases) {
    const checked = webhook(api);
    t.match(
      {
        ok: checked.ok,
        path: checked.ok ? '' : checked.issues[0].path.join('.'),
        message: checked.ok ? '' : checked.issues[0].message,
      },
      { ok: false, path, message },
      path,
    );
  }
  t.match(webhook({}, { name: 'no spaces' }), {
    ok: false,
    issues: [{ path: ['name'], value: 'no spaces', message: /letters, digits/ }],
  });
  t.match(webhook({}, { response_timeout_secs: 301 }), {
    ok: false,
    issues: [{ path: ['response_timeout_secs'], rule: 'too_big', value: 301 }],
  });
  t.match(webhook({}, { response_timeout_secs: 300, unknown_field: 1 }), { ok: true, value: { timeoutMs: 300_000 } });
  t.end();
});

test('approval of MCP tools', (t) => {
  const tool = { name: 'search', description: 'Searches.', parameters: { type: 'object', properties: { b: {}, a: {} } } };
  const server = (document: Doc) => {
    const checked = checkMcpServer('mcp_1', { url: 'https://a.example/mcp', ...document });
    if (!checked.ok) throw new Error(JSON.stringify(checked.issues));
    return checked.value;
  };
  const perTool = (approval: Doc) =>
    needsApproval(
      server({ approval_policy: 'require_approval_per_tool', tool_approval_hashes: [{ tool_name: 'search', ...approval }] }),
      tool,
    );
  t.equal(needsApproval(server({}), tool), true);
  t.equal(needsApproval(server({ approval_policy: 'auto_approve_all' }), tool), false);
  t.equal(perTool({ approval_policy: 'auto_approved' }), false);
  t.equal(perTool({ approval_policy: 'requires_approval' }), true);
  t.equal(perTool({ approval_policy: 'auto_approved', tool_hash: toolHash(tool) }), false);
  const reordered = {
    parameters: { properties: { a: {}, b: {} }, type: 'object' },
    name: tool.name,
    description: tool.description,
  };
  t.equal(toolHash(reordered), toolHash(tool), 'the order of keys says nothing');
  t.equal(
    perTool({ approval_policy: 'auto_approved', tool_hash: toolHash({ ...tool, description: 'Sends money.' }) }),
    true,
    'it was another tool',
  );
  t.equal(needsApproval(server({ approval_policy: 'require_approval_per_tool' }), tool), true);
  t.match(server({ transport: 'STREAMABLE_HTTP', secret_token: { secret_id: 's' } }).link, {
    headers: { authorization: { secretId: 's' } },
  });
  for (const [document, path] of [
    [{ url: 'file:///x' }, 'url'],
    [{ transport: 'STDIO' }, 'command'],
    [{ transport: 'CARRIER_PIGEON' }, 'transport'],
    [{ approval_policy: 'maybe' }, 'approval_policy'],
  ] as const)
    t.match(checkMcpServer('m', { url: 'https://a.example/', ...document }), { ok: false, issues: [{ path: [path] }] }, path);
  t.end();
});

test('text of answers: cut within its bound, never in half a character, without secrets', (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', 'é', '한', '😀'), maxLength: 200 }),
      fc.integer({ min: 20, max: 100 }),
      (text, charsMax) => {
        const { result, isTruncated } = capped(text, charsMax);
        return (
          result.length <= charsMax &&
          isTruncated === text.length > charsMax &&
          (isTruncated || result === text) &&
          result.isWellFormed()
        );
      },
    ),
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', 'é', '한', '😀', '\u0000') }), fc.nat(400), (text, at) => {
      const bytes = Buffer.from(text.replaceAll('\0', ''));
      const cut = textOf(bytes.subarray(0, at), 'text/plain', at < bytes.length);
      return cut !== undefined && text.replaceAll('\0', '').startsWith(cut);
    }),
  );
  t.equal(textOf(Buffer.from([0xe9]), 'text/plain; charset=iso-8859-1', false), 'é');
  t.equal(textOf(Buffer.from([0xe9]), 'text/plain', false), undefined);
  t.equal(textOf(Buffer.from('x'), 'text/plain; charset=klingon', false), undefined);
  t.equal(textOf(Buffer.from('a\0b'), undefined, false), undefined);
  t.equal(textOf(Buffer.from('%PDF'), 'application/pdf', false), undefined);
  t.equal(textOf(Buffer.from('{}'), 'application/vnd.api+json', false), '{}');
  t.equal(withoutSecrets('a=topsecret&b=topsecret2 no', ['no', 'topsecret', 'topsecret2']), 'a=[secret]&b=[secret] no');
  t.equal(fillText('{{a}}/{{ b }}', { a: '{{b}}', b: '$&' }), '{{b}}/$&', 'values are not filled again');
  t.end();
});
