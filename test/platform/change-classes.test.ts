/** Every kind of change with the class that it must get. What was applied is recorded once; the files are edited. */
import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, describe, test} from 'node:test';
import {definitionOf, writeApplied} from '../../src/platform/apply-record.ts';
import {planChanges} from '../../src/platform/plan.ts';
import type {Change, ChangeClass} from '../../src/platform/plan-types.ts';
import {edit, loadWorld, platformYaml, shopYaml, writeWorld} from './change-world.ts';

type Edit = [from: string | RegExp, to: string, file?: string];
type Case = {
  what: string;
  edits: Edit[];
  /** Every change that must be told: kind, name, class. */
  changes: [kind: Change['kind'], name: string, ChangeClass][];
  /** Further promises. */
  more?(changes: Change[]): void;
};

const platform = 'config/platform.yaml';
const query = (name: string, level: ChangeClass): Case['changes'][number] => ['query', `shop.${name}`, level];
const purchase = (level: ChangeClass): Case['changes'][number] => ['event type', 'shop.purchase', level];
const only = (changes: Change[], kind: Change['kind']) => changes.find((change) => change.kind === kind)!;

const cases: Case[] = [
  {what: 'nothing', edits: [['domain: shop', 'domain: shop # the same']], changes: []},
  {
    what: 'the order of keys',
    edits: [
      [
        "{large: count(basket = 'large'), orders: count()}",
        "{orders: count(), large: count(basket = 'large')}",
      ],
      [
        'name: revenue\n    from: purchase\n    where: quantity > 1\n',
        'from: purchase\n    where: quantity > 1\n    name: revenue\n',
      ],
    ],
    changes: [],
  },
  {
    what: 'an expression written in another way',
    edits: [['where: quantity > 1', 'where: (quantity   >  1)']],
    changes: [],
  },
  {
    what: 'a measure added',
    edits: [['most: max(quantity)', 'most: max(quantity)\n      least: min(quantity)']],
    changes: [query('revenue', 'revision')],
    more(changes) {
      const [change] = changes;
      assert.equal(change!.place?.file, 'config/domains/shop.yaml');
      assert.match(
        readFileSync(join(root, change!.place!.file), 'utf8').split('\n')[change!.place!.line - 1]!,
        /least/,
      );
      assert.deepEqual(change!.consumers, []);
    },
  },
  {
    what: 'a measure removed',
    edits: [['      most: max(quantity)\n', '']],
    changes: [query('revenue', 'breaking')],
    more: ([change]) =>
      assert.deepEqual(change!.consumers, ['readers of view shop.revenue in rows: column most']),
  },
  {
    what: 'a measure renamed',
    edits: [['most: max', 'largest: max']],
    changes: [query('revenue', 'breaking')],
  },
  {
    what: 'a measure computed otherwise, in the same column',
    edits: [['most: max(quantity)', 'most: min(quantity)']],
    changes: [query('revenue', 'revision')],
  },
  {
    what: 'a measure of another type',
    edits: [['most: max(quantity)', 'most: avg(quantity)']],
    changes: [query('revenue', 'breaking')],
  },
  {
    what: 'where',
    edits: [['where: quantity > 1', 'where: quantity > 2']],
    changes: [query('revenue', 'revision')],
  },
  {what: 'the size of windows', edits: [['size: 1h', 'size: 30m']], changes: [query('revenue', 'revision')]},
  {
    what: 'the kind of windows',
    edits: [['type: session, gap: 30m', 'type: tumbling, size: 30m']],
    changes: [query('visits', 'revision')],
  },
  {
    what: 'the time zone',
    edits: [['Europe/Berlin', 'America/New_York']],
    changes: [query('baskets', 'revision')],
  },
  {
    what: 'a dimension added',
    edits: [['group_by: [country]\n    measures:\n', 'group_by: [country, device]\n    measures:\n']],
    changes: [query('revenue', 'breaking')],
    more: ([change]) =>
      assert.match(change!.consumers.join(), /rows by \(country, device\) instead of \(country\)/),
  },
  {
    what: 'a dimension removed',
    edits: [['group_by: [user_id]', 'group_by: []']],
    changes: [query('visits', 'breaking')],
  },
  {
    what: 'the watermark of all',
    edits: [['watermark: 10m', 'watermark: 20m']],
    changes: [query('baskets', 'revision'), query('revenue', 'revision'), query('visits', 'revision')],
  },
  {
    what: 'correct_for, where late events correct',
    edits: [['correct_for: 2h', 'correct_for: 5h']],
    changes: [query('baskets', 'revision'), query('revenue', 'revision')],
  },
  {what: 'late', edits: [['late: topic', 'late: drop']], changes: [query('visits', 'revision')]},
  {
    what: 'emit',
    edits: [['    late: topic', '    late: topic\n    emit: close']],
    changes: [query('visits', 'safe')],
  },
  {
    what: 'a query added',
    edits: [
      [
        /$/,
        '  - {name: all, from: purchase, window: {type: tumbling, size: 1d}, group_by: [], measures: {n: count()}}\n',
      ],
    ],
    changes: [query('all', 'safe')],
    more: ([change]) => assert.ok(change!.refill),
  },
  {
    what: 'a query removed',
    edits: [[/ {2}- name: visits[\s\S]*$/, '']],
    changes: [query('visits', 'destructive')],
    more: ([change]) => assert.match(change!.lost.join(), /rows of shop.visits end here/),
  },
  {
    what: 'a query renamed',
    edits: [['name: visits', 'name: stays']],
    changes: [query('stays', 'breaking')],
    more: ([change]) => assert.equal(change!.from, 'shop.visits'),
  },
  {
    what: 'a query in another sink',
    edits: [['    late: topic', '    late: topic\n    sinks: [copies]']],
    changes: [query('visits', 'breaking')],
  },
  {
    what: 'a query in one more sink',
    edits: [['    late: topic', '    late: topic\n    sinks: [rows, copies]']],
    changes: [query('visits', 'revision')],
  },
  {
    what: 'an optional field added',
    edits: [['      - user_id\n', '      - user_id\n      - session\n']],
    changes: [purchase('safe')],
  },
  {
    what: 'a required field added',
    edits: [['      - {name: quantity', '      - {name: weight, type: double}\n      - {name: quantity']],
    changes: [purchase('breaking')],
    more(changes) {
      assert.match(
        changes[0]!.refused!.reasons.join(),
        /purchase\.weight: READER_FIELD_MISSING_DEFAULT_VALUE/,
      );
      assert.match(changes[0]!.refused!.hint, /required: false/);
    },
  },
  {
    what: 'a field removed',
    edits: [['dimensions: [country, device]', 'dimensions: [country]']],
    changes: [purchase('breaking')],
    more([change]) {
      assert.equal(change!.refused, undefined);
      assert.deepEqual(change!.consumers, ['readers of subject shop.purchase-value: device']);
      assert.doesNotMatch(JSON.stringify(change!.details), /rename/);
    },
  },
  {
    what: 'a field renamed by alias, and the queries that read it',
    edits: [
      ['{name: quantity, type: int}', '{name: pieces, type: int, aliases: [quantity]}'],
      [/quantity > 0/, 'pieces > 0'],
      ['quantity > 1', 'pieces > 1'],
      ['max(quantity)', 'max(pieces)'],
    ],
    changes: [purchase('breaking'), query('revenue', 'revision')],
    more(changes) {
      const {refused, consumers} = only(changes, 'event type');
      assert.equal(refused, undefined);
      assert.deepEqual(consumers, [
        'readers of subject shop.purchase-value: quantity',
        'check quantity_is_positive of shop.purchase',
        'query shop.revenue',
      ]);
    },
  },
  {
    what: 'a field promoted, and the queries that read it',
    edits: [['quantity, type: int', 'quantity, type: long']],
    changes: [purchase('safe'), query('revenue', 'breaking')],
  },
  {
    what: 'a field of a narrower type',
    edits: [
      ['amount, type: money', 'amount, type: int'],
      ['amount >= 100.00', 'amount >= 100'],
    ],
    changes: [purchase('breaking'), query('baskets', 'revision'), query('revenue', 'breaking')],
    more: (changes) => assert.ok(only(changes, 'event type').refused),
  },
  {
    what: 'a field that becomes optional',
    edits: [['quantity, type: int', 'quantity, type: int, required: false']],
    changes: [purchase('safe'), query('revenue', 'revision')],
  },
  {
    what: 'a field that becomes required',
    edits: [['{name: coupon, type: string,', '{name: coupon, type: string, required: true,']],
    changes: [purchase('breaking')],
    more: (changes) => assert.ok(changes[0]!.refused),
  },
  {what: 'doc alone', edits: [['what the customer typed', 'as typed']], changes: [purchase('safe')]},
  {what: 'the key', edits: [['key: user_id', 'key: country']], changes: [purchase('safe')]},
  {
    what: 'a check',
    edits: [['quantity_is_positive: quantity > 0', 'quantity_is_positive: quantity > 5']],
    changes: [purchase('safe')],
  },
  {
    what: 'a derived column, and the query that uses it',
    edits: [['amount >= 100.00', 'amount >= 50.00']],
    changes: [purchase('safe'), query('baskets', 'revision')],
  },
  {
    what: 'an event type added',
    edits: [['  - name: view\n', '  - {name: refund, attributes: [user_id]}\n  - name: view\n']],
    changes: [['event type', 'shop.refund', 'safe']],
  },
  {
    what: 'an event type removed',
    edits: [[/ {2}- name: view\n.*\n.*\n/, '']],
    changes: [['event type', 'shop.view', 'destructive']],
  },
  {
    what: 'a lookup column added',
    edits: [['columns: {brand: string}', 'columns: {brand: string, label: string}']],
    changes: [['lookup', 'shop.products', 'safe']],
  },
  {
    what: 'an input renamed',
    edits: [['name: purchases', 'name: orders']],
    changes: [['input', 'shop.orders', 'breaking']],
    more: ([change]) => assert.match(change!.details[0]!.effect!, /count twice/),
  },
  {
    what: 'what an input maps',
    edits: [['order_by: none}', 'order_by: none, map: {event_id: id}}']],
    changes: [['input', 'shop.purchases', 'safe']],
  },
  {
    what: 'the place of a sink',
    edits: [['dir: .millrace/rows', 'dir: .millrace/new', platform]],
    changes: [['sink', 'rows', 'revision']],
  },
  {
    what: 'a sink added',
    edits: [['sinks:\n', 'sinks:\n  more: {backend: stdout}\n', platform]],
    changes: [['sink', 'more', 'safe']],
  },
  {
    what: 'a sink removed that nothing used',
    edits: [[/ {2}copies.*\n/, '', platform]],
    changes: [['sink', 'copies', 'safe']],
  },
  {
    what: 'more partitions',
    edits: [['partitions: 2', 'partitions: 8', platform]],
    changes: [['log', 'log', 'safe']],
  },
  {
    what: 'a shorter retention',
    edits: [['retention: keep', 'retention: 7d', platform]],
    changes: [['log', 'log', 'destructive']],
    more: ([change]) => assert.match(change!.lost.join(), /events older than 7d/),
  },
  {
    what: 'a domain removed',
    edits: [[/[\s\S]*/, 'domain: other\nevent_types: [{name: x, attributes: [y]}]\n']],
    changes: [
      ['domain', 'other', 'safe'],
      ['domain', 'shop', 'destructive'],
      ['event type', 'other.x', 'safe'],
    ],
    more: (changes) =>
      assert.match(changes.find(({name}) => name === 'shop')!.lost.join(), /rows of shop\.revenue end here/),
  },
];

