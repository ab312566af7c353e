/** What reading a partition can come upon. */
import {PlatformError} from '../../errors.ts';

const placeOf = (topic: string, partition: number, offset: number) => `${topic}/${partition}@${offset}`;

/** Retention was faster than who reads here. */
export const trimmed = (topic: string, partition: number, offset: number, start: number) =>
  new PlatformError(
    'LOG_TRIMMED',
    `${topic} partition ${partition}: offsets ${offset} to ${start - 1} were deleted by retention`,
    {
      hint: 'begin with the log as it is now: npx millrace rebuild <query>; or take the rest from the raw table: npx millrace backfill <query> --from archive (`on_trimmed: archive` does that by itself)',
      place: placeOf(topic, partition, offset),
    },
  );

/** The partition is shorter than it was: a replica that was behind became its leader, or the topic was made anew. */
export const lostBeyond = (topic: string, partition: number, offset: number, end: number) =>
  new PlatformError(
    'KAFKA_LOST',
    `${topic} partition ${partition}: offset ${offset} was read up to, and the partition ends at ${end} now`,
    {
      hint: 'look whether these are other brokers than before, the topic was deleted, or a broker became leader that was not in sync; then make the rows from what is there: npx millrace rebuild <query>',
      place: placeOf(topic, partition, offset),
    },
  );

/** Where a partition begins and ends is not known just now. @param leader -1: nobody leads it */
export const unled = (topic: string, partition: number, leader: number) =>
  new PlatformError(
    'KAFKA_UNAVAILABLE',
    `nobody says how far ${topic} partition ${partition} goes: ${leader < 0 ? 'it has no leader' : `its leader, broker ${leader}, does not answer it`}`,
    {
      hint: 'start the broker that has it; with replication 3 another one leads it within seconds',
      place: `${topic}/${partition}`,
    },
  );

/** Bytes of the partition are no records. */
export const unreadable = (topic: string, partition: number, offset: number, why: string) =>
  new PlatformError(
    'LOG_CORRUPT',
    `${topic} partition ${partition}: the record batch at offset ${offset} cannot be read: ${why}`,
    {
      hint: 'another replica may hold it right: make another broker the leader; `kafka-dump-log.sh` shows the batch',
      place: placeOf(topic, partition, offset),
    },
  );
