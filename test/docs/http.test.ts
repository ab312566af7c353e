/** docs/http.md names every path that is served, and no other. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {contentTypes, encodings} from '../../src/platform/events-request.ts';
import {eventsWorld} from '../platform/events-world.ts';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';

const read = (path: string) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8');

test('the page of HTTP paths has those of the server', () => {
  const served = [...read('src/platform/routes.ts').matchAll(/^ {4}'((?:GET|POST) [^']+)':/gm)].map(
    ([, key]) => key!,
  );
  assert.ok(served.length > 8, `${served.length} paths`);
  const [, open = '', withToken = ''] = read('docs/http.md').split(/^## (?:Open|With the token)$/m);
  const listed = (text: string) => [...text.matchAll(/^\| `((?:GET|POST) [^`]+)`/gm)].map(([, key]) => key!);
  assert.deepEqual([...listed(open), ...listed(withToken)].sort(), served.sort());
  assert.deepEqual(
    listed(open).filter((key) => key.includes('/v1/')),
    [],
  );
});

test('the section of events names every type and encoding', () => {
  const [, events = ''] = read('docs/http.md').split(/^## Events$/m);
  for (const name of [...Object.keys(contentTypes), ...encodings])
    assert.ok(events.includes(`\`${name}\``), name);
});

test('the answer that the page shows is the answer', async () => {
  const [, shown = ''] = /```json\n([\s\S]*?)```/.exec(read('docs/http.md')) ?? [];
  const world = await eventsWorld();
  try {
    const body = ['1', '1', '"1.234"'].map(
      (amount, index) => `{"event_id":"a-${index < 2 ? 1 : 2}","amount":${amount}}`,
    );
    const {text} = await world.post('shop/purchase', `${body.join('\n')}\n`, {
      'content-type': 'application/x-ndjson',
      'idempotency-key': 'order-import-7',
    });
    assert.equal(text, shown);
  } finally {
    await world.end();
  }
});

test('the commands of the section of events', async () => {
  const [, events = ''] = read('docs/http.md').split(/^## Events$/m);
  const [, commands = ''] = /```sh\n([\s\S]*?)```/.exec(events) ?? [];
  const root = makeRoot();
  await cli(root, 'init');
  writeFiles(root, {'config/environments/dev.yaml': 'server: {port: 0}\n'});
  for (const line of commands.trim().split('\n')) {
    const [, ...args] = line
      .replace(/ [|>].*$/, '')
      .split(' ')
      .slice(1);
    const {code, stdout, stderr} = await cli(root, ...args);
    assert.equal(code, 0, `${line}: ${stderr}`);
    assert.ok(stdout.includes('/v1/events/shop/purchase'), line);
  }
});
