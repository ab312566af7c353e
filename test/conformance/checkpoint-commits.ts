import type {StateCommit, StateReader} from '../../src/process/embedded/statestore.ts';

const keys = 13;

/** The commit of an epoch: what all of them up to one leave behind is known without any store. */
export const commitOf = (epoch: number): StateCommit => ({
  query: 'q',
  epoch,
  meta: JSON.stringify({epoch}),
  puts: [
    {key: `row${epoch % keys}`, bytes: new Uint8Array(3_000).fill(epoch)},
    {key: 'last', bytes: Buffer.from(String(epoch))},
  ],
  deletes: [`row${(epoch + 5) % keys}`],
  journal: [`entry ${epoch}`],
});

/** What a store holds, as text. */
export const contentOf = (reader: StateReader, query = 'q'): string =>
  JSON.stringify([
    reader.load(query),
    reader.keys(query).map((key) => [key, Buffer.from(reader.get(query, key)!).toString('base64')]),
    reader.journal(query),
    reader.sizeBytes(query),
  ]);

/** What it holds after the commits up to an epoch, by a plain map. */
export function expectedAfter(epoch: number): string {
  const rows = new Map<string, Uint8Array>();
  const journal: string[] = [];
  let meta = '';
  for (let each = 1; each <= epoch; each++) {
    const commit = commitOf(each);
    for (const key of commit.deletes) rows.delete(key);
    for (const {key, bytes} of commit.puts) rows.set(key, bytes);
    journal.push(...commit.journal!);
    meta = commit.meta;
  }
  const sorted = [...rows].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([
    {meta, epoch},
    sorted.map(([key, bytes]) => [key, Buffer.from(bytes).toString('base64')]),
    journal,
    sorted.reduce((sum, [, {length}]) => sum + length, 0),
  ]);
}
