/** A running platform: HTTP through a transform that is edited while it runs. */
import assert from 'node:assert/strict';
import {cpSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {makeRoot, writeFiles} from '../support/cli.ts';
import {startIn} from '../support/running.ts';
import {until} from '../support/until.ts';

const example = fileURLToPath(new URL('../../examples/transforms', import.meta.url));

test('a request has a verdict for each record; an edit is taken up, a broken one is told and changes nothing', async () => {
  const root = makeRoot();
  cpSync(example, root, {recursive: true});
  const {running, told} = await startIn(root, {inputs: false});
  const module = 'config/transforms/basket.ts';
  const text = readFileSync(join(root, module), 'utf8');
  const token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
  const post = async (records: object[]) => {
    const response = await fetch(`${running.url}/v1/events/shop/line`, {
      method: 'POST',
      headers: {authorization: `Bearer ${token}`, 'content-type': 'application/json'},
      body: JSON.stringify(records),
    });
    const answer = (await response.json()) as {records: {status: string; code?: string}[]};
    return {
      ...answer,
      status: response.status,
      fates: answer.records?.map(({status, code}) => code ?? status),
    };
  };
  const item = {product: 'p', price: 1, quantity: 1};
  const logged = (wanted: RegExp) =>
    told.some(({name, event}) => name === 'Log' && wanted.test(String(event.message)));
  try {
    const {fates, status, ...counts} = await post([
      {event_id: 'a', country: 'DE', items: [item, item]},
      {event_id: 'b', country: 'XX', items: [item]},
      {event_id: 'c', country: 'FR', items: []},
      {event_id: 'a', country: 'DE', items: [item, item]},
    ]);
    assert.equal(status, 200);
    assert.deepEqual(fates, ['appended', 'REJECTED:COUNTRY_UNKNOWN', 'dropped', 'duplicate']);
    const {received, appended, duplicate, rejected, dropped} = counts as unknown as Record<string, number>;
    assert.deepEqual([received, appended, duplicate, rejected, dropped], [4, 1, 1, 1, 1]);

    writeFiles(root, {[module]: text.replace('const basket', 'const = ')});
    await until(
      () => logged(/changed, and the old version goes on: .*basket.ts:\d+: SyntaxError/),
      'the broken edit is told',
    );
    assert.deepEqual((await post([{country: 'US', items: [item]}])).fates, ['appended']);
    writeFiles(root, {[module]: text.replace("['US', 'AMER'],", "['US', 'AMER'],\n  ['XX', 'OTHER'],")});
    await until(
      async () => (await post([{country: 'XX', items: [item]}])).fates?.[0] === 'appended',
      'the new version is used',
    );
    assert.ok(logged(/changed; the new version is used from here on/));
    const metrics = await running.metrics.render();
    const metric = (name: string) =>
      Number(
        new RegExp(`^millrace_transformed_total\\{.*status="${name}"\\} (\\d+)`, 'm').exec(metrics)?.[1],
      );
    const [line] = running.ledger().transform;
    assert.deepEqual(
      [metric('in'), metric('out'), metric('rejected')],
      [line!.in, line!.out, line!.rejected],
    );
    assert.ok(running.ledger().balanced);
  } finally {
    await running.drain();
  }
});

test('while the module cannot be loaded, requests are refused as to be sent again, and nothing is lost', async () => {
  const root = makeRoot();
  cpSync(example, root, {recursive: true});
  const module = 'config/transforms/basket.ts';
  const text = readFileSync(join(root, module), 'utf8');
  writeFiles(root, {[module]: `throw new Error('not yet');\n${text}`});
  const {running} = await startIn(root);
  try {
    await until(() => running.inputs.status()[0]?.state === 'stopped', 'the input stops');
    assert.match(running.inputs.status()[0]!.message!, /^TRANSFORM_LOAD .*basket.ts:1: Error: not yet/);
    const token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
    const post = () =>
      fetch(`${running.url}/v1/events/shop/line`, {
        method: 'POST',
        headers: {authorization: `Bearer ${token}`, 'content-type': 'application/json'},
        body: '{"event_id":"a","items":[{"product":"p","price":1,"quantity":1}]}',
      });
    const refused = await post();
    assert.equal(refused.status, 503);
    assert.ok(refused.headers.get('retry-after'));
    assert.match(await refused.text(), /TRANSFORM_LOAD/);
    writeFiles(root, {[module]: text});
    assert.equal((await post()).status, 200);
    assert.ok(running.inputs.resume('baskets'));
    await until(() => running.inputs.status()[0]?.state === 'done', 'the input is read');
    const {ingest} = running.ledger();
    assert.deepEqual(
      ingest.map(({source, appended}) => [source, appended]),
      [
        ['baskets/baskets.jsonl', 3],
        ['http', 1],
      ],
    );
  } finally {
    await running.drain();
  }
});
