import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {test} from 'node:test';
import {deadLetterIds, domainNamespace, rowIds} from '../../src/ingest/identity.ts';
import {millraceNamespace} from '../../src/schema/uuid5.ts';

/** uuid5 by the specification's words, with the crypto library. */
function reference(namespace: string, name: string): string {
  const digest = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest();
  digest[6] = (digest[6]! & 0x0f) | 0x50;
  digest[8] = (digest[8]! & 0x3f) | 0x80;
  const hex = digest.toString('hex', 0, 16);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

test('a row has the id of domain, input, file and row, and no other', () => {
  const namespace = reference(millraceNamespace, 'flights');
  assert.equal(domainNamespace('flights'), namespace);
  for (const file of ['flights.csv', 'größe✈.csv', 'f'.repeat(200)])
    for (const row of [1, 10, 336_776, Number.MAX_SAFE_INTEGER])
      assert.equal(
        rowIds('flights', 'departures', file).of(row),
        reference(namespace, `departures/${file}/${row}`),
      );
  assert.notEqual(rowIds('a', 'b', 'c').of(1), deadLetterIds('a', 'b/c').of(1));
});
