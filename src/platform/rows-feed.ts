/** The way of one table's rows from their topic into one sink. */
import {PlatformError} from '../errors.ts';
import {tellPassedOver} from '../log/passed-over.ts';
import type {LogReader} from '../log/types.ts';
import type {Table} from '../model/types.ts';
import {walkRecords} from '../schema/frame.ts';
import {DecodeFailure} from '../schema/read.ts';
import type {Delivery} from '../sinks/delivery.ts';
import {rowReader, rowsTopic} from '../sinks/kafka/rows.ts';
import {tableId} from '../sinks/tables.ts';
import type {Sink} from '../sinks/types.ts';
import type {Telemetry} from '../telemetry.ts';

/**
 * How far a sink has a table: next offset by partition, and the last checkpoint that it has marked. `topicId`: of the topic that the
 * offsets are of, `made`: of the one that the engine made for the table that the sink has; where topics have ids.
 */
export type RowsPlaces = {offsets: number[]; epoch: number; topicId?: string; made?: string};

/** Where the places of a sink are kept, outside of it. */
export type RowsPositions = {
  load(topic: string): Promise<RowsPlaces | undefined>;
  save(topic: string, places: RowsPlaces): Promise<void>;
};

export type RowsFeedOptions = {
  table: Table;
  /** Id of the topic that the engine made for the table; undefined where that is not known. */
  made?: string | undefined;
  sinkName: string;
  sink: Sink;
  delivery: Pick<Delivery, 'push'>;
  log: LogReader;
  positions: RowsPositions;
  telemetry: Telemetry;
};

/** Bytes of one read of a partition. */
const readBytesMax = 1 << 20;

/**
 * Reads rows in the order of their topic, hands them to the delivery and goes on when they are durable. Rows carry versions, so
 * that what is read twice changes nothing; a place is saved behind the rows.
 */
export class RowsFeed {
  readonly topic: string;
  readonly #options: RowsFeedOptions;
  #offsets: number[] = [];
  #epoch = 0;
  /** Of the topic that the offsets are of. */
  #topicId: string | undefined;
  #savedText = '';
  #skipped = 0;

  constructor(options: RowsFeedOptions) {
    this.#options = options;
    this.topic = rowsTopic(options.table);
  }

  /** Makes the table, and decides where to begin: at the topic's start when the sink has lost what it had. @throws the sink's errors */
  async open(): Promise<void> {
    const {table, made, sink, sinkName, positions, log, telemetry} = this.#options;
    const saved = await positions.load(this.topic);
    // What the sink has was made for a table that was dropped since: rows that are not made again would stay.
    const isOfBefore = saved?.made !== undefined && made !== undefined && saved.made !== made;
    if (isOfBefore) await sink.drop?.(tableId(table));
    await sink.ensure(table);
    this.#topicId = log.topicId?.(this.topic);
    if (!saved || isOfBefore) {
      // Said before the first row is there, so that whoever comes next knows whose they are.
      this.#offsets = Array.from({length: log.partitions(this.topic)}, () => 0);
      return this.save();
    }
    const marked = (await sink.marked(tableId(table))) ?? 0;
    // A partition that nobody leads just now has not lost its rows.
    await log.refresh([this.topic]);
    const ends = saved.offsets.map((_, partition) => log.endOffset(this.topic, partition));
    const isSame =
      saved.topicId === undefined || this.#topicId === undefined || saved.topicId === this.#topicId;
    const isWhole =
      isSame &&
      marked >= saved.epoch &&
      saved.epoch > 0 &&
      saved.offsets.every((offset, partition) => offset <= ends[partition]!);
    if (isWhole) {
      this.#offsets = [...saved.offsets];
      this.#epoch = saved.epoch;
      return;
    }
    // Before the first mark nothing says that it was this sink that had them, and not one of another machine's own.
    if (isSame && saved.epoch === 0) return;
    telemetry.emit('Log', {
      level: 'warn',
      message: isSame
        ? `${sinkName} lacks rows of ${tableId(table)} that it had: they are written again from ${this.topic}`
        : this.#remadeText(),
    });
  }

