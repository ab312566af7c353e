/** What a query's place in the log and the log itself say of each other. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {PlatformError} from '../../../src/errors.ts';
import {openLogReader} from '../../../src/log/reader.ts';
import {createTopicDecoder} from '../../../src/process/embedded/decode.ts';
import {type Cursor, Reader} from '../../../src/process/embedded/reader.ts';
import {buildPlan} from '../../../src/process/plan/build.ts';
import {EventLog} from '../../support/log.ts';
import {loadDomain} from '../../support/platform.ts';

const topic = 'shop.sale';
const domain = await loadDomain(`domain: shop
event_types:
  - {name: sale, dimensions: [country], metrics: [{name: amount, type: long}]}
aggregations:
  - {name: revenue, from: sale, window: {type: tumbling, size: 1m}, group_by: country, measures: {total: sum(amount)}}
`);
const plans = domain.aggregations.map((aggregation) => buildPlan(domain, aggregation));

test('a query that was read up to an offset beyond the end of the log fails at once, not when events were passed over; others read on', async (t) => {
  const log = new EventLog();
  t.after(() => log.close());
  log.add(domain, () => 1);
  const events = [1, 2, 3].map((n) => ({event_id: `e${n}`, timestamp: n, country: 'de', amount: n}));
  await log.append([{kind: 'events', topic, partition: 0, events}]);
  const opened = openLogReader(log.dir);
  t.after(() => opened.close());
  const schemaOf = (id: number) => log.schemas.get(id);
  const reader = new Reader(opened, new Map([[topic, createTopicDecoder(topic, plans, schemaOf)]]));

  const failures: unknown[] = [];
  const cursorAt = (offset: number): Cursor & {seen: number} => ({
    topic,
    partition: 0,
    offset,
    seen: 0,
    wants: () => true,
    process() {
      this.seen++;
    },
    fail(error) {
      failures.push(error);
      reader.remove(this);
    },
  });
  const beyond = cursorAt(20);
  const atEnd = cursorAt(3);
  const atStart = cursorAt(0);
  for (const cursor of [beyond, atEnd, atStart]) reader.add(cursor);
  assert.equal(reader.hasWork(), true);
  while (await reader.turn());

  const [failure] = failures;
  assert.ok(failures.length === 1 && failure instanceof PlatformError);
  assert.equal(failure.code, 'LOG_CORRUPT');
  assert.equal(failure.message, 'shop.sale partition 0: offset 20 was read up to, and the log ends at 3');
  assert.deepEqual([beyond.seen, atEnd.seen, atStart.seen, atStart.offset], [0, 0, 1, 3]);
  assert.equal(reader.hasWork(), false);
});
