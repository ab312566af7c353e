import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {existsSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {gzipSync} from 'node:zlib';
import type {PlatformError} from '../../src/errors.ts';
import {contentHash, contentName, openFile} from '../../src/ingest/open.ts';
import {domain, input, order, withWorld} from './world.ts';
import {zipOf} from './zip.ts';

const dir = mkdtempSync(join(tmpdir(), 'millrace-open-'));
process.on('exit', () => rmSync(dir, {recursive: true, force: true}));
const put = (name: string, content: Uint8Array | string) => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};

async function read(path: string): Promise<{text: string; shares: number[]}> {
  const file = await openFile(path);
  const parts: Uint8Array[] = [];
  const shares: number[] = [];
  for await (const chunk of file.chunks) {
    parts.push(Uint8Array.from(chunk));
    shares.push(file.bytesRead() / file.bytesTotal);
  }
  return {text: Buffer.concat(parts).toString(), shares};
}

const text = Array.from({length: 40_000}, (_, i) => `line ${i} ${(i * 7919) % 10_007}`).join('\n');

test('plain, gzip and zip give the same bytes, with progress to the end', async () => {
  for (const [name, bytes] of [
    ['a.csv', Buffer.from(text)],
    ['a.csv.gz', gzipSync(text)],
    ['two.csv.gz', Buffer.concat([gzipSync(text.slice(0, 1000)), gzipSync(text.slice(1000))])],
    ['a.csv.zip', zipOf([{name: 'a.csv', content: Buffer.from(text)}])],
    ['stored.zip', zipOf([{name: 'a.csv', content: Buffer.from(text), stored: true}])],
    [
      'b.csv.ZIP',
      zipOf([
        {name: 'readme.txt', content: Buffer.from('x')},
        {name: 'in/b.csv', content: Buffer.from(text)},
        {name: 'in/', content: Buffer.alloc(0), stored: true},
      ]),
    ],
    [
      'mac.zip',
      zipOf([
        {name: 'a.csv', content: Buffer.from(text)},
        {name: '__MACOSX/._a.csv', content: Buffer.from('x')},
      ]),
    ],
  ] as const) {
    const path = put(name, bytes);
    const found = await read(path);
    assert.equal(found.text, text, name);
    assert.equal(found.shares.at(-1), 1);
    assert.equal(await contentHash(path), await contentHash(put('plain', text)));
  }
});

test('the name of a content is that of the file without path and packing', () => {
  assert.equal(contentName('/data/flights.csv.zip'), 'flights.csv');
  assert.equal(contentName('flights.csv.GZ'), 'flights.csv');
  assert.equal(contentName('x/flights.csv'), 'flights.csv');
});

test('files that are missing, damaged, or hold no one content are refused with their path', async () => {
  const content = Buffer.from(text);
  const zip = zipOf([{name: 'a.csv', content}]);
  await assert.rejects(read(join(dir, 'none.csv')), {code: 'INPUT_MISSING'});
  await assert.rejects(read(join(dir, 'none.zip')), {code: 'INPUT_MISSING'});
  await assert.rejects(read(dir), {code: 'INPUT_MISSING'});
  for (const [name, bytes] of [
    ['cut.gz', gzipSync(text).subarray(0, 5000)],
    ['text.gz', Buffer.from(text)],
    ['text.zip', Buffer.from(text)],
    ['cut.zip', zip.subarray(0, -500)],
    ['empty.zip', zipOf([])],
    [
      'several.zip',
      zipOf([
        {name: 'x', content},
        {name: 'y', content},
      ]),
    ],
    ['sum.zip', zipOf([{name: 'a.csv', content, wrongChecksum: true}])],
    ['size.zip', zipOf([{name: 'a.csv', content, wrongSize: 5}])],
  ] as const)
    await assert.rejects(read(put(name, bytes)), {code: 'INPUT_FORMAT', place: join(dir, name)}, name);
});

test('a bomb is stopped, in gzip and in zip', async () => {
  const zeros = Buffer.alloc(80 * 1024 * 1024);
  for (const path of [
    put('bomb.gz', gzipSync(zeros)),
    put('bomb.zip', zipOf([{name: 'bomb', content: zeros}])),
  ])
    await assert.rejects(
      async () => {
        let bytes = 0;
        for await (const chunk of (await openFile(path)).chunks) bytes += chunk.length;
        assert.fail(`all ${bytes} bytes were given`);
      },
      {code: 'INPUT_FORMAT', message: /more than 200 times/},
    );
});

