/**
 * `millrace run --until-idle` whose lookup file is replaced and read again all the time while data flows: a configuration may
 * ask for that once a second at most, and a run of these tests is shorter. Arguments: the
 * first version of the lookup file; to be killed, after how many refreshes, and how many ms later.
 */
import assert from 'node:assert/strict';
import {loadPlatform} from '../../src/model/load.ts';
import {startPlatform} from '../../src/platform/runtime.ts';
import {sinks} from '../../src/sinks/registry.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';
import {hasCheckpoint} from './outcome.ts';
import {replaceLookup} from './world.ts';

const root = process.cwd();
const sinkSpecs = sinks as Record<string, SinkSpec>;
const loaded = await loadPlatform({from: root, sinkSpecs, variables: process.env});
assert.ok(loaded.ok);
const running = await startPlatform(loaded.platform, {port: 0});
const lookup = loaded.platform.domains[0]!.lookups[0]!;
const idle = new AbortController();
let isIdle = false;
const idling = running.idle(idle.signal).then(() => {
  isIdle = true;
});
const refreshMs = 100;
/** Then data has flowed, and the run may become idle. */
const versionsMax = 25;
const [first, fatal, delayMs] = process.argv.slice(2).map(Number) as [number, number?, number?];
/** As a power cut would: nothing is closed. */
const killed = () => process.kill(process.pid, 'SIGKILL');
for (let version = first; !isIdle && version < first + versionsMax; ) {
  // The rows of a query that begins are those of version 0; see `checkLabels` in outcome.ts.
  if (hasCheckpoint(root)) {
    replaceLookup(root, version++);
    if (version - first === fatal) setTimeout(killed, delayMs);
    await running.engine.refreshLookup(lookup);
  }
  await Promise.race([idling, new Promise((resolve) => setTimeout(resolve, refreshMs))]);
}
await idling;
await running.drain();
const stopped = running.engine.status().filter(({state}) => state === 'stopped' || state === 'failed');
for (const {query, reason} of stopped) process.stderr.write(`${query} ${reason?.code} ${reason?.message}\n`);
process.exit(stopped.length > 0 ? 4 : 0);
