/** What a raw table lacks in the middle: rows that somebody deleted, or that a shorter retention took. */
import {readDeadLetters} from '../ingest/deadletters.ts';
import {batchesOf} from '../log/scan.ts';
import type {LogReader} from '../log/types.ts';
import type {EventType} from '../model/types.ts';

/** Offsets of a partition without a row, `to` excluded. */
export type Hole = {partition: number; from: number; to: number};

/**
 * So many offsets in a row may lack their rows without a question: ends of files have an offset and no event, and of an event that was sent again
 * after its id was forgotten the raw table has one row.
 */
const inRowMax = 16;

/** Looks for offsets without a row in what is read of a raw table. */
export class HoleFinder {
  readonly holes: Hole[] = [];
  /** Offsets that have a row. */
  rows = 0;
  #partition = 0;
  #next = 0;

  /** From the first offset of a partition on. */
  begin(partition: number): void {
    this.#partition = partition;
    this.#next = 0;
  }

  /** Offsets that have a row, ascending. */
  see(offsets: readonly number[]): void {
    for (const offset of offsets) {
      if (offset < this.#next) continue;
      this.end(offset);
      this.#next = offset + 1;
      this.rows++;
    }
  }

  /** There are no rows from where they stopped up to here. */
  end(to: number): void {
    const from = this.#next;
    if (to - from > inRowMax) this.holes.push({partition: this.#partition, from, to});
    this.#next = Math.max(from, to);
  }
}

/**
 * Holes that nothing explains: no dead letters of these offsets, and fewer rows than the events that ingestion has appended and the log no
 * longer has. That count tells only where ingestion of this log alone writes the topic; where it fits, offsets without a row are ends of files.
 * @throws LOG_CORRUPT, KAFKA_*
 */
export async function unexplained(
  {holes, rows}: Pick<HoleFinder, 'holes' | 'rows'>,
  log: LogReader,
  {domain, name, topic}: EventType,
): Promise<Hole[]> {
  if (holes.length === 0) return [];
  const told = holes.map(() => new Set<number>());
  for await (const {position} of readDeadLetters(log, domain)) {
    if (!('topic' in position) || position.topic !== topic) continue;
    const {partition, offset} = position;
    const index = holes.findIndex(
      (hole) => hole.partition === partition && hole.from <= offset && offset < hole.to,
    );
    told[index]?.add(offset);
  }
  const left = holes.flatMap((hole, index) => without(hole, told[index]!));
  if (left.length === 0) return [];
  const appended = () =>
    log
      .ledger()
      .filter((each) => each.domain === domain && each.eventType === name)
      .reduce((sum, each) => sum + each.appended, 0);
  // Events may come while the log is counted.
  const before = appended();
  let kept = 0;
  for await (const {kind, count} of batchesOf(log, topic)) if (kind === 'data') kept += count;
  return before - kept <= rows && rows <= appended() - kept ? [] : left;
}

/** What is left of a hole, as holes. */
function without({partition, from, to}: Hole, offsets: ReadonlySet<number>): Hole[] {
  const finder = new HoleFinder();
  finder.begin(partition);
  finder.see([from - 1, ...[...offsets].sort((a, b) => a - b)]);
  finder.end(to);
  return finder.holes.filter((hole) => hole.from >= from);
}
