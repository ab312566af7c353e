/** What `plan` tells of fields that get another name: who used them, what looks like a rename, what aliases do to old records. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {definitionOf, writeApplied} from '../../src/platform/apply-record.ts';
import {planChanges} from '../../src/platform/plan.ts';
import type {Change} from '../../src/platform/plan-types.ts';
import {edit, loadWorld, writeWorld} from './change-world.ts';

type Edit = [from: string | RegExp, to: string];

const yaml = 'config/domains/shop.yaml';
const subject = 'readers of subject shop.purchase-value:';
const alias: Edit = ['{name: quantity, type: int}', '{name: quantity, type: int, aliases: [pieces]}'];

/** The change of shop.purchase, and the classes of queries that change. */
async function planOf(edits: Edit[], applied: Edit[] = []): Promise<Change & {queries: string[]}> {
  const root = mkdtempSync(join(tmpdir(), 'millrace-fields-'));
  try {
    writeWorld(root);
    for (const [from, to] of applied) edit(root, from, to, yaml);
    const old = await loadWorld(root);
    const planned = (id: string) => definitionOf(old.platform, id.split('.')[0]!, id.split('.')[1]!).plan;
    writeApplied(old.platform, old.dirs, planned, 0);
    for (const [from, to] of edits) edit(root, from, to, yaml);
    const {platform, dirs} = await loadWorld(root);
    const {changes} = await planChanges(platform, dirs);
    const queries = changes.filter(({kind}) => kind === 'query').map((each) => `${each.name} ${each.class}`);
    return {...changes.find(({name}) => name === 'shop.purchase')!, queries};
  } finally {
    rmSync(root, {recursive: true});
  }
}

const effectOf = ({details}: Change, name: string): string | undefined =>
  details.find(({what}) => what === name)?.effect;

test('a field that comes for one that goes, of its type and role, looks like a rename; no query that does not use it breaks', async () => {
  const change = await planOf([
    ['dimensions: [country, device]', 'dimensions: [country, {name: gadget, required: false}]'],
  ]);
  assert.deepEqual(change.consumers, [`${subject} device`]);
  assert.equal(
    effectOf(change, 'dimensions.gadget'),
    'old records read NULL; looks like a rename: add aliases: [device], without it older values read NULL under gadget',
  );
  assert.deepEqual(change.queries, []);
});

test('of two that go, either may be the one that comes', async () => {
  const change = await planOf([
    ['dimensions: [country, device]', 'dimensions: [{name: place, required: false}]'],
    [/group_by: \[country\]/g, 'group_by: [place]'],
  ]);
  assert.match(
    effectOf(change, 'dimensions.place')!,
    /; if it is country or device renamed, add that name to its aliases: /,
  );
  assert.deepEqual(change.consumers, [
    `${subject} country, device`,
    'query shop.revenue',
    'query shop.baskets',
  ]);
});

test('a field of another role, or of another type, is no rename', async () => {
  const country: Edit = ['dimensions: [country, device]', 'dimensions: [country]'];
  const role = await planOf([country, ['      - user_id\n', '      - user_id\n      - gadget\n']]);
  assert.equal(effectOf(role, 'attributes.gadget'), 'old records read NULL');
  const type = await planOf([
    [country[0], 'dimensions: [country, {name: gadget, type: int, required: false}]'],
  ]);
  assert.equal(effectOf(type, 'dimensions.gadget'), 'old records read NULL');
});

test('the key, and queries through a derived column alone, use a field', async () => {
  const key = await planOf([
    ['key: user_id', 'key: customer'],
    ['      - user_id\n', '      - {name: customer, aliases: [user_id]}\n'],
    ['group_by: [user_id]', 'group_by: [customer]'],
  ]);
  assert.deepEqual(key.consumers, [`${subject} user_id`, 'key of shop.purchase', 'query shop.visits']);
  const derived = await planOf([
    ['{name: amount, type: money}', '{name: price, type: money, aliases: [amount]}'],
    ['amount >= 100.00', 'price >= 100.00'],
    ['sum(amount)', 'sum(price)'],
  ]);
  assert.deepEqual(derived.consumers, [`${subject} amount`, 'query shop.revenue', 'query shop.baskets']);
});

test('an alias that comes later is said to change how old records are read, and its queries are filled anew', async () => {
  const change = await planOf([alias]);
  assert.deepEqual(change.details, [
    {
      class: 'safe',
      what: 'metrics.quantity.aliases',
      before: null,
      after: 'pieces',
      effect:
        'changes how old records are read: from now on pieces of those without quantity is read under it, in every refill',
    },
  ]);
  assert.deepEqual(change.queries, ['shop.revenue revision']);
});

test('an alias that goes breaks the field that had it', async () => {
  const change = await planOf([[alias[1], alias[0] as string]], [alias]);
  assert.equal(change.class, 'breaking');
  assert.equal(
    effectOf(change, 'metrics.quantity.aliases'),
    'old records with pieces cannot be read, in every refill',
  );
  assert.deepEqual(change.consumers, [
    `${subject} quantity`,
    'check quantity_is_positive of shop.purchase',
    'query shop.revenue',
  ]);
});

test('a raw table is told by its columns', async () => {
  const raw: Edit = ['defaults: {watermark: 10m,', 'defaults: {raw: rows, watermark: 10m,'];
  const change = await planOf(
    [
      ['{name: amount, type: money}', '{name: price, type: money, aliases: [amount]}'],
      ['amount >= 100.00', 'price >= 100.00'],
      ['sum(amount)', 'sum(price)'],
    ],
    [raw],
  );
  assert.equal(change.consumers[0], 'readers of raw table shop.purchase in rows: amount_cents');
  assert.match(
    effectOf(await planOf([alias], [raw]), 'metrics.quantity.aliases')!,
    /rows that are there stay/,
  );
});
