import assert from 'node:assert/strict';
import {test} from 'node:test';
import {domainYaml, makeWorld, platformYaml} from '../privacy/world.ts';
import {cli} from '../support/cli.ts';

const order = (attributes: string, more = '') => `domain: shop
event_types:
  - name: order
    attributes: ${attributes}
    ${more}
`;

/** Code and hint of the mistakes of a domain. */
async function mistakes(
  files: Record<string, string>,
): Promise<{code: string; hint?: string; line: number}[]> {
  const {stdout} = await cli(makeWorld(files), 'validate', '--json');
  return JSON.parse(stdout).diagnostics.map(
    ({code, hint, line}: {code: string; hint?: string; line: number}) => ({
      code,
      hint,
      line,
    }),
  );
}

test('what cannot be protected is refused with the way out', async () => {
  const cases: [string, string, RegExp][] = [
    [order('[{name: age, type: int, pii: hash}]'), 'PII_NOT_HERE', /type: string/],
    [order('[{name: mail, type: string, pii: hash, required: true}]'), 'PII_NOT_HERE', /is not null/],
    [order('[]', 'dimensions: [{name: city, pii: mask}]'), 'PII_NOT_HERE', /an attribute of type string/],
    [
      `${order('[{name: mail, pii: hash}]')}  - name: visit\n    attributes: [mail]\n`,
      'PII_DIFFERS',
      /write pii: hash in both/,
    ],
    [
      `${order('[{name: mail, pii: hash}]', 'enrich: [{lookup: people, on: mail, take: {city: city}}]')}lookups: [{name: people, key: mail, columns: {city: string}, from: {csv: ../../orders.csv}}]\n`,
      'PII_LOOKUP',
      /in a transform/,
    ],
  ];
  for (const [yaml, code, hint] of cases) {
    const found = await mistakes({'config/domains/shop.yaml': yaml});
    assert.deepEqual(
      found.map((each) => each.code),
      [code],
      yaml,
    );
    assert.match(found[0]!.hint ?? '', hint);
  }
});

test('personal data needs a key of 32 characters; the hint says how to make one', async () => {
  const without = await mistakes({'config/platform.yaml': platformYaml.replace(/pii:.*\n/, '')});
  assert.deepEqual(
    without.map(({code, line}) => [code, line]),
    [['PII_KEY', domainYaml.split('\n').findIndex((line) => line.includes('attributes:')) + 2]],
  );
  assert.match(without[0]!.hint ?? '', /openssl rand -base64 32/);
  const second = await mistakes({
    'config/platform.yaml': platformYaml.replace(/pii:.*\n/, ''),
    'config/domains/shop.yaml': order('\n      - user_id\n      - {name: mail, pii: hash}'),
  });
  assert.deepEqual(
    second.map(({code, line}) => [code, line]),
    [['PII_KEY', 6]],
  );
  const short = await mistakes({'.env': 'pii_key=short\n'});
  assert.deepEqual(
    short.map(({code}) => code),
    ['PII_KEY'],
  );
});
