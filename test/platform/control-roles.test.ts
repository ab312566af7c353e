import assert from 'node:assert/strict';
import {test} from 'node:test';
import {PlatformError} from '../../src/errors.ts';
import type {Control} from '../../src/platform/control.ts';
import {controlOfRoles} from '../../src/platform/control-roles.ts';

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
