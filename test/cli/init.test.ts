/** What `init` writes: examples, a domain from a file of one's own, three questions on a terminal. */
import assert from 'node:assert/strict';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {PassThrough} from 'node:stream';
import {text} from 'node:stream/consumers';
import {describe, test} from 'node:test';
import {main} from '../../src/cli/main.ts';
import {cli, filePlatform, makeRoot, writeFiles} from '../support/cli.ts';

const domainOf = (root: string, name: string) =>
  readFileSync(join(root, `config/domains/${name}.yaml`), 'utf8');

describe('init', () => {
  for (const [like, domain] of [
    ['purchases', 'shop'],
    ['player_actions', 'games'],
    ['readings', 'sensors'],
  ] as const)
    test(`an example like ${like} validates with every source, and its sample runs`, async () => {
      const root = makeRoot();
      for (const from of ['sample', 'generator', 'http']) {
        const made = await cli(root, 'init', from, '--like', like, '--from', from);
        assert.equal(made.code, 0, made.stderr);
        const {code, stderr} = await cli(join(root, from), 'validate');
        assert.equal(code, 0, stderr);
        assert.match(stderr, /^ok 1 domain, 1 event type, 2 queries, [01] inputs? /);
        assert.equal(domainOf(join(root, from), domain).includes('\ngenerate:'), from === 'generator');
      }
      writeFiles(join(root, 'sample'), {'config/platform.yaml': filePlatform});
      const [input = ''] =
        /(?<=- \{name: )\w+(?=, event_type)/.exec(domainOf(join(root, 'sample'), domain)) ?? [];
      const {code, stderr} = await cli(join(root, 'sample'), 'ingest', input);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /500 rows, 499 appended, 0 duplicate, 1 rejected/);
    });

  test('a domain from a file of one\u2019s own: times, types, names, what is missing', async () => {
    const lines = ['Order ID,happenedAt,Country,Total Price,qty,user,code,timestamp'];
    for (let n = 0; n < 60; n++)
      lines.push(
        `${n},2026-01-05 10:${String(n).padStart(2, '0')}:00,${n % 2 ? 'DE' : 'FR'},${n === 7 ? 'NA' : '12.5'},${n},"u, ${n}",0${n},x`,
      );
    const root = makeRoot({'export.csv': lines.join('\n')});
    const made = await cli(root, 'init', 'own', '--from', 'export.csv', '--domain', 'sales');
    assert.equal(made.code, 0, made.stderr);
    const domain = domainOf(join(root, 'own'), 'sales');
    for (const line of [
      '      - {name: order_id, type: int}',
      '      - country',
      '      - {name: total_price, type: money, required: false}',
      '      - {name: qty, type: int}',
      '      - code',
      '    timestamp: happenedAt',
      '    timezone: UTC                # of times without a zone in the file',
      '    from: "../../../export.csv"',
    ])
      assert.ok(domain.split('\n').includes(line), `${line}\nin\n${domain}`);
    writeFiles(join(root, 'own'), {'config/platform.yaml': filePlatform});
    const {code, stderr} = await cli(join(root, 'own'), 'ingest', 'export_file');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /60 rows, 60 appended/);
  });

  test('a file without times, and words that are none, are refused with what there is', async () => {
    const root = makeRoot({'a.csv': 'x,y\n1,2\n'});
    for (const [argv, said] of [
      [['--from', 'a.csv'], /no column of a\.csv holds times/],
      [['--from', 'b.csv'], /"b\.csv" is no file here\n {2}hint: --from sample, generator, http/],
      [['--like', 'purchase'], /did you mean purchases\?/],
    ] as const) {
      const {code, stderr} = await cli(root, 'init', ...argv);
      assert.equal(code, 2);
      assert.match(stderr, said);
    }
    assert.ok(!existsSync(join(root, 'config')));
  });

  test('three questions on a terminal; what cannot be used is asked again', async () => {
    const cwd = makeRoot();
    const stdin = Object.assign(new PassThrough(), {isTTY: true});
    const stdout = new PassThrough();
    const stderr = Object.assign(new PassThrough(), {isTTY: true});
    const told = text(stderr);
    const ended = main(['init'], {stdin, stdout, stderr, env: {NO_COLOR: '1'}, cwd});
    for (const answer of ['7', '2', '2', '9lives', 'play'])
      await new Promise<void>((resolve) => {
        setTimeout(() => stdin.write(`${answer}\n`, () => resolve()), 60);
      });
    assert.equal(await ended, 0);
    stderr.end();
    const said = await told;
    assert.match(said, /1 {2}a sample file\n {2}2 {2}made up, as time goes by\n/);
    assert.match(said, /"7" is no file here/);
    assert.match(said, /"9lives" cannot name a domain/);
    const domain = domainOf(cwd, 'play');
    assert.match(domain, /name: player_action\n/);
    assert.match(domain, /\ngenerate:/);
  });

  test('a terminal that goes away in the middle leaves nothing behind', async () => {
    const cwd = makeRoot();
    const stdin = Object.assign(new PassThrough(), {isTTY: true});
    const stderr = Object.assign(new PassThrough(), {isTTY: true});
    const ended = main(['init'], {stdin, stdout: new PassThrough(), stderr, env: {}, cwd});
    stdin.end();
    assert.equal(await ended, 2);
    assert.ok(!existsSync(join(cwd, 'config')));
  });

  test('a file whose columns are separated by something else is told so; without a terminal it says what was taken', async () => {
    const root = makeRoot({'sales.csv': 'when;who;amount\n2026-01-05T10:00:00Z;a;1,50\n'});
    const {code, stderr} = await cli(root, 'init', 'here', '--from', 'sales.csv');
    assert.equal(code, 2);
    assert.match(stderr, /its columns are separated by ";"; commas are read/);
    const taken = await cli(root, 'init', 'there', '--like', 'purchases');
    assert.match(
      taken.stderr,
      /no terminal, so nothing was asked \(nor read\): taken was --from sample --domain /,
    );
    const silent = await cli(root, 'init', 'yes', '--yes');
    assert.doesNotMatch(silent.stderr, /no terminal/);
  });
});
