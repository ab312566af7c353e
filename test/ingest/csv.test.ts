import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {recordBytesMax} from '../../src/ingest/records.ts';
import {scanCsv} from './scan.ts';

const values = async (text: string, chunk?: number) =>
  (await scanCsv(text, chunk)).map((r) => r.code || r.values);

test('RFC 4180: quotes, doubled quotes, commas and line ends in quotes, CRLF, a last line without an end', async () => {
  const text = 'a,b,c\r\n1,"x,y",3\r\n"he said ""hi""","two\r\nlines",\r\n,,"last"';
  const expected = [
    ['1', 'x,y', '3'],
    ['he said "hi"', 'two\r\nlines', ''],
    ['', '', 'last'],
  ];
  for (const chunk of [1, 2, 3, 7, 100])
    assert.deepEqual(await values(text, chunk), expected, `chunks of ${chunk}`);
});

test('a byte order mark is no part of the first name, blank lines are no rows, a quote inside a plain field is a character', async () => {
  for (const chunk of [1, 2, 4, 100])
    assert.deepEqual(await values('\uFEFFa,b\n\n1,5" pipe\n\r\n\n2,it"s ""here""\n\n', chunk), [
      ['1', '5" pipe'],
      ['2', 'it"s ""here""'],
    ]);
});

test('in a file of one column an empty line is a row', async () => {
  assert.deepEqual(await values('a\n1\n\n2\n'), [['1'], [''], ['2']]);
});

test('a ragged row is bad and keeps its bytes, its neighbours are good', async () => {
  const rows = await scanCsv('a,b\n1,2\n1,2,3\nonly\n3,4\n');
  assert.deepEqual(
    rows.map(({row, code, raw}) => [row, code, raw]),
    [
      [1, '', '1,2'],
      [2, 'CSV_RAGGED', '1,2,3'],
      [3, 'CSV_RAGGED', 'only'],
      [4, '', '3,4'],
    ],
  );
});

test('a stray quote costs one line, whatever the chunks', async () => {
  for (const chunk of [1, 5, 64, 1000])
    assert.deepEqual(
      (await scanCsv('a,b\n1,"open\n2,x\n3,"shut"\n"4"x,y\n5,"never closed\n6,z\n', chunk)).map(
        (r) => r.code || r.raw,
      ),
      ['CSV_QUOTE', '2,x', '3,"shut"', 'CSV_QUOTE', 'CSV_QUOTE', '6,z'],
    );
});

test('a quote that never closes in a large file costs one line', async () => {
  const good = 'x,y\n'.repeat(recordBytesMax / 2);
  const rows = await scanCsv(`a,b\n1,"open\n${good}`);
  assert.equal(rows[0]!.code, 'CSV_QUOTE');
  assert.equal(rows[0]!.raw, '1,"open');
  assert.equal(rows.length, 1 + recordBytesMax / 2);
  assert.ok(rows.slice(1).every(({code}) => code === ''));
});

test('text that is not UTF-8 is bad and keeps its bytes', async () => {
  const rows = await scanCsv(Buffer.from('a,b\n1,caf\xe9\n2,ok\n', 'latin1'));
  assert.deepEqual(
    rows.map(({code, raw}) => [code, raw]),
    [
      ['UTF8', '1,caf\xe9'],
      ['', '2,ok'],
    ],
  );
  assert.deepEqual(await values('a,b\n1,café ✈\n'), [['1', 'café ✈']]);
});

test('a record beyond the limit is one bad record; one at the limit is good; both for any chunks', async () => {
  const big = 'x'.repeat(3 * recordBytesMax);
  const exact = 'y'.repeat(recordBytesMax - 2);
  for (const chunk of [4096, 1 << 20, 1 << 23]) {
    const rows = await scanCsv(`a,b\n1,2\n3,${big}\n4,${exact}\n5,z${exact}\n6,7\n`, chunk);
    assert.deepEqual(
      rows.map(({row, code, raw}) => [row, code, raw.length]),
      [
        [1, '', 3],
        [2, 'RECORD_TOO_LARGE', 64 * 1024],
        [3, '', recordBytesMax],
        [4, 'RECORD_TOO_LARGE', 64 * 1024],
        [5, '', 3],
      ],
    );
  }
  const last = await scanCsv(`a,b\n1,2\n3,${big}`);
  assert.deepEqual(
    last.map(({code}) => code),
    ['', 'RECORD_TOO_LARGE'],
  );
});

test('headers that cannot be used are refused with the reason', async () => {
  await assert.rejects(scanCsv(''), {code: 'INPUT_HEADER'});
  await assert.rejects(scanCsv('a,b,a\n1,2,3\n'), {code: 'INPUT_HEADER', message: /"a" twice/});
  await assert.rejects(scanCsv('"a,b\n1,2\n'), {code: 'INPUT_HEADER'});
});

test('what a plain writer of RFC 4180 wrote is read back, for any cells and chunks', async () => {
  const cell = fc.oneof(
    fc.string({unit: 'binary', maxLength: 12}),
    fc.constantFrom('', '"', '""', ',', '\n', '\r\n', 'a"b'),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(cell, cell, cell), {maxLength: 20}),
      fc.integer({min: 1, max: 50}),
      fc.constantFrom('\n', '\r\n'),
      async (rows, chunk, end) => {
        const text = [['a', 'b', 'c'], ...rows]
          .map((row) => row.map((value) => `"${value.replaceAll('"', '""')}"`).join(','))
          .join(end);
        assert.deepEqual(await values(text + end, chunk), rows);
      },
    ),
    {numRuns: 150},
  );
});
