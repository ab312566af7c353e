import assert from 'node:assert/strict';
import {test} from 'node:test';
import {palette} from '../../src/cli/output.ts';
import {picture} from '../../src/cli/picture.ts';
import {PlatformError} from '../../src/errors.ts';
import type {Control} from '../../src/platform/control.ts';
import {controlOfRoles} from '../../src/platform/control-roles.ts';
import type {PlatformStatus} from '../../src/platform/status.ts';

/** A process that answers every question alike. */
const answering = (answer: object | PlatformError): Control => {
  const say = async <T>() => {
    if (answer instanceof PlatformError) throw answer;
    return answer as T;
  };
  return {
    get: say,
    post: say,
    async *lines() {},
  };
};

test('what one process starts again counts, not that another one has run it all the time; what nobody knows is an error', async () => {
  const unknown = new PlatformError('NOT_RUNNING', 'there is no shop.x');
  const resumed = (engine: object | PlatformError, sinks: object | PlatformError) =>
    controlOfRoles([
      {roles: ['engine'], control: answering(engine)},
      {roles: ['sinks'], control: answering(sinks)},
      {roles: ['ingest'], control: answering(unknown)},
    ]).post('/v1/resume', {name: 'shop.revenue'});
  const ran = {resumed: 'shop.revenue', ran: true};
  const begun = {resumed: 'shop.revenue'};
  assert.deepEqual(await resumed(ran, begun), begun);
  assert.deepEqual(await resumed(begun, unknown), begun);
  assert.deepEqual(await resumed(ran, unknown), ran);
  await assert.rejects(resumed(unknown, unknown), unknown);
});

test('the status of several processes has what waits in all of them, and of each its own', async () => {
  const part = (pid: number, more: object) => ({
    pid,
    url: `http://127.0.0.1:${pid}`,
    startedMs: 5,
    phase: 'running',
    ...Object.fromEntries(
      ['inputs', 'generators', 'queries', 'startingQueries', 'deliveries', 'rows', 'raw', 'events'].map(
        (name) => [name, []],
      ),
    ),
    name: 'shop',
    env: 'dev',
    totals: {appended: 0, rowsWritten: 0, rejected: 0, dead: 0, late: 0, duplicate: 0, ledgerBalanced: true},
    ...more,
  });
  const registry = {place: 'http://r', pending: 1, wanted: 0};
  const empty = {bytes: 0, records: 0, limitBytes: 100, isSpooling: false};
  const full = {bytes: 40, records: 4, limitBytes: 100, isSpooling: true, message: 'broker: ECONNREFUSED'};
  const status = await controlOfRoles([
    {
      roles: ['ingest'],
      control: answering(part(1, {spool: empty, registry: {...registry, state: 'running'}})),
    },
    {
      roles: ['engine'],
      control: answering(
        part(2, {spool: full, registry: {...registry, state: 'down', message: 'no answer'}}),
      ),
    },
    {roles: ['sinks'], control: answering({phase: 'standby', text: 'waits'})},
  ]).get<PlatformStatus>('/v1/status');
  assert.deepEqual(status.spool, {...full, limitBytes: 200});
  assert.deepEqual(status.registry, {...registry, state: 'down', message: 'no answer', pending: 2});
  assert.deepEqual(
    status.processes?.map(({roles, pid, spool}) => ({roles, pid, spool})),
    [
      {roles: ['ingest'], pid: 1, spool: empty},
      {roles: ['engine'], pid: 2, spool: full},
    ],
  );
  const shown = picture(status, {events: 0, rows: 0}, 5, [], palette({}, {}), {columns: 200, rows: 100});
  assert.deepEqual(
    shown.filter((line) => /outbox|registry/.test(line)),
    [
      '  engine: Kafka is away or slow: 4 records (40 B of 100 B) wait in the outbox: broker: ECONNREFUSED',
      '  engine: schema registry http://r: down no answer',
    ],
  );
});
