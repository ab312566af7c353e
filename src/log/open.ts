/** Where a platform's log is, and how whoever reads it opens it. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {useStandIns} from '../schema/protected.ts';
import {type LogArchive, withArchive} from './archive.ts';
import {sayingAway} from './brokers-away.ts';
import type {KafkaSettings} from './kafka/settings.ts';
import {openLogReader} from './reader.ts';
import type {Reread} from './rereads.ts';
import type {LogReader} from './types.ts';

/** Crosses threads. `dir`: of the embedded log; with Kafka of the outbox, an embedded log through which this process appends. */
export type LogSource = {
  dir: string;
  /** Grows with every commit of the embedded log in this process. */
  counter?: SharedArrayBuffer;
  /** The records are in Kafka; undefined: in `dir`. */
  kafka?: KafkaSettings;
  /** What it no longer has, for this reading. */
  archive?: LogArchive;
};

/** Whether there is a log to read: an embedded one is made by the first process that appends. */
export const hasLog = ({dir, kafka}: LogSource): boolean =>
  kafka !== undefined || existsSync(join(dir, 'log.db'));

export type OpenLogOptions = {
  /** With Kafka: how long a read waits for brokers that do not answer before it throws KAFKA_UNAVAILABLE, ms. */
  patienceMs?: number;
  /** With Kafka: the bytes of what `read` gave may change at the next read of that partition from there on. */
  reuse?: boolean;
  /** With Kafka: after news of appended records the next are asked for so much later, ms; default 0. */
  gapMs?: number;
  /** With Kafka: of these the offsets are known when it is open, as in `LogReader.refresh`. */
  topics?: readonly string[];
  /** With Kafka: told of what came damaged and is asked for again. */
  reread?: (told: Reread) => void;
};

/**
 * Opens a log for reading, in any thread or process.
 * @throws LOG_MISSING, LOG_CORRUPT, LOG_FORMAT, LOG_IO; with Kafka KAFKA_UNAVAILABLE, KAFKA_ACCESS, KAFKA_PROTOCOL
 */
export async function openLog(source: LogSource, options: OpenLogOptions = {}): Promise<LogReader> {
  const {archive} = source;
  const log = await openBare(source, options);
  if (!archive) return log;
  useStandIns(archive.mark);
  try {
    return withArchive(log, archive);
  } catch (error) {
    log.close();
    throw error;
  }
}

async function openBare({dir, counter, kafka}: LogSource, options: OpenLogOptions): Promise<LogReader> {
  if (!kafka) return openLogReader(dir, counter ? {counter} : {});
  // A log in a directory pays nothing for the client of the other.
  const {openKafkaReader} = await import('./kafka/reader.ts');
  return sayingAway(kafka, openKafkaReader({dir, kafka, ...(counter ? {counter} : {})}, options));
}