test('plain, gzip and zip of one content give the same log, id by id', async () => {
  const rows = Array.from(
    {length: 500},
    (_, i) => `${1_700_000_000_000 + ((i * 37) % 500) * 1000},u${i % 9},DE,${i},1`,
  );
  const csv = Buffer.from(`timestamp,user_id,country,amount,quantity\n${rows.join('\n')}\n`);
  const logs = [];
  for (const [name, bytes] of [
    ['a.csv', csv],
    ['a.csv.gz', gzipSync(csv)],
    ['a.csv.zip', zipOf([{name: 'a.csv', content: csv}])],
  ] as const)
    logs.push(
      await withWorld(async (world) => {
        await world.ingest(world.file(name, bytes), {
          domain: domain(order()),
          input: input({orderBy: 'timestamp'}),
        });
        return world.content();
      }),
    );
  assert.equal(logs[0]!.events.length, 500);
  assert.deepEqual(logs[1], logs[0]);
  assert.deepEqual(logs[2], logs[0]);
});

/** The failure of ingesting a file as an input of orders. */
async function failure(name: string, bytes: Uint8Array | string): Promise<{message: string; hint: string}> {
  return withWorld(async (world) => {
    const path = world.file(name, bytes);
    const error = await world.ingest(path).then(
      () => assert.fail('it was ingested'),
      (thrown: PlatformError) => thrown,
    );
    return {message: error.message.replaceAll(path, name), hint: error.hint ?? ''};
  });
}

test('files that cannot be read say why once, with the way out', async () => {
  const csv = Buffer.from('timestamp,user_id,country,amount,quantity\n2024-01-01,u,DE,1,1\n');
  await assert.rejects(read('nope.csv'), {message: 'there is no file nope.csv', place: undefined});
  await assert.rejects(read(dir), {message: `${dir} cannot be read: it is a directory`});
  // A reading of these would wait for ever.
  const pipe = join(dir, 'pipe.csv');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(read(pipe), {
    message: `${pipe} cannot be read: it is a pipe or a device and may never end`,
  });
  await assert.rejects(read('/dev/zero'), {
    message: '/dev/zero cannot be read: it is a pipe or a device and may never end',
  });
  if (existsSync('/proc/kmsg'))
    await assert.rejects(read('/proc/kmsg'), {
      message: '/proc/kmsg cannot be read: it is a file of the kernel and may never end',
    });
  const two = zipOf([
    {name: 'x.csv', content: csv},
    {name: 'y.csv', content: csv},
  ]);
  assert.deepEqual(await failure('a.zip', two), {
    message: 'a.zip holds 2 files (x.csv, y.csv) and not one named a',
    hint: 'pack one file, or name the one to read a',
  });
  const other = await failure('a.csv.zip', zipOf([{name: 'readme.txt', content: Buffer.from('Hello.\n')}]));
  assert.match(other.message, /^readme\.txt in the zip file: the file has no column timestamp/);
  for (const [name, bytes] of [
    ['a.csv.zip', csv],
    ['a.csv.gz', csv],
    ['b.csv.gz', gzipSync(csv).subarray(0, 40)],
    ['c.csv.zip', zipOf([{name: 'c.csv', content: csv, wrongChecksum: true}])],
  ] as const)
    assert.match((await failure(name, bytes)).hint, /fetch or pack it again/, name);
});

test('UTF-16 and packed content under a plain name are recognised by the first bytes', async () => {
  const csv = 'timestamp,amount\n2024-01-01,1\n';
  const little = Buffer.from(`\ufeff${csv}`, 'utf16le');
  for (const bytes of [little, Buffer.from(csv, 'utf16le'), Buffer.from(little).swap16()]) {
    const {message, hint} = await failure('a.csv', bytes);
    assert.equal(message, 'a.csv is UTF-16');
    assert.match(hint, /^save it as UTF-8: iconv/);
  }
  assert.equal((await failure('a.csv', gzipSync(csv))).message, 'a.csv is packed with gzip');
  const zip = zipOf([{name: 'a.csv', content: Buffer.from(csv)}]);
  assert.equal((await failure('a.csv', zip)).message, 'a.csv is a zip file or a spreadsheet');
});
