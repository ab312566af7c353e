import assert from 'node:assert/strict';
import {test} from 'node:test';
import {type Reread, tellReread} from '../../src/log/rereads.ts';
import {tellLog} from '../../src/process/embedded/engine-log.ts';
import type {Telemetry} from '../../src/telemetry.ts';

test('what is read again is counted each time, and said once for a partition, wherever it is read', () => {
  const told: [string, unknown][] = [];
  const telemetry: Telemetry = {emit: (name, event) => void told.push([name, event])};
  const place: Reread = {topic: 'shop.sale', partition: 1, offset: 7, message: 'its checksum differs'};
  tellReread(telemetry, place);
  tellLog(telemetry, {about: 'reread', reread: {...place, offset: 9}});
  tellReread(telemetry, {...place, partition: 2});
  assert.equal(told.filter(([name]) => name === 'RecordsReread').length, 3);
  const messages = told.flatMap(([name, event]) =>
    name === 'Log' ? [(event as {message: string}).message] : [],
  );
  assert.match(messages.join(), /^shop\.sale\/1@7 is read again: its checksum differs;.*,shop\.sale\/2@7 is/);
  assert.equal(messages.length, 2);
});
