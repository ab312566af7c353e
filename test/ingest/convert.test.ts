import assert from 'node:assert/strict';
import {test} from 'node:test';
import avsc from 'avsc';
import fc from 'fast-check';
import type {Value, ValueType} from '../../src/expr/types.ts';
import {type ConvertOptions, converterOf} from '../../src/ingest/convert.ts';
import {reasonCode} from '../../src/ingest/reasons.ts';
import {timeZone} from '../../src/ingest/time.ts';
import {timestampFormatProblem} from '../../src/model/timestamp-format.ts';
import {field} from '../support/fields.ts';

const utc: ConvertOptions = {zone: timeZone('UTC'), timestampFormat: null};

/** Longs as bigint, whatever their size. */
const exactLong = avsc.types.LongType.__with({
  fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64LE(value);
    return buffer;
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
});

const avroOf: Record<ValueType, unknown> = {
  string: 'string',
  uuid: 'string',
  int: 'int',
  date: 'int',
  long: 'long',
  money: 'long',
  timestamp: 'long',
  double: 'double',
  boolean: 'boolean',
  enum: {type: 'enum', name: 'e', symbols: ['red', 'green']},
};

/** The value of a text, by our reading and by what avsc reads from the bytes; or the reason. */
function convert(type: ValueType, text: string, options = utc): Value | string {
  const converter = converterOf(
    field('f', type, type === 'enum' ? {symbols: ['red', 'green']} : {}),
    options,
  );
  const bytes = Buffer.from(`<${text}>`);
  const out = Buffer.alloc(bytes.length + 32);
  const end = converter.write(bytes, 1, bytes.length - 1, out, 3);
  if (end < 0) return `!${reasonCode(end)}`;
  const value = converter.read(bytes, 1, bytes.length - 1);
  const written = avsc.Type.forSchema(avroOf[type] as avsc.Schema, {
    registry: {long: exactLong},
  }).fromBuffer(Buffer.from(out.subarray(3, end)));
  const expected = typeof written === 'bigint' ? BigInt(value as number | bigint) : value;
  assert.deepEqual(written, expected, `${type} ${text}`);
  return value;
}

const table = (type: ValueType, rows: Record<string, Value>, options = utc) => {
  for (const [text, expected] of Object.entries(rows))
    assert.deepEqual(convert(type, text, options), expected, `${type} ${JSON.stringify(text)}`);
};

test('int: 32 bits, long: 64 bits, every digit', () => {
  table('int', {
    '0': 0,
    '-0': 0,
    '007': 7,
    '+5': 5,
    ' 42\t': 42,
    '2147483647': 2147483647,
    '-2147483648': -2147483648,
    '2147483648': '!RANGE',
    '1.0': 1,
    '1.5': '!TYPE',
    '1e3': 1000,
    '1e-1': '!TYPE',
    '': '!TYPE',
    abc: '!TYPE',
    '1 2': '!TYPE',
    '0x10': '!TYPE',
    '-': '!TYPE',
    '1_000': '!TYPE',
  });
  table('long', {
    '9007199254740992': 9007199254740992,
    '9007199254740993': 9007199254740993n,
    '-9007199254740993': -9007199254740993n,
    '9223372036854775807': 9223372036854775807n,
    '-9223372036854775808': -9223372036854775808n,
    '9223372036854775808': '!RANGE',
    '-9223372036854775809': '!RANGE',
    '1e18': 1000000000000000000n,
    '1e19': '!RANGE',
    '1e9999': '!RANGE',
    '1e99999': '!TYPE',
    '0e9999': 0,
    '12.00': 12,
    '999999999999999': 999999999999999,
    '0000000000000000000000001': 1,
    '.0': 0,
    '.': '!TYPE',
    NaN: '!TYPE',
  });
});

