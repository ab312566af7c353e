/** Several processes register at once and are killed: ids stay unique and stable, versions have no gap and no double. */
import assert from 'node:assert/strict';
import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {rmSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {scratchDir} from '../support/scratch.ts';
import {type Answer, ask, startRegistry} from './server.ts';

type Registrar = {child: ChildProcess; url: string};

async function spawnRegistrar(dir: string): Promise<Registrar> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'registrar.ts'), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [chunk] = (await once(child.stdout!, 'data')) as [Buffer];
  return {child, url: chunk.toString().trim()};
}

const schemaOf = (number: number) => ({
  schema: JSON.stringify({
    type: 'record',
    name: 'r',
    fields: [{name: `f${number}`, type: ['null', 'int'], default: null}],
  }),
});

test('three processes register the same schemas and are killed in between', async (t) => {
  const dir = join(scratchDir('registry'), 'log');
  t.after(() => rmSync(dirname(dir), {recursive: true, force: true}));
  const registrars = await Promise.all([0, 1, 2].map(() => spawnRegistrar(dir)));
  t.after(() => {
    for (const {child} of registrars) child.kill('SIGKILL');
  });
  // Schema number -> the id that somebody was told, and must be told for ever.
  const told = new Map<number, number>();
  const remember = (number: number, {status, body, text}: Answer) => {
    assert.equal(status, 200, text);
    const {id} = body as {id: number};
    assert.equal(told.get(number) ?? id, id, `schema ${number} has two ids`);
    told.set(number, id);
  };
  for (let round = 0; round < 4; round++) {
    const work = registrars.map(async ({url}, who) => {
      for (let step = 0; step < 15; step++) {
        const number = round * 15 + step;
        const path = `/subjects/${step % 2 === 0 ? 'shared' : `of-${who}`}/versions`;
        // Several requests of one client are under way at once, too.
        const answers = await Promise.allSettled([
          ask({url}, 'POST', path, schemaOf(number)),
          ask({url}, 'POST', path, schemaOf(number)),
        ]);
        for (const answer of answers) {
          if (answer.status === 'rejected') return;
          remember(number, answer.value);
        }
      }
    });
    // One is killed somewhere in its work, and another takes its place.
    const victim = registrars[round % 3]!;
    await new Promise((resolve) => setTimeout(resolve, 20 + round * 17));
    victim.child.kill('SIGKILL');
    await Promise.all(work);
    registrars[round % 3] = await spawnRegistrar(dir);
  }
  assert.ok(told.size >= 50, String(told.size));
  assert.equal(new Set(told.values()).size, told.size, 'two schemas have one id');

  const server = await startRegistry(dir);
  t.after(() => server.close());
  for (const [number, id] of told)
    assert.deepEqual(
      JSON.parse((await ask(server, 'GET', `/schemas/ids/${id}/schema`)).text),
      JSON.parse(schemaOf(number).schema),
    );
  for (const subject of (await ask(server, 'GET', '/subjects')).body as string[]) {
    const versions = (await ask(server, 'GET', `/subjects/${subject}/versions`)).body as number[];
    assert.deepEqual(
      versions,
      versions.map((_, index) => index + 1),
      `${subject} has a gap or a double`,
    );
  }
});
