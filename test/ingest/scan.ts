import {CsvScanner, readCsvHeader} from '../../src/ingest/csv.ts';
import {JsonScanner} from '../../src/ingest/jsonl.ts';
import {reasonCode} from '../../src/ingest/reasons.ts';
import {type RecordSource, StreamRecords} from '../../src/ingest/records.ts';

/** Bytes in chunks of `size`. */
export async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export type Scanned = {row: number; code: string; values: (string | null | 'nested')[]; raw: string};

/** Every record of a source: its values as strings (null: absent) or its reason. */
export async function scanAll(source: RecordSource): Promise<Scanned[]> {
  const out: Scanned[] = [];
  while (await source.fill())
    while (source.next()) {
      const {scanner} = source;
      const raw = Buffer.from(source.raw()).toString('latin1');
      if (source.reason < 0) {
        out.push({row: source.row, code: reasonCode(source.reason), values: [], raw});
        continue;
      }
      const values = scanner.columns.map((_, slot) => {
        const start = scanner.starts[slot]!;
        if (start < 0) return start === -1 ? null : 'nested';
        return Buffer.from(scanner.buffer.subarray(start, scanner.ends[slot]!)).toString('utf8');
      });
      out.push({row: source.row, code: '', values, raw});
    }
  return out;
}

export async function scanCsv(content: string | Uint8Array, chunkSize = 1 << 16): Promise<Scanned[]> {
  const source = new StreamRecords(chunksOf(Buffer.from(content), chunkSize), new CsvScanner([]));
  await readCsvHeader(source, 'test.csv');
  return scanAll(source);
}

export const scanJson = (content: string | Uint8Array, columns: string[], chunkSize = 1 << 16) =>
  scanAll(new StreamRecords(chunksOf(Buffer.from(content), chunkSize), new JsonScanner(columns)));