test('money: cents from the decimal text, never through a float', () => {
  table('money', {
    '12.34': 1234,
    '12.3': 1230,
    '12': 1200,
    '12.': 1200,
    '-0.01': -1,
    '0.29': 29,
    '1.005': '!MONEY_SCALE',
    '1.1000': 110,
    '+3.5': 350,
    '.5': 50,
    '90071992547409.92': 9007199254740992,
    '90071992547409.93': 9007199254740993n,
    '92233720368547758.07': 9223372036854775807n,
    '92233720368547758.08': '!RANGE',
    '-92233720368547758.08': -9223372036854775808n,
    '1e2': 10000,
    '1.5e-1': 15,
    '1e-3': '!MONEY_SCALE',
    $5: '!TYPE',
    '1,000.00': '!TYPE',
    '1.2.3': '!TYPE',
    '12.a': '!TYPE',
    '': '!TYPE',
    '-': '!TYPE',
    '-.': '!TYPE',
  });
  fc.assert(
    fc.property(fc.bigInt({min: -(2n ** 63n), max: 2n ** 63n - 1n}), (cents) => {
      const digits = (cents < 0n ? -cents : cents).toString().padStart(3, '0');
      const text = `${cents < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
      assert.equal(BigInt(convert('money', text) as number), cents);
    }),
  );
});

test('double: what JavaScript reads from decimal text, and no NaN or Infinity', () => {
  table('double', {
    '1.5': 1.5,
    '-0': -0,
    '0.1': 0.1,
    '1e308': 1e308,
    '1e309': '!RANGE',
    '5e-324': 5e-324,
    NaN: '!TYPE',
    Infinity: '!TYPE',
    '-inf': '!TYPE',
    '0x1': '!TYPE',
    '1.': 1,
    '.5': 0.5,
    '': '!TYPE',
    '12345678901234567890': 12345678901234567000,
    '9007199254740993': 9007199254740992,
  });
  fc.assert(
    fc.property(fc.double({noNaN: true, noDefaultInfinity: true}), (value) =>
      // The text of -0 is "0".
      assert.equal(convert('double', String(value)), Number(String(value))),
    ),
  );
  fc.assert(
    fc.property(fc.integer(), fc.integer({min: 0, max: 99_999}), (whole, part) => {
      const text = `${whole}.${part}`;
      assert.equal(convert('double', text), Number(text));
    }),
  );
});

test('boolean, uuid, enum, string, date', () => {
  table('boolean', {
    true: true,
    FALSE: false,
    t: true,
    F: false,
    '1': true,
    '0': false,
    yes: '!TYPE',
    '': '!TYPE',
    '2': '!TYPE',
  });
  table('uuid', {
    '2ED6657d-e927-568b-95e1-2665a8aea6a2': '2ed6657d-e927-568b-95e1-2665a8aea6a2',
    '2ed6657de927568b95e12665a8aea6a2': '!TYPE',
    '2ed6657d-e927-568b-95e1-2665a8aea6ag': '!TYPE',
    '': '!TYPE',
  });
  table('enum', {red: 'red', green: 'green', Red: '!ENUM', '': '!ENUM', constructor: '!ENUM'});
  table('string', {'': '', ' a ': ' a ', 'größe✈😀': 'größe✈😀', ['x'.repeat(500)]: 'x'.repeat(500)});
  table('date', {
    '1970-01-01': 0,
    '1969-12-31': -1,
    '2024-02-29': 19_782,
    '2023-02-29': '!TYPE',
    '2024-13-01': '!TYPE',
    '2024-1-1': '!TYPE',
    '2024-01-01T00:00:00Z': '!TYPE',
    '0001-01-01': -719_162,
    '0000-01-01': '!TYPE',
    '20240101': '!TYPE',
  });
});

test('timestamp: ISO 8601 with zone, without one in UTC, a date, epoch milliseconds', () => {
  const noon = Date.UTC(2024, 1, 29, 12);
  table('timestamp', {
    '2024-02-29T12:00:00Z': noon,
    '2024-02-29t12:00:00z': noon,
    '2024-02-29 12:00:00': noon,
    '2024-02-29 12:00': noon,
    '2024-02-29T14:00:00+02:00': noon,
    '2024-02-29T14:00:00 +0200': noon,
    '2024-02-29T06:30:00-05:30': noon,
    '2024-02-29T12+00': '!TYPE',
    '2024-02-29': noon - 43_200_000,
    [noon]: noon,
    '2024-02-29T12:00:00.1Z': noon + 100,
    '2024-02-29T12:00:00.123456789Z': noon + 123,
    '2024-02-29T12:00:00,5': noon + 500,
    '2024-02-29T12:00:00.Z': '!TYPE',
    '2024-02-30T00:00:00Z': '!TYPE',
    '2024-02-29T24:00:00Z': '!TYPE',
    '2024-02-29T12:60:00Z': '!TYPE',
    '2024-02-29T12:00:60Z': '!TYPE',
    '2024-02-29T12:00:00+24:00': '!TYPE',
    '2024-02-29T12:00:00Zx': '!TYPE',
    '-1': -1,
    '1.0': 1,
    '1.5': '!TYPE',
    '': '!TYPE',
    now: '!TYPE',
    '1e300': '!TYPE',
    '999999999999999': '!RANGE',
    '1969-12-31T23:59:59.999Z': -1,
    '9999-12-31T23:59:59.999Z': 253_402_300_799_999,
    '9999-12-31T23:59:59-01:00': '!RANGE',
  });
  fc.assert(
    fc.property(
      fc.date({
        min: new Date('0001-01-01T00:00:00Z'),
        max: new Date('9999-12-31T23:59:59.999Z'),
        noInvalidDate: true,
      }),
      (date) => assert.equal(convert('timestamp', date.toISOString()), date.getTime()),
    ),
  );
});

test("times without a zone are those of the input's zone; skipped ones move on, repeated ones are the first", () => {
  const berlin = {...utc, zone: timeZone('Europe/Berlin')};
  table(
    'timestamp',
    {
      '2024-07-01 12:00': Date.UTC(2024, 6, 1, 10),
      '2024-01-01': Date.UTC(2023, 11, 31, 23),
      '2024-03-31 01:59:59': Date.UTC(2024, 2, 31, 0, 59, 59),
      '2024-03-31 02:30': Date.UTC(2024, 2, 31, 1, 30),
      '2024-03-31 03:00': Date.UTC(2024, 2, 31, 1),
      '2024-10-27 01:59': Date.UTC(2024, 9, 26, 23, 59),
      '2024-10-27 02:30': Date.UTC(2024, 9, 27, 0, 30),
      '2024-10-27 03:00': Date.UTC(2024, 9, 27, 2),
      '2024-07-01T12:00Z': Date.UTC(2024, 6, 1, 12),
    },
    berlin,
  );
  for (const name of [
    'America/New_York',
    'Australia/Lord_Howe',
    'Asia/Kathmandu',
    'Pacific/Apia',
    'America/Sao_Paulo',
  ]) {
    const zone = timeZone(name);
    fc.assert(
      fc.property(
        fc.date({
          min: new Date('1971-01-01T00:00:00Z'),
          max: new Date('2035-01-01T00:00:00Z'),
          noInvalidDate: true,
        }),
        (date) => {
          const local = Temporal.PlainDateTime.from(date.toISOString().slice(0, 23));
          assert.equal(
            zone.toEpochMs(date.getTime()),
            local.toZonedDateTime(name, {disambiguation: 'compatible'}).epochMilliseconds,
          );
        },
      ),
    );
    // Every quarter of an hour around the changes of two years.
    for (let ms = Date.UTC(2010, 0, 1); ms < Date.UTC(2012, 0, 1); ms += 900_000) {
      const local = Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(name).toPlainDateTime();
      const before = local.toZonedDateTime('UTC').epochMilliseconds;
      if (ms % 86_400_000 < 3_600_000 * 2)
        assert.equal(
          zone.toEpochMs(before),
          local.toZonedDateTime(name, {disambiguation: 'compatible'}).epochMilliseconds,
        );
    }
  }
});

test('timestamp_format: the documented directives, and nothing but a whole match', () => {
  const format = (timestampFormat: string, zone = 'UTC') => ({zone: timeZone(zone), timestampFormat});
  table(
    'timestamp',
    {
      '31/12/2023 23:59': Date.UTC(2023, 11, 31, 23, 59),
      '1/2/2024 1:05': Date.UTC(2024, 1, 1, 1, 5),
      '31/02/2024 00:00': '!TYPE',
      '2023-12-31': '!TYPE',
      '31/12/2023 23:59x': '!TYPE',
      '31/12/2023': '!TYPE',
      '31/12/2023 24:00': '!TYPE',
    },
    format('%d/%m/%Y %H:%M'),
  );
  table(
    'timestamp',
    {
      'Jan 5 2024 12:30:00.250 AM +0100': Date.UTC(2024, 0, 4, 23, 30, 0, 250),
      'feb 5 2024 1:00:00.5 pm Z': Date.UTC(2024, 1, 5, 13, 0, 0, 500),
      'Foo 5 2024 1:00:00.5 pm Z': '!TYPE',
      'feb 5 2024 13:00:00.5 pm Z': '!TYPE',
    },
    format('%b %d %Y %I:%M:%S.%f %p %z'),
  );
  table('timestamp', {'1704067200': 1_704_067_200_000, '1704067200.5': '!TYPE'}, format('%s'));
  table('timestamp', {'20240101%': Date.UTC(2024, 0, 1, 5)}, format('%Y%m%d%%', 'America/New_York'));
  table('timestamp', {'691231': Date.UTC(1969, 11, 31), '680101': Date.UTC(2068, 0, 1)}, format('%y%m%d'));
  assert.equal(timestampFormatProblem('%Y-%m-%d'), undefined);
  assert.match(timestampFormatProblem('%Q')!, /%Q is not known/);
  assert.match(timestampFormatProblem('%Y%')!, /is not known/);
  assert.match(timestampFormatProblem('%d.%m.')!, /no year/);
});
