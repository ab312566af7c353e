/** Topics of letters that our user in Kafka may not see: there are letters perhaps, and nobody says that there are none. */
import {PlatformError} from '../errors.ts';
import {KafkaClient} from '../log/kafka/client.ts';
import {hiddenTopics, saidOfHidden} from '../log/kafka/rights.ts';
import type {LogReader} from '../log/types.ts';
import type {Platform} from '../model/types.ts';
import {replayJournalTopic} from '../schema/replay.ts';
import type {LetterSelection} from './letters.ts';
import type {PlatformDirs} from './places.ts';

/** @throws KAFKA_ACCESS for a topic of the selection that may not be described; other KAFKA_* */
export async function refuseHidden(
  platform: Platform,
  {source: {kafka}}: PlatformDirs,
  log: LogReader,
  {kind, domains, query}: LetterSelection,
): Promise<void> {
  if (!kafka) return;
  const seen = new Set(log.topics());
  const topics = platform.domains.flatMap(({name, aggregations}) => {
    if (!domains.includes(name)) return [];
    const queries = aggregations.map((each) => `${name}.${each.name}`);
    const late = queries.filter((id) => query === undefined || id === query).map((id) => `late.${id}`);
    return [...(kind === 'dead' ? [`dlq.${name}`] : late), replayJournalTopic(name)];
  });
  const missing = topics.filter((topic) => !seen.has(topic));
  if (missing.length === 0) return;
  const client = new KafkaClient(kafka);
  try {
    await client.refreshMetadata();
    const hidden = [...(await hiddenTopics(client, missing))];
    if (hidden.length > 0)
      throw new PlatformError('KAFKA_ACCESS', saidOfHidden(hidden), {
        hint: 'npx millrace doctor names the rights that are missing, and the commands that give them',
      });
  } finally {
    client.close();
  }
}
