/** The other servers: each is asked what it is for, killed, and asked again. */
import assert from 'node:assert/strict';
import {existsSync} from 'node:fs';
import {suite, test} from 'node:test';
import {startRegistry} from '../../src/cluster/apicurio.ts';
import {ask} from '../../src/cluster/http.ts';
import {startVault} from '../../src/cluster/openbao.ts';
import {startPrometheus} from '../../src/cluster/prometheus.ts';
import {startObjectStore} from '../../src/cluster/seaweedfs.ts';
import {createS3Client} from '../../src/store/s3.ts';
import {skipWithout} from './needs.ts';

suite('servers that are fetched', {concurrency: false}, () => {
  test('OpenBao keeps a secret through a kill and opens itself again', skipWithout('python3'), async () => {
    const server = await startVault({tls: true});
    try {
      await server.ask('PUT', 'secret/data/shop', {data: {password: 'kept'}});
      await server.kill();
      await server.restart();
      const {data} = await server.ask('GET', 'secret/data/shop');
      assert.deepEqual(data, {password: 'kept'});
      const {ca} = server.certificates!;
      const stranger = await ask(`${server.url}/v1/secret/data/shop`, {
        ca,
        headers: {'X-Vault-Token': 's.other'},
      });
      assert.equal(stranger.status, 403);
    } finally {
      await server.stop();
    }
    assert.ok(!existsSync(server.dir));
  });

  test(
    'SeaweedFS keeps an object through a kill and refuses other keys',
    skipWithout('python3'),
    async () => {
      const server = await startObjectStore();
      const client = createS3Client({...server, pathStyle: true});
      try {
        assert.ok(await client.put('a/b', Buffer.from('kept'), {kind: 'absent'}));
        await server.kill();
        await server.restart();
        assert.equal((await client.get('a/b'))?.bytes.toString(), 'kept');
        const stranger = createS3Client({...server, secretKey: 'other', pathStyle: true});
        await assert.rejects(stranger.get('a/b'), {code: 'STORE_REFUSED'});
        stranger.close();
      } finally {
        client.close();
        await server.stop();
      }
    },
  );

  test(
    "Apicurio begins with Confluent's rule and keeps a schema through a kill",
    skipWithout('java', 'mvn'),
    async () => {
      const server = await startRegistry();
      try {
        const registered = await ask(`${server.url}/subjects/a-value/versions`, {
          method: 'POST',
          body: {schema: '"string"'},
        });
        assert.equal(registered.status, 200);
        await server.kill();
        await server.restart();
        assert.deepEqual(JSON.parse((await ask(`${server.url}/subjects`)).text), ['a-value']);
        assert.deepEqual(JSON.parse((await ask(`${server.url}/config`)).text), {
          compatibilityLevel: 'BACKWARD',
        });
      } finally {
        await server.stop();
      }
    },
  );

  test('Prometheus asks its targets', skipWithout('prometheus'), async () => {
    const server = await startPrometheus({targets: ['127.0.0.1:9']});
    try {
      const {text} = await ask(`${server.url}/api/v1/status/config`);
      assert.match(text, /127\.0\.0\.1:9/);
    } finally {
      await server.stop();
    }
  });
});
