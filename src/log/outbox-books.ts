/**
 * The ledger of an outbox after records of it were withdrawn: who brought them to Kafka counts them as appended, and here they are
 * duplicates. Moved in the commit that says what was withdrawn, so a crash leaves both or neither.
 */
import type {DatabaseSync} from 'node:sqlite';
import type {Stream} from './chain.ts';
import type {AbsentRecords} from './outbox-absent.ts';
import type {StoredBatch} from './outbox-tables.ts';
import {ledgerCrc} from './streams.ts';
import type {AppendTransaction, IngestCounts} from './types.ts';

/** Records [first, next) of a stream came from a source. */
type Origin = {first: number; next: number; source: string};
type Line = Omit<IngestCounts, 'domain' | 'eventType'>;

export class OutboxBooks {
  readonly #statements;
  /** Of records that wait, by stream; unknown of what an earlier process took. */
  readonly #origins = new Map<number, Origin[]>();
  /** Topic -> source (undefined: unknown) -> records to be moved. */
  #moves = new Map<string, Map<string | undefined, number>>();

  constructor(database: DatabaseSync) {
    this.#statements = {
      lines: database.prepare(
        'SELECT source, received, appended, duplicate, rejected FROM ledger WHERE domain = ? AND event_type = ? ORDER BY appended DESC',
      ),
      set: database.prepare('INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)'),
    };
  }

  /** A transaction was committed with these batches. */
  committed({ledger}: AppendTransaction, batches: readonly StoredBatch[]): void {
    for (const {topic, streamId, baseOffset: first, count} of batches) {
      const source = ledger?.find(({domain, eventType}) => `${domain}.${eventType}` === topic)?.source;
      if (source === undefined) continue;
      const origins = this.#origins.get(streamId);
      const last = origins?.at(-1);
      if (last?.next === first && last.source === source) last.next += count;
      else if (origins) origins.push({first, next: first + count, source});
      else this.#origins.set(streamId, [{first, next: first + count, source}]);
    }
  }

  /** Nothing below the offset waits any more. */
  settled(stream: number, below: number): void {
    const origins = this.#origins.get(stream);
    while (origins?.[0] && origins[0].next <= below) origins.shift();
  }

  /** @param offsets of records that others brought to Kafka @param before those that were withdrawn before: each record is moved once */
  withdrawn(
    {id, topic}: Pick<Stream, 'id' | 'topic'>,
    offsets: readonly number[],
    before: Pick<AbsentRecords, 'has'>,
  ): void {
    const moves = this.#moves.get(topic) ?? new Map<string | undefined, number>();
    for (const offset of new Set(offsets)) {
      if (before.has(id, offset)) continue;
      const source = this.#origins.get(id)?.find(({first, next}) => first <= offset && offset < next)?.source;
      moves.set(source, (moves.get(source) ?? 0) + 1);
    }
    this.#moves.set(topic, moves);
  }

  /** Inside a commit. Where the source is not known any more, the line with the most events is taken. */
  write(): void {
    for (const [topic, moves] of this.#moves) {
      const dot = topic.indexOf('.');
      const [domain, eventType] = [topic.slice(0, dot), topic.slice(dot + 1)];
      for (const [source, records] of moves) {
        const lines = this.#statements.lines.all(domain, eventType) as Line[];
        let left = records;
        for (const line of lines) {
          if (left === 0) break;
          if (source !== undefined && line.source !== source) continue;
          const moved = Math.min(left, line.appended);
          left -= moved;
          this.#set({
            ...line,
            domain,
            eventType,
            appended: line.appended - moved,
            duplicate: line.duplicate + moved,
          });
        }
      }
    }
  }

  #set(counts: IngestCounts): void {
    const {domain, eventType, source, received, appended, duplicate, rejected} = counts;
    const crc = ledgerCrc(counts);
    this.#statements.set.run(domain, eventType, source, received, appended, duplicate, rejected, crc);
  }

  /** What `write` wrote is durable. */
  written(): void {
    this.#moves.clear();
  }
}
