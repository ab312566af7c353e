import assert from 'node:assert/strict';
import {join} from 'node:path';
import {test} from 'node:test';
import avsc from 'avsc';
import {checkExpr} from '../../src/expr/check.ts';
import {parseExpr} from '../../src/expr/parse.ts';
import type {ValueType} from '../../src/expr/types.ts';
import {explainValue} from '../../src/ingest/convert.ts';
import {findDeadLetter, readDeadLetters} from '../../src/ingest/deadletters.ts';
import {reasons} from '../../src/ingest/reasons.ts';
import {openLogReader} from '../../src/log/embedded.ts';
import type {EventType} from '../../src/model/types.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {field} from '../support/fields.ts';
import {domain, input, order, withWorld} from './world.ts';

/** The event type with checks and derived columns from text. */
function withExpressions(
  base: EventType,
  derive: Record<string, [ValueType, string]>,
  checks: Record<string, string>,
): EventType {
  const scope = new Map(base.fields.map(({name, type, required}) => [name, {type, nullable: !required}]));
  const typed = (text: string, type: ValueType) => {
    const parsed = parseExpr(text);
    assert.ok(parsed.ok);
    const checked = checkExpr(parsed.expr, scope, type);
    assert.ok(checked.ok, JSON.stringify(checked));
    return checked.typed;
  };
  const derived = Object.entries(derive).map(([name, [type, text]]) => {
    const expr = typed(text, type);
    scope.set(name, {type, nullable: true});
    return {name, type, expr, text};
  });
  return {
    ...base,
    derive: derived,
    checks: Object.entries(checks).map(([name, text]) => ({name, text, expr: typed(text, 'boolean')})),
  };
}

const loose = (eventType: EventType) => {
  const result = domain(eventType);
  result.defaults.deadLetters.budgetShare = 1;
  return result;
};

test('checks see fields and derived columns; false rejects with the name, NULL passes, an overflow is EXPRESSION', async () => {
  const eventType = withExpressions(
    order(),
    {
      total: ['money', 'amount * quantity'],
      unused: ['long', "cast('x' as long)"],
      size: ['string', "case when total >= 100.00 then 'large' else 'small' end"],
    },
    {amount_is_positive: 'amount > 0.00', large_has_country: "size = 'small' or country is not null"},
  );
  await withWorld(async (world) => {
    const rows = ['1,DE,2', '0,DE,2', '50,,1', '50,,2', '50,,', '92233720368547758.07,DE,1000', '-5,,900'];
    const path = world.file(
      'a.csv',
      `timestamp,amount,country,quantity\n${rows.map((row) => `2024-01-01,${row}`).join('\n')}`,
    );
    const report = await world.ingest(path, {eventType, domain: loose(eventType)});
    assert.deepEqual(report.reasons, {
      'CHECK:amount_is_positive': 2,
      'CHECK:large_has_country': 1,
      EXPRESSION: 1,
    });
    const {letters, events} = await world.content(eventType);
    assert.equal(events.length, 3);
    assert.deepEqual(
      letters.map(({code, stage, position}) => [code, stage, 'row' in position ? position.row : 0]),
      [
        ['CHECK:amount_is_positive', 'check', 2],
        ['CHECK:large_has_country', 'check', 4],
        ['EXPRESSION', 'check', 6],
        ['CHECK:amount_is_positive', 'check', 7],
      ],
    );
    assert.match(letters[0]!.message, /amount_is_positive is false: amount = 0.00$/);
    assert.match(letters[1]!.message, /is false: size = large, country = NULL$/);
    assert.equal(letters[3]!.message, 'the check amount_is_positive is false: amount = -5.00');
    assert.match(letters[2]!.message, /cannot be computed/);
  });
});

