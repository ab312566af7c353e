/**
 * From `millrace run` on an empty `.millrace` until a user sees a row: `node bench/startup.bench.ts [rounds]`. The example platform
 * starts as with `npm start`; `millrace query` is asked again and again, in processes of its own, until it prints a row: its own
 * start is in the figure. Warm install: files are in the page cache.
 */
import assert from 'node:assert/strict';
import {setTimeout as sleep} from 'node:timers/promises';
import {startExample} from './example.ts';
import {machine, median, range} from './world.ts';

const rounds = Number(process.argv[2] ?? 3);
const sql = 'select sum(departures) as n from flights.departures_per_day';

const seconds: number[] = [];
for (let round = 0; round <= rounds; round++) {
  const begin = performance.now();
  const example = startExample();
  try {
    while (!example.isOwner()) await sleep(10);
    for (let rows = 0; rows === 0; ) {
      assert.ok(performance.now() - begin < 60_000, 'a row within a minute');
      const text = await example.command('query', sql, '--json');
      if (text !== undefined) rows = Number(JSON.parse(text)[0]?.n ?? 0);
    }
    // The first round warms up.
    if (round > 0) seconds.push((performance.now() - begin) / 1000);
    assert.equal(await example.interrupt(), 0, 'Ctrl-C drains');
  } finally {
    example.remove();
  }
}
console.log(machine());
console.log(
  `start to the first row printed by query: median ${median(seconds).toFixed(1)} s (${range(seconds, 1)}), ${rounds} rounds`,
);
