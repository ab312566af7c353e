/** docs/transforms.md: its example is the one in examples/, and its commands do what the page says. */
import assert from 'node:assert/strict';
import {cpSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {reasons} from '../../src/ingest/reasons.ts';
import {transformCodes} from '../../src/transforms/types.ts';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';

const example = fileURLToPath(new URL('../../examples/transforms', import.meta.url));
const page = readFileSync(new URL('../../docs/transforms.md', import.meta.url), 'utf8');
const text = (path: string) => readFileSync(join(example, path), 'utf8');

test('the page shows the example as it is, and every code', () => {
  assert.ok(page.includes(`\`\`\`ts\n${text('config/transforms/basket.ts')}\`\`\``));
  for (const code of transformCodes) {
    assert.ok(page.includes(`\`${code}`), code);
    assert.ok(code in reasons, `${code} is explained among the reasons of dead letters`);
  }
});

test('the commands of the page', async () => {
  const root = makeRoot();
  cpSync(example, root, {recursive: true});
  writeFiles(root, {'config/environments/dev.yaml': 'server: {port: 0}\n'});
  const commands = page
    .match(/```sh\n([\s\S]*?)```/)![1]!
    .trim()
    .split('\n');
  const outcomes = new Map<string, Awaited<ReturnType<typeof cli>>>();
  for (const command of commands) {
    const [, ...args] = command.split(' ').slice(1);
    const outcome = await cli(root, ...args);
    assert.equal(outcome.code, 0, `${command}: ${outcome.stderr}`);
    outcomes.set(args[0]!, outcome);
  }
  assert.match(
    outcomes.get('ingest')!.stderr,
    /6 rows of jsonl, its transform would make 5 events of them, 2 would be rejected/,
  );
  const tests = outcomes.get('test')!;
  assert.match(tests.stdout + tests.stderr, /✓ a basket becomes its lines/);
  const ledger = JSON.parse((await cli(root, 'ledger', '--json')).stdout);
  const source = 'baskets/baskets.jsonl';
  assert.deepEqual(ledger.transform, [
    {domain: 'shop', event_type: 'line', source, in: 6, out: 5, rejected: 2},
  ]);
  assert.deepEqual(
    ledger.ingest.map(({received, appended, duplicate, rejected}: Record<string, number>) => [
      received,
      appended,
      duplicate,
      rejected,
    ]),
    [[7, 3, 2, 2]],
  );
  assert.match(
    outcomes.get('dlq')!.stdout,
    /REJECTED:COUNTRY_UNKNOWN .*row 3 .*no region has the country XX/,
  );
  assert.match(outcomes.get('dlq')!.stdout, /CHECK:price_is_positive .*row 5 /);
  assert.equal(
    outcomes.get('export')!.stdout,
    text('config/transforms/shop.d.ts'),
    'the committed types are those',
  );
  assert.equal(
    readFileSync(join(root, 'config/transforms/shop.d.ts'), 'utf8'),
    outcomes.get('export')!.stdout,
  );
  const again = await cli(root, 'export', 'types', '--write', '--json');
  assert.deepEqual(JSON.parse(again.stdout), {written: []});
  writeFiles(root, {'config/transforms/shop.d.ts': 'old'});
  const dry = await cli(root, 'export', 'types', '--write', '--dry-run');
  assert.match(dry.stderr, /^would write config\/transforms\/shop.d.ts$/m);
  assert.equal(readFileSync(join(root, 'config/transforms/shop.d.ts'), 'utf8'), 'old');
  assert.match(
    (await cli(root, 'export', 'types', '--write')).stderr,
    /^wrote config\/transforms\/shop.d.ts$/m,
  );
});

test('after the transform was mended, its dead letters become events by a replay, once, and the books stay right', async () => {
  const root = makeRoot();
  cpSync(example, root, {recursive: true});
  const ingest = ['ingest', 'baskets', 'config/data/baskets.jsonl'];
  assert.equal((await cli(root, ...ingest)).code, 0);
  const replay = async (...more: string[]) => {
    const {stdout} = await cli(root, 'dlq', 'replay', 'shop', '--all', '--json', ...more);
    const {letters} = JSON.parse(stdout) as {letters: {outcome: string; code: string | null}[]};
    return letters.map(({outcome, code}) => code ?? outcome);
  };
  assert.deepEqual(await replay('--dry-run'), ['REJECTED:COUNTRY_UNKNOWN', 'CHECK:price_is_positive']);
  const text = readFileSync(join(root, 'config/transforms/basket.ts'), 'utf8');
  writeFiles(root, {'config/transforms/basket.ts': text.replace('=> {', '=> }')});
  const broken = await cli(root, 'dlq', 'replay', 'shop', '--all');
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /TRANSFORM_LOAD .*basket.ts:\d+: SyntaxError/);
  const mended = text
    .replace("['US', 'AMER'],", "['US', 'AMER'],\n  ['XX', 'OTHER'],")
    .replace('    price,\n', '    price: Math.abs(Number(price)),\n');
  writeFiles(root, {'config/transforms/basket.ts': mended});
  assert.deepEqual(await replay(), ['appended', 'appended']);
  assert.deepEqual(await replay(), ['duplicate', 'duplicate']);
  const ledger = JSON.parse((await cli(root, 'ledger', '--json')).stdout);
  const [line] = ledger.ingest;
  assert.deepEqual([line.received, line.appended, line.duplicate, line.rejected], [8, 6, 2, 0]);
  assert.deepEqual(
    [ledger.transform[0].in, ledger.transform[0].out, ledger.transform[0].rejected],
    [6, 8, 0],
  );
});

test('what a domain says wrongly about a transform is told where it stands', async () => {
  const root = makeRoot();
  cpSync(example, root, {recursive: true});
  const yaml = text('config/domains/shop.yaml');
  const path = '../transforms/basket.ts';
  const wrong: [string, RegExp][] = [
    ['../transforms/gone.ts', /shop.yaml:11:\d+ error FILE_NOT_FOUND there is no file .*gone.ts/],
    [`{module: ${path}, timeout: 1ms}`, /shop.yaml:11:\d+ error VALUE_RANGE a transform has 10 ms at least/],
    [`{module: ${path}, outputs: 0}`, /shop.yaml:11:\d+ error /],
    [`{modul: ${path}}`, /did you mean|module/],
  ];
  for (const [given, wanted] of wrong) {
    writeFiles(root, {'config/domains/shop.yaml': yaml.replace(`transform: ${path}`, `transform: ${given}`)});
    const {code, stderr, stdout} = await cli(root, 'validate');
    assert.equal(code, 2, given);
    assert.match(stderr + stdout, wanted, given);
  }
});
