import type {Clock} from '../clock.ts';
import {replayJournalTopic} from '../schema/replay.ts';
import {cutsOf} from './books.ts';
import {isChanging} from './change.ts';
import type {IngestThread} from './ingest-thread.ts';
import type {RunningPlatform} from './runtime.ts';

const trimMs = 60_000;

/**
 * Deletes what is older than the log's retention, once a minute, and only below what every query has in a checkpoint and
 * every raw sink has durable. Dead letters have a retention of their own.
 */
export function startTrimming(running: RunningPlatform, clock: Clock): NodeJS.Timeout {
  const {options} = running.platform.log;
  const retentionMs = typeof options.retention === 'number' ? options.retention : null;
  return setInterval(() => {
    trim(running, retentionMs, clock.now()).catch((error: Error) =>
      running.metrics.emit('Log', {level: 'warn', message: `the log was not trimmed: ${error.message}`}),
    );
  }, trimMs);
}

async function trim(running: RunningPlatform, retentionMs: number | null, nowMs: number): Promise<void> {
  const {platform, dirs, ingest, outputs} = running;
  for (const {name, defaults} of platform.domains)
    await trimAll(ingest, `dlq.${name}`, 0, {
      beforeMs: nowMs - defaults.deadLetters.retentionMs,
      belowOffset: Number.MAX_SAFE_INTEGER,
    });
  // A change reads from the log's start, wherever that was when it began.
  if (retentionMs === null || isChanging(running)) return;
  const floors = new Map<string, number>();
  const lower = (topic: string, partition: number, offset: number) => {
    const key = `${topic}/${partition}`;
    floors.set(key, Math.min(floors.get(key) ?? Infinity, offset));
  };
  const cuts = cutsOf(platform, dirs);
  for (const {topic, partition, offset} of cuts) lower(topic, partition, offset);
  const raw = await outputs.raw.offsets();
  for (const {topic, offsets = {}} of raw)
    for (const [partition, offset] of Object.entries(offsets)) lower(topic, Number(partition), offset);
  // A query without a checkpoint has read nothing yet, nor has a raw delivery that does not run: what they want stays.
  const waiting = new Set(raw.flatMap(({topic, offsets}) => (offsets ? [] : [topic])));
  for (const {name: domain, aggregations} of platform.domains)
    for (const {name, from} of aggregations)
      if (!cuts.some(({query}) => query === `${domain}.${name}`))
        for (const eventType of from) waiting.add(`${domain}.${eventType}`);
  for (const [key, belowOffset] of floors) {
    const slash = key.lastIndexOf('/');
    const topic = key.slice(0, slash);
    if (waiting.has(topic)) continue;
    await trimAll(ingest, topic, Number(key.slice(slash + 1)), {beforeMs: nowMs - retentionMs, belowOffset});
  }
  // What the journal of replays says counts for as long as what it speaks of can be read again.
  for (const {name, defaults} of platform.domains)
    await trimAll(ingest, replayJournalTopic(name), 0, {
      beforeMs: nowMs - Math.max(retentionMs, defaults.deadLetters.retentionMs),
      belowOffset: Number.MAX_SAFE_INTEGER,
    });
}

/** A call deletes a bounded number of batches, so that appends get their turn in between. */
async function trimAll(
  ingest: IngestThread,
  topic: string,
  partition: number,
  limits: {beforeMs: number; belowOffset: number},
): Promise<void> {
  while ((await ingest.trim(topic, partition, limits)) > 0);
}
