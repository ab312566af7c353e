/** A secret that is in use must not be readable anywhere but where it was configured. */
import assert from 'node:assert/strict';
import {readdirSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {start} from '../faults/process.ts';
import {cli, makeRoot} from '../support/cli.ts';

const canary = 'canary-5f1d0c7e';
const tokenCanary = 'token-canary-91ab';

const files = {
  '.env': `sink_password=${canary}\nserver_token=${tokenCanary}\n`,
  'config/platform.yaml': `platform: vault
sinks: {guarded: {backend: guarded, guarded: {password: "\${secret:sink_password}"}}}
defaults: {aggregates: guarded, raw: none}
server: {port: 0, token: "\${secret:server_token}"}
plugins: [../guarded.ts]
`,
  'config/domains/d.yaml': `domain: d
event_types:
  - {name: e, dimensions: [kind], metrics: [{name: n, type: long}]}
inputs:
  - {name: in, event_type: e, from: ../../data/e.csv, format: csv}
aggregations:
  - {name: q, from: e, window: {type: tumbling, size: 1m}, group_by: [kind], measures: {s: sum(n)}}
`,
  'data/e.csv':
    'timestamp,kind,n\n2026-01-05T00:00:00Z,a,1\n2026-01-05T00:00:01Z,b,many\n2026-01-05T00:00:01Z,b,2\n',
  // Its own errors carry the password, as those of careless drivers do.
  'guarded.ts': `export const sinks = [{
  name: 'guarded', summary: 'Refuses everything', fields: {password: {type: 'string', secret: true, doc: 'its password', required: true}},
  capabilities: {isolation: 'inline', upsert: true, raw: false, query: true, views: false, durable: false},
  open: async (options) => {
    const password = options.password.reveal ? options.password.reveal() : options.password;
    const refuse = async () => { throw new Error('login failed for app:' + password + '@db'); };
    return {ensure: async () => {}, write: refuse, query: refuse, mark: async () => {}, marked: async () => undefined, close: async () => {}};
  },
}];
`,
};

/** Every file below a directory. */
function* below(dir: string): Generator<string> {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    const stat = statSync(path);
    if (stat.isDirectory()) yield* below(path);
    else if (stat.isFile()) yield path;
  }
}

test('secrets are in no output, no answer and no file of the platform', {timeout: 120_000}, async () => {
  const root = makeRoot(files);
  const told: [where: string, text: string][] = [];
  const run = async (...argv: string[]) => {
    const {stdout, stderr} = await cli(root, ...argv);
    told.push([argv.join(' '), stdout + stderr]);
    return stdout;
  };
  const child = start(root, ['run']);
  await child.says(/ 2 events/);
  for (const argv of [
    ['status'],
    ['status', '--json'],
    ['ledger', '--json'],
    ['query', 'select 1'],
    ['doctor'],
    ['dlq', 'list', '--json'],
    ['validate', '--json'],
    ['explain', 'config'],
    ['explain', 'config', '--json'],
    ['explain', 'plan', '--json'],
    ['components', 'guarded'],
    ['export', 'json-schema'],
  ])
    await run(...argv);
  const {url} = JSON.parse(await run('status', '--json'));
  const headers = {authorization: `Bearer ${tokenCanary}`};
  for (const path of ['/metrics', '/v1/status', '/v1/ledger', '/v1/nothing']) {
    const response = await fetch(url + path, {headers});
    assert.ok(response.status === 200 || path === '/v1/nothing', path);
    told.push([path, await response.text()]);
  }
  assert.equal((await fetch(`${url}/v1/status`)).status, 401);
  child.kill('SIGTERM');
  await new Promise((resolve) => setTimeout(resolve, 700));
  child.kill('SIGTERM');
  const {stderr, stdout} = await child.ended;
  told.push(['the log of the run', stderr + stdout]);
  for (const path of below(join(root, '.millrace'))) told.push([path, readFileSync(path, 'latin1')]);

  assert.ok(
    told.some(([where, text]) => where === 'query select 1' && text.includes('login failed')),
    'the sink was asked',
  );
  for (const [where, text] of told)
    for (const secret of [canary, tokenCanary])
      assert.ok(!text.includes(secret), `${secret} in ${where}:\n${text.slice(0, 600)}`);
});
