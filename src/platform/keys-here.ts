import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import {openLog} from '../log/open.ts';
import type {Platform} from '../model/types.ts';
import {keysFile} from '../privacy/keys.ts';
import type {PlatformDirs} from './places.ts';

/**
 * A log in Kafka outlives the machine that has the keys of its protected values: on a machine that never wrote to it and has none,
 * everything protected would read NULL without a word. @throws PII_KEYS, KAFKA_*
 */
export async function checkKeysHere(platform: Platform, dirs: PlatformDirs): Promise<void> {
  const place = keysFile(dirs.log);
  if (!platform.pii || !dirs.source.kafka || existsSync(place) || existsSync(join(dirs.log, 'log.db')))
    return;
  const topics = platform.domains
    .flatMap(({eventTypes}) => eventTypes)
    .filter(({fields}) => fields.some(({pii}) => pii))
    .map(({topic}) => topic);
  const log = await openLog(dirs.source, {topics});
  try {
    const isUsed = (topic: string) =>
      Array.from({length: log.partitions(topic)}, (_, partition) => partition).some(
        (partition) => log.endOffset(topic, partition) > log.startOffset(topic, partition),
      );
    const topic = topics.find(isUsed);
    if (!topic) return;
    throw new PlatformError(
      'PII_KEYS',
      `${topic} has events with protected values, and their keys are on the machine that wrote them: here they would all read NULL`,
      {
        hint: 'end the platform there and copy its keys.db to this place; if the keys are lost for good, or nothing was protected yet, make an empty file of that name',
        place,
      },
    );
  } finally {
    log.close();
  }
}
