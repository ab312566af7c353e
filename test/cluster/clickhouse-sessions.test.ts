/** Sessions behind the interface of ClickHouse: a failure of one costs no other. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {type Session, SessionPool} from '../../src/cluster/clickhouse-sessions.ts';

test('a session that cannot be opened or closed leaves its room to the next', async () => {
  let works = true;
  const pool = new SessionPool((): Session => {
    if (!works) throw new Error('no more files');
    const close = async () => assert.ok(works, 'it cannot be closed either');
    return {
      connection: {close, chdb: null as never},
      database: 'default',
      settings: new Map(),
      isSealed: false,
    };
  });
  const take = () => pool.take(new Map());
  const takeAll = () => Promise.all([take(), take(), take(), take()]);
  const lent = await takeAll();
  const waiting = [take(), take()].map((each) => assert.rejects(each, /no more files/));
  works = false;
  await pool.drop(lent[0]!);
  await Promise.all(waiting);
  await assert.rejects(take(), /no more files/);
  works = true;
  const another = await take();
  for (const session of [another, ...lent.slice(1)]) pool.giveBack(session);
  assert.equal((await takeAll()).length, 4, 'all of them can be lent again');
});
