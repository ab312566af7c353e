/** What raw deliveries keep in the log: events that a sink refused, and the batches that they take apart for it. */
import type {Clock} from '../clock.ts';
import {deadLetterEncoder, deadLetterTopic} from '../ingest/deadletters.ts';
import {domainNamespace} from '../ingest/identity.ts';
import {remade} from '../log/topic-ids.ts';
import type {Append, LogReader} from '../log/types.ts';
import {frameHeaderBytes, schemaIdOf} from '../schema/frame.ts';
import type {DeadLetter} from '../schema/side.ts';
import {uuid5} from '../schema/uuid5.ts';
import type {RawBooks, RefusedEvent, UnreadRecord} from '../sinks/raw-apart.ts';
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
    unread(table, topic, partition, records) {
      const letters = unreadAppend(sink, table, {topic, partition, records}, schemaIds, clock.now());
      return appendSide(options, {appends: [letters]});
    },
    async topic(table, topic, id, isEmpty) {
      const source = `raw-topic/${sink}/${table}`;
      const was: string | undefined = JSON.parse(log.progress(source) ?? 'null')?.id;
      if (was === id) return;
      if (was !== undefined && !isEmpty)
        throw remade(topic, {
          was,
          is: id,
          place: table,
          hint: `look who deleted it, and why; give the events that ${table} has another place, so that its offsets begin anew (docs/kafka.md says how), then: npx millrace resume ${table}`,
        });
      // Ranges in parts and columns that went are of offsets of the other one.
      const parts = Array.from({length: log.partitions(topic)}, (_, partition) =>
        progress(table, partition, null),
      );
      const begins = was === undefined ? [] : [...parts, settledBefore(sink, table)];
      const position = JSON.stringify({id});
      await appendSide(options, {appends: [], progress: [...begins, {source, position}]});
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
  if (refused.length === 0) return undefined;
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
  return appendOf(letters, schemaIds);
}

/** Records that cannot be read or do not pass, where no query says so of them. The same record is the same letter. */
function unreadAppend(
  sink: string,
  table: string,
  {topic, partition, records}: {topic: string; partition: number; records: UnreadRecord[]},
  schemaIds: Record<string, number>,
  timeMs: number,
): Append {
  const dot = topic.indexOf('.');
  const domain = topic.slice(0, dot);
  const letters = records.map(
    ({offset, frame, stage, code, message}): DeadLetter => ({
      id: uuid5(domainNamespace(domain), `${topic}/${partition}/${offset}/${stage}`),
      timeMs,
      domain,
      eventType: topic.slice(dot + 1),
      stage,
      query: null,
      code,
      message,
      source: `${sink} ${table}`,
      position: {topic, partition, offset},
      eventId: null,
      schemaId:
        frame.length >= frameHeaderBytes && frame[0] === 0 ? schemaIdOf(frame, 0, frame.length) : null,
      original: frame,
    }),
  );
  return appendOf(letters, schemaIds);
}

/** @param letters of one domain, at least one */
function appendOf(letters: DeadLetter[], schemaIds: Record<string, number>): Append {
  const topic = deadLetterTopic(letters[0]!.domain);
  const bytes = deadLetterEncoder(schemaIds[topic]!)(letters);
  return {topic, partition: 0, count: letters.length, bytes, ids: letters.map(({id}) => id)};
}
