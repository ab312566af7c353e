/** `millrace generate`: what it refuses, what it changes in a running platform, how it finds differences. */
import assert from 'node:assert/strict';
import {appendFileSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import type {GeneratorStatus} from '../../src/platform/generate-types.ts';
import type {Verification} from '../../src/platform/generate-verify.ts';
import {start} from '../faults/process.ts';
import {cli, filePlatform, makeRoot} from '../support/cli.ts';
import {until} from '../support/until.ts';

const games = `event_types:
  - name: action
    key: player_id
    attributes: [player_id]
    dimensions: [region]
aggregations:
  - {name: actions, from: action, window: {type: tumbling, size: 1m}, group_by: [region], measures: {actions: count()}}
`;
const generated = (more = '') => ({
  'config/platform.yaml': filePlatform,
  'config/domains/games.yaml': `${games}generate: {seed: 3, rate: 400/s${more}}\n`,
});

test('mistakes of the section are told with their places', async () => {
  const root = makeRoot({
    'config/platform.yaml': filePlatform,
    'config/domains/games.yaml': `${games}generate:
  sede: 3
  keys: {plyer_id: {count: 5}}
  sessions: {entity: player_id, start: actoin, steps: {action: {action: 0.9, login: 0.3}}}
  values: {region: {lognormal: [1, 2]}, action.player_id: {patern: x}}
  faults: {late: {share: 200%, by: 3m}, corrupt: 60%, schema_drift: 70%}
`,
  });
  const {code, stderr} = await cli(root, 'validate');
  assert.equal(code, 2);
  for (const expected of [
    /games\.yaml:9:3 error KEY_UNKNOWN unknown key "sede"[\s\S]*did you mean seed\?/,
    /:10:10 error FIELD_UNKNOWN no event type of this domain has a field "plyer_id"[\s\S]*did you mean player_id/,
    /:11:40 error EVENT_TYPE_UNKNOWN there is no event type "actoin"[\s\S]*did you mean action/,
    /:11:\d+ error GENERATE_SHARES the steps from action sum to 1\.2/,
    /:11:\d+ error EVENT_TYPE_UNKNOWN there is no event type "login"/,
    /:12:\d+ error GENERATE_VALUE "region" is a string, no number/,
    /:12:\d+ error KEY_UNKNOWN unknown key "patern"[\s\S]*did you mean pattern/,
    /:13:\d+ error VALUE_INVALID "200%" is not a share/,
    /:13:\d+ error VALUE_INVALID "3m" does not have the right form/,
    /:13:\d+ error GENERATE_SHARES late, out_of_order, corrupt and schema_drift are together 130%/,
  ])
    assert.match(stderr, expected);
});

test('sessions that never end are refused', async () => {
  const root = makeRoot(
    generated(', sessions: {entity: player_id, start: action, steps: {action: {action: 1}}}'),
  );
  const {code, stderr} = await cli(root, 'validate');
  assert.equal(code, 2);
  assert.match(stderr, /GENERATE_SHARES sessions never end/);
});

test('what cannot be read or needs a platform is refused with the way out', async () => {
  const root = makeRoot(generated());
  for (const [args, expected] of [
    [[], /needs an end[\s\S]*--count 10000 --fast/],
    [['--count', 'many'], /--count "many" cannot be read/],
    [['--count', '5', '--rate', 'fast'], /--rate "fast" is no rate/],
    [['--count', '5', '--fast', '--faults', 'lat=5%'], /"lat=5%" is no fault/],
  ] as const) {
    const {code, stderr} = await cli(root, 'generate', 'games', ...args);
    assert.equal(code, 2, stderr);
    assert.match(stderr, expected);
  }
  assert.equal((await cli(root, 'generate', 'gmaes', '--count', '5')).code, 2);
});

test('a row that is not the expected one is a difference with exit code 3', async () => {
  const root = makeRoot(generated());
  assert.equal((await cli(root, 'generate', '--count', '800', '--fast', '--verify')).code, 0);
  const rows = join(root, '.millrace/files/games/actions__r1.jsonl');
  const lines = readFileSync(rows, 'utf8').trim().split('\n');
  const last = JSON.parse(lines.at(-1)!) as {actions: number; version: number};
  appendFileSync(
    rows,
    `${JSON.stringify({...last, actions: last.actions + 1, version: last.version + 2})}\n`,
  );
  const {code, stdout} = await cli(root, 'generate', '--verify');
  assert.equal(code, 3);
  assert.match(stdout, /DIFFERENT +rows of actions in rows/);
  assert.match(stdout, new RegExp(`actions is ${last.actions + 1}, expected ${last.actions}`));
});

test('another configuration begins a new run, and what the old one made can no longer be proven', async () => {
  const root = makeRoot(generated());
  assert.equal((await cli(root, 'generate', '--count', '100', '--fast')).code, 0);
  writeFileSync(join(root, 'config/domains/games.yaml'), `${games}generate: {seed: 4, rate: 400/s}\n`);
  const made = await cli(root, 'generate', '--count', '50', '--fast', '--json');
  const status = JSON.parse(made.stdout) as GeneratorStatus;
  assert.deepEqual([status.run, status.events], [1, 50]);
  const {code, stderr} = await cli(root, 'generate', '--verify');
  assert.equal(code, 2);
  assert.match(stderr, /VERIFY_IMPOSSIBLE 100 events were made with another configuration/);
  assert.match(stderr, /cp -r config \/tmp\/try && .* generate games .*--env dev --count/);
});

test('a running platform makes events at their rate, and rate and faults change on the way', async () => {
  const root = makeRoot(generated(', faults: {late: {share: 5%, by: 30s..20m}, duplicate: 2%, corrupt: 1%}'));
  const run = start(root, ['run', '--port', '0']);
  try {
    const look = async () => {
      const {stdout} = await cli(root, 'status', '--json');
      return (JSON.parse(stdout) as {generators: GeneratorStatus[]}).generators[0];
    };
    const reached = async (isThere: (status: GeneratorStatus) => boolean): Promise<GeneratorStatus> => {
      let status: GeneratorStatus | undefined;
      await until(
        async () => {
          status = await look().catch(() => undefined);
          return status && isThere(status);
        },
        () => JSON.stringify(status),
      );
      return status!;
    };
    await reached(({events}) => events > 200);
    assert.equal(
      (await cli(root, 'generate', 'games', '--rate', '2000/s', '--faults', 'late=20%,corrupt=0%')).code,
      0,
    );
    const changed = await reached(({ratePerSecond}) => ratePerSecond === 2000);
    assert.equal(changed.faults.late?.share, 0.2);
    assert.equal(changed.faults.corruptShare, 0);
    const before = changed.events;
    await reached(({events}) => events > before + 2000);
    const verified = await cli(root, 'generate', 'games', '--verify', '--json');
    assert.equal(verified.code, 0, verified.stdout);
    assert.ok((JSON.parse(verified.stdout) as Verification).events > before);
    assert.equal((await cli(root, 'generate', 'games', '--pause')).code, 0);
    await reached(({state}) => state === 'paused');
    // Killed and started again it is still paused; told to, it goes on.
    const {events} = (await look())!;
    run.kill('SIGKILL');
    await run.ended;
    const again = start(root, ['run', '--port', '0']);
    try {
      await reached(({state}) => state === 'paused');
      assert.equal((await look())!.events, events);
      assert.equal((await cli(root, 'generate', 'games', '--resume')).code, 0);
      await reached((status) => status.events > events + 500);
      const proven = await cli(root, 'generate', 'games', '--verify');
      assert.equal(proven.code, 0, proven.stdout);
    } finally {
      again.kill('SIGINT');
      assert.equal((await again.ended).code, 0);
    }
  } finally {
    run.kill('SIGKILL');
    await run.ended;
  }
});
