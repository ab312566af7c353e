/** The log as the ingest thread writes it: embedded, or Kafka by way of an outbox; protected where personal data is in it. */

import type {PlatformError} from '../errors.ts';
import {deadLetterEncoder, deadLetterTopic} from '../ingest/deadletters.ts';
import {domainNamespace} from '../ingest/identity.ts';
import {openLogWriter} from '../log/embedded.ts';
import type {StoredBatch} from '../log/outbox-tables.ts';
import type {Append, LogWriter} from '../log/types.ts';
import {openPrivacy} from '../privacy/opener.ts';
import {protectLog} from '../privacy/protected-log.ts';
import {createProtector, type Protector} from '../privacy/protector.ts';
import {frameHeaderBytes, schemaIdOf} from '../schema/frame.ts';
import {uuid5Of} from '../schema/uuid5.ts';
import type {Telemetry} from '../telemetry.ts';
import type {IngestKafka, IngestStart} from './ingest-types.ts';

export type IngestLog = {log: LogWriter; protector: Protector | undefined};

/** Opens it, and makes its topics. @throws what opening a log throws; PII_KEY_OTHER, PII_KEYS */
export async function openIngestLog(start: IngestStart, telemetry: Telemetry): Promise<IngestLog> {
  const plain = start.kafka ? await openKafka(start, start.kafka, telemetry) : openEmbedded(start);
  try {
    let protector: Protector | undefined;
    if (start.privacy) {
      openPrivacy(start.privacy);
      protector = createProtector(start.domains, start.privacy);
    }
    const log = protector ? protectLog(plain, protector) : plain;
    for (const topic of Object.keys(start.schemaIds))
      log.ensureTopic(topic, /^(dlq|late|replay)\./.test(topic) ? 1 : start.partitions);
    return {log, protector};
  } catch (error) {
    await plain.close();
    throw error;
  }
}

const openEmbedded = ({logDir, counter, command, sizeMaxBytes}: IngestStart): LogWriter =>
  openLogWriter(logDir, {counter, command, ...(sizeMaxBytes === null ? {} : {sizeMaxBytes})});

/** Loaded only here: the size without Kafka pays nothing for it. */
async function openKafka(start: IngestStart, kafka: IngestKafka, telemetry: Telemetry): Promise<LogWriter> {
  const {openKafkaWriter} = await import('../log/kafka/writer.ts');
  return openKafkaWriter({
    ...kafka,
    dir: start.logDir,
    counter: start.counter,
    command: start.command,
    telemetry,
    refused: (record, error) => letterOf(start, record, error),
  });
}

/** What of a refused record goes into its letter: the letter has to be taken. */
const originalBytesMax = 512 * 1024;

/** The dead letter of an event that a broker refuses for good; undefined when it is no event. */
function letterOf(
  {domains, schemaIds}: IngestStart,
  {topic, partition, baseOffset, bytes, appendMs}: StoredBatch,
  error: PlatformError,
): Append | undefined {
  const domain = domains.find(({eventTypes}) => eventTypes.some((each) => each.topic === topic));
  const eventType = domain?.eventTypes.find((each) => each.topic === topic);
  const schemaId = domain && schemaIds[deadLetterTopic(domain.name)];
  if (!domain || !eventType || schemaId === undefined) return undefined;
  const frame = bytes.subarray(4);
  const isWhole = frame.length <= originalBytesMax;
  const size = isWhole ? '' : `; of its ${frame.length} bytes the first ${originalBytesMax} are kept`;
  // Its offset is one of the outbox, no place in the log: it never reached that.
  const position = {request: `${topic}/${partition}`, index: baseOffset};
  const id = uuid5Of(domainNamespace(domain.name), `dlq/kafka/${topic}/${partition}/`).of(
    `${baseOffset}/${appendMs}`,
  );
  const encode = deadLetterEncoder(schemaId);
  return {
    topic: deadLetterTopic(domain.name),
    partition: 0,
    count: 1,
    ids: [id],
    bytes: encode([
      {
        id,
        timeMs: appendMs,
        domain: domain.name,
        eventType: eventType.name,
        stage: 'append',
        query: null,
        code: error.code,
        message: `${error.message}${size}`,
        source: 'outbox',
        position,
        eventId: null,
        schemaId: frame.length >= frameHeaderBytes ? schemaIdOf(frame, 0, frame.length) : null,
        original: frame.slice(0, originalBytesMax),
      },
    ]),
  };
}
