import {once} from 'node:events';
import type {Writable} from 'node:stream';
import type {Table} from '../../model/types.ts';
import {encodeLines} from '../file/lines.ts';
import {fromOffset, tableId} from '../tables.ts';
import type {DeliveryMark, RowBatch, Sink} from '../types.ts';

/**
 * Lines `{"table": ..., "row": {...}}`. What was printed is known while the process lives and no longer: a new process begins
 * raw events at the start of the log, and has no marks.
 */
export function openStdout(stream: Writable): Sink {
  const marks = new Map<string, number>();
  const offsets = new Map<string, Map<number, number>>();
  const print = async (table: Table, batch: RowBatch) => {
    const prefix = `{"table":${JSON.stringify(tableId(table))},"row":`;
    const lines = encodeLines(table, batch).split('\n').slice(0, -1);
    const text = lines.map((line) => `${prefix}${line}}\n`).join('');
    // A reader that is slower than the engine holds it back here; the buffer stays small.
    if (text !== '' && !stream.write(text)) await once(stream, 'drain');
  };
  return {
    async ensure() {},
    write: print,
    async mark(list: DeliveryMark[]) {
      for (const {table, epoch} of list) marks.set(table, Math.max(epoch, marks.get(table) ?? epoch));
    },
    async marked(table) {
      return marks.get(table);
    },
    async writeRaw(table, batch) {
      const id = tableId(table);
      const known = offsets.get(id) ?? new Map<number, number>();
      offsets.set(id, known);
      const fresh = fromOffset(table, batch, known.get(batch.partition) ?? 0);
      if (!fresh) return;
      await print(table, fresh);
      known.set(batch.partition, Math.max(known.get(batch.partition) ?? 0, batch.toOffset));
    },
    async rawOffsets(table) {
      return new Map(offsets.get(tableId(table)));
    },
    async close() {},
  };
}
