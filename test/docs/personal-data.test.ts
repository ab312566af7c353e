/** The commands of docs/personal-data.md, in their order, in a directory that has what the page shows. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {makeWorld, ordersCsv} from '../privacy/world.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/personal-data.md'), 'utf8');
const bin = join(import.meta.dirname, '../../bin/millrace.js');
const lines = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, text]) => text!.trim().split('\n'));

test('the commands of the page do what it says', () => {
  const csv = ordersCsv.replaceAll('other@example.org', 'john@example.com');
  const root = makeWorld({'.env': '', 'orders.csv': csv});
  const run = (line: string) => {
    const command = line.replaceAll('npx millrace', `${process.execPath} ${bin}`);
    const {status, stdout, stderr} = spawnSync('sh', ['-c', command], {cwd: root, encoding: 'utf8'});
    assert.equal(
      status === 0 || (status === 3 && line.includes('forget')),
      true,
      `${line}: ${stdout}${stderr}`,
    );
    return stdout + stderr;
  };
  let said = '';
  for (const line of lines) {
    if (line.includes('forget') && said === '') run('npx millrace run --until-idle --fast --port 0');
    const shown = run(line);
    if (line.includes('forget')) said += shown;
  }
  assert.match(said, /would forget the value of shop.email: 1 event, /);
  assert.match(said, /\nforgot the value of shop.email: 1 event, 0 dead letters; 1 key destroyed/);
  assert.match(said, /the sink cannot change 1 event/);
});