let root = '';

describe('plan', () => {
  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'millrace-classes-'));
    writeWorld(root);
    const {platform: model, dirs} = await loadWorld(root);
    writeApplied(
      model,
      dirs,
      (id) => definitionOf(model, id.split('.')[0]!, id.split('.')[1]!).plan,
      Date.UTC(2025, 0, 1),
    );
  });
  after(() => rmSync(root, {recursive: true}));

  for (const {what, edits, changes, more} of cases)
    test(`${what}: ${changes.map(([, name, level]) => `${name} ${level}`).join(', ') || 'no change'}`, async () => {
      writeFileSync(join(root, 'config/domains/shop.yaml'), shopYaml);
      writeFileSync(join(root, platform), platformYaml);
      for (const [from, to, file] of edits) edit(root, from, to, file);
      const {platform: model, dirs, config} = await loadWorld(root);
      const plan = await planChanges(model, dirs, config);
      const told = plan.changes.map((change) => [change.kind, change.name, change.class]);
      const sorted = (list: unknown[]) => list.map((each) => JSON.stringify(each)).sort();
      assert.deepEqual(sorted(told), sorted(changes), JSON.stringify(plan.changes, null, 1));
      for (const change of plan.changes) assert.ok(change.place && change.place.line > 0, 'it has a place');
      more?.(plan.changes);
    });

  test('there are more than 25 of them', () => assert.ok(cases.length > 25));
});