test('every type of field is written as Avro writes it, present and NULL, whatever the names', async () => {
  const types: ValueType[] = [
    'string',
    'int',
    'long',
    'double',
    'boolean',
    'timestamp',
    'date',
    'uuid',
    'money',
    'enum',
  ];
  const uuid = '2ed6657d-e927-568b-95e1-2665a8aea6a2';
  const cells = [
    'a"b,c',
    '-7',
    '5000000000',
    '2.5',
    'true',
    '2024-01-01T00:00:00Z',
    '1970-01-02',
    uuid,
    '1.20',
    'green',
  ];
  const values = ['a"b,c', -7, 5_000_000_000, 2.5, true, 1_704_067_200_000, 1, uuid, 120, 'green'];
  const base = order().fields.slice(0, 2);
  for (const required of [true, false]) {
    const fields = types.map((type, i) =>
      field(`constructor${i}`, type, {required, ...(type === 'enum' ? {symbols: ['red', 'green']} : {})}),
    );
    const eventType = order({fields: [...base, ...fields], key: 'constructor2'});
    // Names of columns that would be code if they got into it.
    const columns = types.map((_, i) => `"];process.exit(${i});//\u2028\``);
    const map = Object.fromEntries(fields.map(({name}, i) => [name, columns[i]!]));
    const line = (list: string[]) => list.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(',');
    await withWorld(async (world) => {
      const path = world.file(
        'a.csv',
        [
          line(['timestamp', ...columns]),
          line(['2024-01-01', ...cells]),
          line(['2024-01-02', ...types.map(() => 'NA')]),
        ].join('\n'),
      );
      const report = await world.ingest(path, {
        eventType,
        domain: loose(eventType),
        input: input({map, nulls: ['NA']}),
      });
      assert.deepEqual(report.reasons, required ? {REQUIRED: 1} : {});
      const reader = openLogReader(join(world.dir, 'log'));
      const avro = avsc.Type.forSchema(avroSchema(eventType) as avsc.Schema);
      const found: unknown[][] = [];
      for (let partition = 0; partition < 3; partition++)
        for (const {bytes} of await reader.read(eventType.topic, partition, 0, 1 << 20))
          for (let at = 0; at < bytes.length; ) {
            const length = Buffer.from(bytes).readUInt32LE(at);
            const frame = Buffer.from(bytes.subarray(at + 4, at + 4 + length));
            assert.deepEqual([...frame.subarray(0, 5)], [0, 0, 0, 0, 7]);
            found.push(Object.values(avro.fromBuffer(frame.subarray(5))).slice(1));
            at += 4 + length;
          }
      reader.close();
      const plain = found.map((row) =>
        row.map((value) => (value !== null && typeof value === 'object' ? Object.values(value)[0] : value)),
      );
      const expected: unknown[][] = [[1_704_067_200_000, ...values]];
      if (!required) expected.push([1_704_153_600_000, ...values.map(() => null)]);
      assert.deepEqual(
        plain.toSorted((a, b) => Number(a[0]) - Number(b[0])),
        expected,
      );
    });
  }
});

test('dead letters are found by code, stage, type, source and time, and by the beginning of their id', async () =>
  withWorld(async (world) => {
    const eventType = order();
    const path = world.file('a.csv', 'timestamp,amount\nx,1\n2024-01-01,1\n2024-01-01,y\nragged\n');
    await world.ingest(path, {domain: loose(eventType)});
    const reader = openLogReader(join(world.dir, 'log'));
    const list = async (filter = {}) =>
      (await Array.fromAsync(readDeadLetters(reader, 'shop', filter))).map(({code, offset}) => [
        code,
        offset,
      ]);
    assert.deepEqual(await list(), [
      ['TYPE', 0],
      ['TYPE', 1],
      ['CSV_RAGGED', 2],
    ]);
    assert.deepEqual(await list({code: 'TYPE'}), [
      ['TYPE', 0],
      ['TYPE', 1],
    ]);
    assert.deepEqual(await list({stage: 'parse', eventType: 'order', source: 'orders/a.csv'}), [
      ['CSV_RAGGED', 2],
    ]);
    assert.deepEqual(await list({code: 'TYP'}), []);
    assert.deepEqual(await list({sinceMs: Date.now() + 60_000}), []);
    assert.deepEqual(await list({query: 'q'}), []);
    const [first] = await Array.fromAsync(readDeadLetters(reader, 'shop'));
    assert.deepEqual(await findDeadLetter(reader, 'shop', first!.id.slice(0, 13)), first);
    assert.equal(await findDeadLetter(reader, 'shop', 'none'), undefined);
    assert.deepEqual(await Array.fromAsync(readDeadLetters(reader, 'nowhere')), []);
    reader.close();
  }));

test('every reason says what it means in a sentence', () => {
  for (const [code, text] of Object.entries(reasons)) {
    assert.match(code, /^[A-Z0-9_]+$/);
    assert.match(text, /^[A-Z].*\.$/);
  }
});

test('a check that fails shows times and dates as people write them, and money beyond 2^53 exactly', async () => {
  const eventType = withExpressions(
    order({
      fields: [...order().fields, field('day', 'date'), field('seen', 'timestamp')],
    }),
    {},
    {never: "amount < 1.00 and day < date '2000-01-01' and seen is null"},
  );
  await withWorld(async (world) => {
    const path = world.file(
      'a.csv',
      'timestamp,amount,day,seen\n2024-01-01,92233720368547758.07,2024-02-29,2024-02-29T12:00:00Z\n',
    );
    await world.ingest(path, {eventType, domain: loose(eventType)});
    const {letters} = await world.content(eventType);
    assert.equal(
      letters[0]!.message,
      'the check never is false: amount = 92233720368547758.07, day = 2024-02-29, seen = 2024-02-29T12:00:00.000Z',
    );
  });
});

test('a value that is none of its type says so in good English, with the decimal point where that is the matter', () => {
  const told = (type: ValueType, text: string) => explainValue('TYPE', field('x', type), text, false);
  assert.equal(told('int', 'abc'), 'x: "abc" is no int');
  assert.equal(told('money', 'abc'), 'x: "abc" is not an amount of money');
  assert.equal(told('boolean', 'maybe'), 'x: "maybe" is not true or false');
  assert.equal(
    told('money', '1,50'),
    'x: "1,50" is not an amount of money: write it with a decimal point, 1.50',
  );
  assert.equal(told('double', '1.234,5'), 'x: "1.234,5" is no double: write it with a decimal point, 1234.5');
  assert.equal(told('long', '1,234,567'), 'x: "1,234,567" is no long: write it without separators, 1234567');
  assert.equal(told('string', '1,50'), 'x: "1,50" is no text');
});
