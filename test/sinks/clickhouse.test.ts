/** The suite of every sink, over TCP: ClickHouse's HTTP protocol in front of chDB. */
import assert from 'node:assert/strict';
import {request} from 'node:http';
import {after, test} from 'node:test';
import {createClient} from '@clickhouse/client';
import {missingGrants} from '../../src/sinks/clickhouse/rights.ts';
import {openSink} from '../../src/sinks/host.ts';
import {testSink} from '../conformance/sink.ts';
import {clickHouseServer, clickHouseSubject, password, user} from '../support/clickhouse.ts';

const server = await clickHouseServer();
after(() => server.kill());

testSink('clickhouse', {
  choice: () => server.choice(),
  ...clickHouseSubject,
  async mend(statement) {
    const headers = {'x-clickhouse-user': user, 'x-clickhouse-key': password};
    const answer = await fetch(server.url, {method: 'POST', headers, body: statement});
    assert.ok(answer.ok, await answer.text());
  },
});

test('the local server answers no page of a browser, and lives on after a path that is none', async () => {
  const {port} = new URL(server.url);
  const asked = (path: string, headers: Record<string, string>) =>
    new Promise<number | undefined>((resolve, reject) => {
      const call = request({host: '127.0.0.1', port, path, headers, agent: false}, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      call.on('error', reject).end();
    });
  assert.equal(await asked('//', {}), 403);
  assert.equal(await asked('/ping', {origin: 'https://evil.example'}), 403);
  assert.equal(await asked('/ping', {'sec-fetch-site': 'cross-site'}), 403);
  assert.equal(await asked('/ping', {host: 'evil.example'}), 403);
  assert.equal(await asked('/ping', {}), 200);
});

test('what the user of a server may not do is named by the statement that gives it', async (t) => {
  const sink = await openSink({name: 's', choice: server.choice(), root: server.dir, readOnly: true});
  const client = createClient({url: server.url, username: user, password});
  t.after(() => Promise.all([sink.close(), client.close()]));
  assert.deepEqual(await sink.missingRights!([{namespace: 'shop', tables: ['purchase']}]), []);
  // Of the rights that the embedded database's only user lacks.
  assert.deepEqual(
    await missingGrants(client, [
      {privilege: 'SELECT', on: 'system.parts'},
      {privilege: 'CREATE USER', on: '*.*'},
      {privilege: 'DROP USER', on: '*.*'},
    ]),
    ['GRANT CREATE USER, DROP USER ON *.* TO `default`'],
  );
});
