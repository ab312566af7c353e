import assert from 'node:assert/strict';
import {test} from 'node:test';
import {PlatformError} from '../../src/errors.ts';
import {explainDifference} from '../../src/platform/aside.ts';

const server = {backend: 'postgres', options: {url: 'postgres://db.example/shop'}};
const embedded = {backend: 'pglite', options: {dir: '/data/postgres'}};
const command = 'npx millrace rebuild shop.q';
const hintOf = (options: {isEmbedded: boolean; isOfQuery: boolean}): string | undefined => {
  const differs = new PlatformError('SINK_TABLE_DIFFERS', 'shop.q__r1: column n is missing', {
    hint: 'ALTER TABLE shop.q__r1 ADD COLUMN n bigint',
  });
  const sinks = {records: options.isEmbedded ? embedded : server};
  const shown = explainDifference(differs, {sinks}, 'records', {command, isOfQuery: options.isOfQuery});
  return (shown as PlatformError).hint;
};

test('a table that differs is filled again where nobody can alter it, and another beside it where a query has it on a server', () => {
  assert.equal(hintOf({isEmbedded: true, isOfQuery: true}), command);
  assert.equal(hintOf({isEmbedded: true, isOfQuery: false}), command);
  assert.equal(
    hintOf({isEmbedded: false, isOfQuery: true}),
    `${command} fills a table beside it from the log, and this one stays; or: ALTER TABLE shop.q__r1 ADD COLUMN n bigint`,
  );
  assert.equal(hintOf({isEmbedded: false, isOfQuery: false}), 'ALTER TABLE shop.q__r1 ADD COLUMN n bigint');
});
