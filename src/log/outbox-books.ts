/**
 * The ledger of an outbox after records of it were withdrawn: who brought them to Kafka counts them as appended (letters: the records
 * that they are of as rejected), and here they are duplicates. Moved in the commit that says what was withdrawn, so a crash leaves both or neither.
 */
import type {DatabaseSync} from 'node:sqlite';
import {compileDecoder} from '../schema/decode.ts';
import {frameHeaderBytes} from '../schema/frame.ts';
import {DecodeFailure} from '../schema/read.ts';
import {deadLetterSchema} from '../schema/side.ts';
import type {Stream} from './chain.ts';
import type {AbsentRecords} from './outbox-absent.ts';
import type {StoredBatch} from './outbox-tables.ts';
import {ledgerCrc} from './streams.ts';
import {transformedStatements} from './transformed.ts';
import type {AppendTransaction, IngestCounts, TransformCounts} from './types.ts';

/** Records [first, next) of a stream came from a source. */
type Origin = {first: number; next: number; source: string};
type Line = Omit<IngestCounts, 'domain' | 'eventType'>;
/** Records to be moved from a column to `duplicate`. `source` undefined: unknown. */
type Move = {
  domain: string;
  eventType: string;
  source: string | undefined;
  from: 'appended' | 'rejected';
  /** A transform refused them: they leave its ledger as well. */
  isTransform: boolean;
  records: number;
};

/** Steps of ingestion: what they refuse is counted as rejected. Letters of queries and sinks are in no line. */
const stages = new Set<unknown>(['parse', 'validate', 'check', 'transform']);
const decodeLetter = compileDecoder(deadLetterSchema, ['domain', 'event_type', 'stage', 'source']);

/** Whose line counts the letter as rejected; undefined when none does. */
function lineOfLetter(letter: Uint8Array): Omit<Move, 'records'> | undefined {
  try {
    const [domain, eventType, stage, source] = decodeLetter(letter, frameHeaderBytes, letter.length);
    if (!stages.has(stage) || typeof eventType !== 'string') return undefined;
    return {
      domain: String(domain),
      eventType,
      source: String(source),
      from: 'rejected',
      isTransform: stage === 'transform',
    };
  } catch (error) {
    if (error instanceof DecodeFailure) return undefined;
    throw error;
  }
}

export class OutboxBooks {
  readonly #statements;
  /** Of records that wait, by stream; unknown of what an earlier process took. */
  readonly #origins = new Map<number, Origin[]>();
  #moves = new Map<string, Move>();
  readonly #addTransformed: (counts: TransformCounts) => void;

  constructor(database: DatabaseSync) {
    this.#addTransformed = transformedStatements(database);
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

  /**
   * @param records that others brought to Kafka: their offsets and, of letters, their frames
   * @param before those that were withdrawn before: each record is moved once
   */
  withdrawn(
    {id, topic}: Pick<Stream, 'id' | 'topic'>,
    records: ReadonlyMap<number, Uint8Array>,
    before: Pick<AbsentRecords, 'has'>,
  ): void {
    const dot = topic.indexOf('.');
    const [domain, eventType] = [topic.slice(0, dot), topic.slice(dot + 1)];
    for (const [offset, frame] of records) {
      if (before.has(id, offset)) continue;
      const source = this.#origins.get(id)?.find(({first, next}) => first <= offset && offset < next)?.source;
      // No domain has that name (config/names.ts).
      if (domain === 'dlq') this.#move(lineOfLetter(frame));
      else this.#move({domain, eventType, source, from: 'appended', isTransform: false});
    }
  }

  #move(line: Omit<Move, 'records'> | undefined): void {
    if (!line) return;
    const key = JSON.stringify([
      line.domain,
      line.eventType,
      line.source ?? null,
      line.from,
      line.isTransform,
    ]);
    const {records} = this.#moves.get(key) ?? {records: 0};
    this.#moves.set(key, {...line, records: records + 1});
  }

  /** Inside a commit. Where the source is not known any more, the line with the most events is taken. */
  write(): void {
    for (const {domain, eventType, source, from, isTransform, records} of this.#moves.values()) {
      const lines = this.#statements.lines.all(domain, eventType) as Line[];
      let left = records;
      for (const line of lines) {
        if (left === 0) break;
        if (source !== undefined && line.source !== source) continue;
        const moved = Math.min(left, line[from]);
        left -= moved;
        const moves = {[from]: line[from] - moved, duplicate: line.duplicate + moved};
        this.#set({...line, domain, eventType, ...moves});
        if (isTransform)
          this.#addTransformed({
            domain,
            eventType,
            source: line.source,
            in: -moved,
            out: 0,
            rejected: -moved,
          });
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
