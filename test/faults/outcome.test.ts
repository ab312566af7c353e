/** The checker of the kill sweeps sees what it is there to see. */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {after, before, test} from 'node:test';
import {judge} from './kafka-world.ts';
import {compareOutcomes, type Outcome, readOutcome, sets} from './outcome.ts';
import {runUntilIdle} from './process.ts';
import {fileSinks} from './sink-reader.ts';
import {makeWorld} from './world.ts';

const home = mkdtempSync(join(tmpdir(), 'millrace-checker-'));
const root = join(home, 'good');
let wanted: Outcome;

before(async () => {
  makeWorld(root, {rows: 1_500, ratePerSecond: 3_000});
  const {code, stderr} = await runUntilIdle(root);
  assert.equal(code, 0, stderr);
  wanted = await readOutcome(root, fileSinks(root, true));
});
after(() => rmSync(home, {recursive: true}));

test('an undisturbed run has no problem and every set has members', () => {
  assert.deepEqual(wanted.problems, []);
  for (const set of sets) assert.ok(wanted[set].size > 0, set);
});

const file = (dir: string, name: string) => join(dir, '.millrace', name);
const edit = (path: string, change: (lines: string[]) => string[]) =>
  writeFileSync(
    path,
    change(readFileSync(path, 'utf8').trimEnd().split('\n'))
      .map((line) => `${line}\n`)
      .join(''),
  );
const sql = (path: string, text: string) => {
  const database = new DatabaseSync(path);
  database.exec(text);
  database.close();
};
const bump = (line: string, name: string) =>
  JSON.stringify({...JSON.parse(line), [name]: JSON.parse(line)[name] + 1});

const violations: [string, RegExp, (dir: string) => void][] = [
  [
    'a raw row is lost',
    /raw: .* is missing/,
    (dir) => edit(file(dir, 'rows/shop/purchase.jsonl'), (all) => all.slice(0, -1)),
  ],
  [
    'a raw row is twice',
    /raw: .* is twice/,
    (dir) => edit(file(dir, 'rows/shop/view.jsonl'), (all) => [...all, all[3]!]),
  ],
  [
    'a raw row has another value',
    /raw: .* wanted/s,
    (dir) =>
      edit(file(dir, 'rows/shop/purchase.jsonl'), ([first, ...rest]) => [bump(first!, 'quantity'), ...rest]),
  ],
  [
    'the last rows of a window are lost',
    /rows: per_hour@1/,
    (dir) =>
      edit(file(dir, 'copies/shop/per_hour__r1.jsonl'), (all) => {
        const {window_start, events} = JSON.parse(all.at(-1)!);
        return all.filter(
          (line) => JSON.parse(line).window_start !== window_start || JSON.parse(line).events < events,
        );
      }),
  ],
  [
    'a row has another value',
    /rows: brands@0 .* wanted/s,
    (dir) =>
      edit(file(dir, 'rows/shop/brands__r1.jsonl'), (all) => [
        ...all.slice(0, -1),
        bump(all.at(-1)!, 'orders'),
      ]),
  ],
  [
    'two rows of a version differ',
    /two rows of version/,
    (dir) => edit(file(dir, 'rows/shop/sliding__r1.jsonl'), (all) => [bump(all[0]!, 'orders'), ...all]),
  ],
  [
    // Whether a session moves after its row has left depends on the machine, so one is made that did.
    'a tombstone is lost',
    /rows: visits@0 .* too much/,
    (dir) =>
      edit(file(dir, 'rows/shop/visits__r1.jsonl'), (all) => {
        const row = JSON.parse(all.findLast((line) => !JSON.parse(line).deleted)!);
        return [...all, JSON.stringify({...row, window_start: '2025-03-01T00:00:00.000Z'})];
      }),
  ],
  [
    'a row was made with another snapshot',
    /labels .* by journal/,
    (dir) =>
      edit(file(dir, 'rows/shop/labels__r1.jsonl'), (all) =>
        all.map((line, index) => (index === all.length - 1 ? bump(line, 'orders') : line)),
      ),
  ],
];

for (const [name, expected, damage] of violations)
  test(`it is seen when ${name}`, async () => {
    const dir = mkdtempSync(join(home, 'bad-'));
    cpSync(root, dir, {recursive: true});
    damage(dir);
    assert.match(compareOutcomes(await readOutcome(dir, fileSinks(dir, true)), wanted).join('\n'), expected);
  });

for (const set of sets)
  test(`it is seen when a member of ${set} is missing, additional or different`, () => {
    const [key, value] = [...wanted[set]][0]!;
    const without = new Map(wanted[set]);
    without.delete(key);
    const cases: [Map<string, string>, RegExp][] = [
      [without, /is missing/],
      [new Map([...wanted[set], ['another', '']]), /too much/],
      [new Map([...wanted[set], [key, `${value} `]]), /wanted/],
    ];
    for (const [changed, expected] of cases)
      assert.match(compareOutcomes({...wanted, [set]: changed}, wanted).join('\n'), expected);
  });

test('the obvious evaluator agrees, and sees a row, a count and a late event that it does not say', async () => {
  const source = {dir: join(root, '.millrace/log')};
  assert.deepEqual(await judge(root, source, wanted), []);
  const changed = {...wanted, ledger: new Map(wanted.ledger), late: new Map(wanted.late)};
  const [name, line] = [...wanted.ledger].find(([each]) => each.startsWith('query per_hour'))!;
  changed.ledger.set(name, bump(line, 'aggregated'));
  changed.late.delete([...wanted.late.keys()].find((each) => each.startsWith('["sliding"'))!);
  const dir = mkdtempSync(join(home, 'bad-'));
  cpSync(root, dir, {recursive: true});
  edit(file(dir, 'rows/shop/brands__r1.jsonl'), (all) => [
    ...all,
    bump(bump(all.at(-1)!, 'orders'), 'version'),
  ]);
  const problems = await judge(dir, source, changed);
  for (const expected of [
    /^per_hour: .*aggregated is/m,
    /^sliding: \d+ late events, wanted/m,
    /^brands: .*orders is/m,
  ])
    assert.match(problems.join('\n'), expected);
});

test('a ledger that does not balance is seen', async () => {
  const dir = mkdtempSync(join(home, 'bad-'));
  cpSync(root, dir, {recursive: true});
  sql(file(dir, 'log/log.db'), "UPDATE ledger SET received = received + 1 WHERE source LIKE 'views%'");
  await assert.rejects(readOutcome(dir).then(({problems}) => assert.deepEqual(problems, [])));
});
