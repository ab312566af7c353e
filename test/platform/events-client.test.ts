/** The example client against a server that fails: it waits as it is told, and sends the same request again. */
import assert from 'node:assert/strict';
import {createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {text} from 'node:stream/consumers';
import {test} from 'node:test';
import {Client} from '../../examples/client/client.ts';

test('429, 503 and lost answers: the same key and body again, after Retry-After; one batch at a time where told', async () => {
  const seen: {key: string; body: string; atMs: number}[] = [];
  const server = createServer(async (request, response) => {
    seen.push({
      key: String(request.headers['idempotency-key']),
      body: await text(request),
      atMs: performance.now(),
    });
    switch (seen.length) {
      case 1:
        response
          .writeHead(429, {'retry-after': '1'})
          .end('{"error":{"code":"EVENTS_BUSY","message":"busy"}}');
        return;
      case 2:
        request.socket.destroy();
        return;
      case 3:
        response.writeHead(503, {'retry-after': '0'}).end('{"error":{"code":"DRAINING","message":"ends"}}');
        return;
      default: {
        const lines = seen.at(-1)!.body.trim().split('\n');
        const records = lines.map((_, index) => ({index, event_id: `${index}`, status: 'appended'}));
        response.end(JSON.stringify({records}));
      }
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const client = new Client<{'shop.note': {text: string}}>({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      token: 't',
      batchMax: 2,
      inFlightMax: 1,
    });
    const first = client.send('shop.note', {text: 'a'});
    const second = client.send('shop.note', {text: 'b'});
    assert.deepEqual(
      (await Promise.all([first, second])).map(({status}) => status),
      ['appended', 'appended'],
    );
    assert.equal(seen.length, 4);
    assert.equal(new Set(seen.map(({key}) => key)).size, 1);
    assert.equal(new Set(seen.map(({body}) => body)).size, 1);
    assert.ok(seen[1]!.atMs - seen[0]!.atMs >= 990, 'Retry-After was kept');
    const third = client.send('shop.note', {text: 'c'});
    await client.flush();
    assert.equal((await third).event_id, '0');
    assert.notEqual(seen[4]!.key, seen[0]!.key);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
