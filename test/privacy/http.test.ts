import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {cli} from '../support/cli.ts';
import {startIn} from '../support/running.ts';
import {canaries, leaksBelow, leaksIn, makeWorld} from './world.ts';

const {email, phone, note} = canaries;

test('answers, metrics and status of a running platform show nothing; a transform sees the values', async (t) => {
  const root = makeWorld({
    'config/transforms/order.ts': `export default (event) => {
  if (event.email === '${email}' && event.country === 'XX') throw new Error('no ' + event.email);
  return {...event, country: event.email.endsWith('example.com') ? 'EX' : 'NO'};
};\n`,
  });
  const domain = join(root, 'config/domains/shop.yaml');
  const {writeFileSync} = await import('node:fs');
  writeFileSync(
    domain,
    readFileSync(domain, 'utf8').replace(
      '    checks:',
      '    transform: {module: ../transforms/order.ts}\n    checks:',
    ),
  );
  const {running, told} = await startIn(root, {inputs: false});
  t.after(() => running.drain());
  const headers = {
    'content-type': 'application/json',
    authorization: `Bearer ${readFileSync(join(root, '.millrace/token'), 'utf8').trim()}`,
  };
  const send = async (body: unknown): Promise<string> => {
    const response = await fetch(`${running.url}/v1/events/shop/order`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    return `${response.status} ${await response.text()}`;
  };
  const good = {timestamp: '2026-01-05T10:00:00Z', email, phone, note, country: 'DE', amount: 1};
  const answers = [
    await send(good),
    await send({...good, amount: -1}),
    await send({...good, amount: email}),
    await send({...good, country: 'XX'}),
    await send([good, {...good, timestamp: email}]),
  ];
  assert.match(answers[0]!, /^20/);
  await running.idle(new AbortController().signal);
  for (const path of ['/metrics', '/v1/status', '/v1/ledger'])
    answers.push(await (await fetch(`${running.url}${path}`, {headers})).text());
  answers.push(JSON.stringify(told));
  for (const argv of [
    ['dlq', 'list', 'shop', '--json'],
    ['tap', 'dlq.shop', '--from', 'start', '--limit', '1', '--json'],
  ]) {
    const {stdout, stderr} = await cli(root, ...argv);
    answers.push(stdout + stderr);
  }
  for (const answer of answers) assert.deepEqual(leaksIn(Buffer.from(answer)), [], answer);
  assert.deepEqual(leaksBelow(join(root, '.millrace')), []);
  const {stdout} = await cli(root, 'tap', 'shop.order', '--from', 'start', '--limit', '1', '--json');
  assert.equal(JSON.parse(stdout).event.country, 'EX');
});