  #remadeText(): string {
    const {sinkName, table} = this.#options;
    return `topic ${this.topic} was deleted and made anew: ${sinkName} reads it from its beginning; rows of ${tableId(table)} that it had stay`;
  }

  /**
   * The topic is another one than before: what it holds is read from its beginning, and rows by their versions change what they have to.
   * @returns whether it is
   */
  #beginAnew(): boolean {
    const {log, telemetry} = this.#options;
    const now = log.topicId?.(this.topic);
    if (now === undefined || now === this.#topicId) return false;
    if (this.#topicId !== undefined) {
      telemetry.emit('Log', {level: 'warn', message: this.#remadeText()});
      this.#offsets = [];
      this.#epoch = 0;
    }
    this.#topicId = now;
    return true;
  }

  /** Rows that are in the topic and not in the sink, as of the last look. */
  get lagRows(): number {
    let lag = 0;
    for (let partition = 0; partition < this.#options.log.partitions(this.topic); partition++)
      lag += Math.max(0, this.#options.log.endOffset(this.topic, partition) - this.#next(partition));
    return lag;
  }

  /** Records of the topic that are no rows of the table: somebody else wrote them. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Id of the topic that was made for the table; undefined where that is not known. */
  get made(): string | undefined {
    return this.#options.made;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Whether everything below `ends` is in the sink. */
  reached(ends: readonly number[]): boolean {
    return ends.every((end, partition) => this.#next(partition) >= end);
  }

  #next(partition: number): number {
    return Math.max(this.#offsets[partition] ?? 0, this.#options.log.startOffset(this.topic, partition));
  }

  /** One read of every partition, in one write. @returns whether there was anything @throws the log's errors, SINK_* */
  async turn(): Promise<boolean> {
    try {
      return await this.#turn();
    } catch (error) {
      if (!(error instanceof PlatformError) || error.code !== 'TOPIC_OTHER') throw error;
      // It became another one while it was read.
      await this.#options.log.refresh();
      if (!this.#beginAnew()) throw error;
      return true;
    }
  }

  async #turn(): Promise<boolean> {
    const {table, log, delivery, telemetry} = this.#options;
    const skipped = this.#skipped;
    this.#beginAnew();
    const rows = rowReader(table);
    const offsets = [...this.#offsets];
    let hasRead = false;
    for (let partition = 0; partition < log.partitions(this.topic); partition++) {
      let next = this.#next(partition);
      offsets[partition] = next;
      if (next >= log.endOffset(this.topic, partition)) continue;
      const batches = await log.read(this.topic, partition, next, readBytesMax);
      for (const batch of batches) {
        if (batch.kind === 'data')
          walkRecords(batch, (index, pos, end) => {
            if (batch.baseOffset + index >= next) this.#add(rows, batch.bytes, pos, end);
          });
        next = batch.baseOffset + batch.count;
        hasRead = true;
      }
      offsets[partition] = next;
    }
    tellPassedOver(telemetry, this.topic, this.#skipped - skipped);
    if (!hasRead) return false;
    if (rows.count > 0) await delivery.push({...rows.take(), table: tableId(table)});
    this.#offsets = offsets;
    return true;
  }

  #add(rows: ReturnType<typeof rowReader>, bytes: Uint8Array, pos: number, end: number): void {
    try {
      rows.add(bytes, pos, end);
    } catch (error) {
      if (!(error instanceof DecodeFailure)) throw error;
      this.#skipped++;
    }
  }

  /** Marks a checkpoint whose rows are all in the sink. */
  async mark(epoch: number): Promise<void> {
    if (epoch <= this.#epoch) return;
    await this.#options.sink.mark([{table: tableId(this.#options.table), epoch}]);
    this.#epoch = epoch;
  }

  /** Keeps the places, when they are others than those that were kept last. */
  async save(): Promise<void> {
    const topicId = this.#topicId;
    const {made} = this.#options;
    const places = {
      offsets: [...this.#offsets],
      epoch: this.#epoch,
      ...(topicId ? {topicId} : {}),
      ...(made ? {made} : {}),
    };
    const text = JSON.stringify(places);
    if (text === this.#savedText || places.offsets.length === 0) return;
    await this.#options.positions.save(this.topic, places);
    this.#savedText = text;
  }
}
