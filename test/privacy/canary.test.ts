import assert from 'node:assert/strict';
import {createHmac} from 'node:crypto';
import {join} from 'node:path';
import {test} from 'node:test';
import {cli} from '../support/cli.ts';
import {canaries, key, leaksBelow, leaksIn, makeWorld} from './world.ts';

/** A command whose output must show nothing. @returns what it printed */
async function quiet(root: string, ...argv: string[]): Promise<string> {
  const {stdout, stderr} = await cli(root, ...argv);
  assert.deepEqual(
    leaksIn(Buffer.from(stdout + stderr)),
    [],
    `millrace ${argv.join(' ')}: ${stdout}${stderr}`,
  );
  return stdout;
}

test('what is protected stands nowhere: not in files, not in what commands print; queries see what stands for it', async () => {
  const root = makeWorld();
  const ran = await cli(root, 'run', '--until-idle', '--fast', '--port', '0');
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  assert.deepEqual(leaksIn(Buffer.from(ran.stdout + ran.stderr)), []);
  assert.deepEqual(leaksBelow(join(root, '.millrace')), []);

  const hash = createHmac('sha256', key).update(`shop.email\0${canaries.email}`).digest('hex').slice(0, 32);
  const tapped = (await quiet(root, 'tap', 'shop.order', '--from', 'start', '--limit', '4', '--json'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).event);
  const mine = tapped.filter(({email}) => email === hash);
  assert.equal(mine.length, 2);
  assert.deepEqual(
    mine.map(({phone, note}) => [phone, note]),
    [
      ['***42', null],
      ['***42', null],
    ],
  );
  assert.deepEqual(
    tapped.filter(({country}) => country === 'FR').map(({email, phone, note}) => [email, phone, note]),
    [[null, null, null]],
  );

  const letters = JSON.parse(await quiet(root, 'dlq', 'list', 'shop', '--json'));
  assert.equal(letters.length, 5);
  for (const {id} of letters) {
    await quiet(root, 'dlq', 'show', 'shop', id);
    await quiet(root, 'dlq', 'show', 'shop', id, '--json');
  }
  await quiet(root, 'dlq', 'replay', 'shop', '--dry-run', '--json');
  await quiet(root, 'tap', 'dlq.shop', '--from', 'start', '--limit', '5', '--json');
  await quiet(root, 'explain', 'event', mine[0].event_id, '--json');
  await quiet(root, 'explain', 'config');
  for (const command of ['status', 'ledger', 'doctor', 'plan', 'validate']) await quiet(root, command);
});
