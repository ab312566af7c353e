/** The registry of a running platform: its subjects are there, and it takes those of others. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {makeRoot} from '../support/cli.ts';
import {startIn} from '../support/running.ts';
import {ask} from './server.ts';

const files = {
  'config/platform.yaml':
    'platform: p\nsinks: {rows: {backend: stdout}}\ndefaults: {aggregates: rows, raw: none}\n',
  'config/domains/shop.yaml':
    'defaults: {compatibility: full}\nevent_types: [{name: order, attributes: [user_id]}]\n',
};

test('a running platform serves its schemas, and what clients delete is there again after a start', async () => {
  const root = makeRoot(files);
  const access = () => ({
    authorization: `Bearer ${readFileSync(join(root, '.millrace', 'token'), 'utf8').trim()}`,
  });
  const first = (await startIn(root)).running;
  const path = '/subjects/shop.order-value';
  let id: number;
  try {
    const server = {url: `${first.url}/registry`};
    const latest = await ask(server, 'GET', `${path}/versions/latest`, undefined, access());
    assert.equal(latest.status, 200, latest.text);
    ({id} = latest.body as {id: number});
    const level = await ask(server, 'GET', '/config/shop.order-value', undefined, access());
    assert.deepEqual(level.body, {compatibilityLevel: 'FULL'});
    const foreign = await ask(
      server,
      'POST',
      '/subjects/foreign/versions',
      {schema: '["null","string"]'},
      access(),
    );
    assert.equal(foreign.status, 200, foreign.text);
    assert.equal((await ask(server, 'DELETE', path, undefined, access())).status, 200);
    assert.match(
      await (await fetch(`${first.url}/metrics`)).text(),
      /millrace_registry_request_seconds_count\{status="200"\} \d/,
    );
  } finally {
    await first.drain();
  }
  const second = (await startIn(root)).running;
  try {
    const server = {url: `${second.url}/registry`};
    const again = await ask(server, 'GET', `${path}/versions/latest`, undefined, access());
    assert.equal((again.body as {id: number}).id, id, again.text);
    assert.equal((await ask(server, 'GET', '/subjects/foreign/versions/1', undefined, access())).status, 200);
  } finally {
    await second.drain();
  }
});
