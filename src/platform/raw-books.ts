/** What raw deliveries keep in the log: events that a sink refused, and the batches that they take apart for it. */
import type {Clock} from '../clock.ts';
import {deadLetterEncoder, deadLetterTopic} from '../ingest/deadletters.ts';
import {domainNamespace} from '../ingest/identity.ts';
import type {Append, LogReader} from '../log/types.ts';
import {frameHeaderBytes, schemaIdOf} from '../schema/frame.ts';
import type {DeadLetter} from '../schema/side.ts';
import {uuid5} from '../schema/uuid5.ts';
import type {RawBooks, RefusedEvent} from '../sinks/raw-apart.ts';
import type {RawRange} from '../sinks/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {IngestThread} from './ingest-thread.ts';
import {phasesOf, settledBefore} from './raw-before.ts';
import {appendSide} from './side-append.ts';

export type RawBooksOptions = {
  log: LogReader;
  ingest: Pick<IngestThread, 'append'>;
  schemaIds: Record<string, number>;
  clock: Clock;
  telemetry: Telemetry;
};

/** Name of a partition's range in the log's books of sources. */
const sourceOf = (sink: string, table: string, partition: number): string =>
  `raw/${sink}/${table}/${partition}`;

/** The books of one sink's raw deliveries. */
export function createRawBooks(sink: string, options: RawBooksOptions): RawBooks {
  const {log, schemaIds, clock} = options;
  const progress = (table: string, partition: number, range: RawRange | null) => ({
    source: sourceOf(sink, table, partition),
    position: JSON.stringify(range),
  });
  return {
    async open(table, topic) {
      return Array.from({length: log.partitions(topic)}, (_, partition): RawRange | null =>
        JSON.parse(log.progress(sourceOf(sink, table, partition)) ?? 'null'),
      ).filter((range) => range !== null);
    },
    begin: (table, range) =>
      appendSide(options, {appends: [], progress: [progress(table, range.partition, range)]}),
    end(table, partition, rest, refused) {
      const letters = lettersAppend(sink, table, refused, schemaIds, clock.now());
      return appendSide(options, {
        appends: letters ? [letters] : [],
        progress: [progress(table, partition, rest)],
      });
    },
    before: async (table, schema) => phasesOf(log, sink, table, schema),
    settled: (table) => appendSide(options, {appends: [], progress: [settledBefore(sink, table)]}),
  };
}

/** Refused events as dead letters with their frames. The same event refused again is the same letter. */
function lettersAppend(
  sink: string,
  table: string,
  refused: RefusedEvent[],
  schemaIds: Record<string, number>,
  timeMs: number,
): Append | undefined {
  const source = `${sink} ${table}`;
  const letters = refused.map(({topic, partition, offset, eventId, frame, code, message}): DeadLetter => {
    const dot = topic.indexOf('.');
    const domain = topic.slice(0, dot);
    return {
      id: uuid5(domainNamespace(domain), `${source}/${topic}/${partition}/${offset}/sink`),
      timeMs,
      domain,
      eventType: topic.slice(dot + 1),
      stage: 'sink',
      query: null,
      code,
      message,
      source,
      position: {topic, partition, offset},
      eventId,
      schemaId: frame.length >= frameHeaderBytes ? schemaIdOf(frame, 0, frame.length) : null,
      original: frame,
    };
  });
  const [first] = letters;
  if (!first) return undefined;
  const topic = deadLetterTopic(first.domain);
  const bytes = deadLetterEncoder(schemaIds[topic]!)(letters);
  return {topic, partition: 0, count: letters.length, bytes, ids: letters.map(({id}) => id)};
}
