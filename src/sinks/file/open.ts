import {readdir, rm} from 'node:fs/promises';
import {join, resolve} from 'node:path';
import {PlatformError} from '../../errors.ts';
import type {Table} from '../../model/types.ts';
import {fromOffset, revisionOf, tableId} from '../tables.ts';
import type {RawBatch, Sink, SinkContext} from '../types.ts';
import {makeDirectory, readJson, replaceFile} from './disk.ts';
import {latestRows, rawRows, readAll} from './read.ts';
import {
  ensureDefinition,
  type Format,
  openStore,
  type Store,
  segmentBytesMax,
  segmentMsMax,
} from './store.ts';

/** Options: `dir`, `format`. A failed write closes the table's files; the next one opens and checks them anew. */
export async function openFiles(options: Record<string, unknown>, context: SinkContext): Promise<Sink> {
  const dir = resolve(context.root, String(options.dir ?? '.millrace/files'));
  const format = (options.format ?? 'jsonl') as Format;
  const marksPath = join(dir, 'marks.json');
  await attempt(() => makeDirectory(dir));
  const marks = new Map(Object.entries((await readJson<Record<string, number>>(marksPath)) ?? {}));
  const stores = new Map<string, {table: Table; store: Promise<Store>; last: Promise<unknown>}>();

  const entryOf = (table: Table) => {
    const id = tableId(table);
    let entry = stores.get(id);
    if (!entry) {
      const store = makeDirectory(join(dir, table.namespace)).then(() =>
        openStore(dir, table, format, () => Date.now()),
      );
      entry = {table, store, last: store.catch(() => {})};
      stores.set(id, entry);
    }
    return entry;
  };
  /** One thing at a time for a table; a failure forgets its open files. */
  const exclusively = <T>(table: Table, work: (store: Store) => Promise<T>): Promise<T> => {
    const entry = entryOf(table);
    const result = entry.last.then(() =>
      attempt(async () => {
        const store = await entry.store;
        try {
          return await work(store);
        } catch (error) {
          if (stores.get(tableId(table)) === entry) stores.delete(tableId(table));
          await store.close().catch(() => {});
          throw error;
        }
      }).catch((error) => {
        if (stores.get(tableId(table)) === entry) stores.delete(tableId(table));
        throw error;
      }),
    );
    entry.last = result.catch(() => {});
    return result;
  };
  /** Closes what was opened with the columns of before. */
  const forget = async (table: Table) => {
    const entry = stores.get(tableId(table));
    stores.delete(tableId(table));
    await entry?.last;
    await (await entry?.store)?.close();
  };
  const rollIfDue = async (store: Store) => {
    const ageMs = store.journalAgeMs(Date.now()) ?? 0;
    if (format === 'parquet' && (store.journalBytes() >= segmentBytesMax || ageMs >= segmentMsMax))
      await store.roll();
  };
  // A table that gets no more rows is rolled too; a failure here shows at the table's next write.
  const timer = setInterval(() => {
    for (const {table} of stores.values()) exclusively(table, rollIfDue).catch(() => {});
  }, 1_000);
  timer.unref();
  let markWork: Promise<unknown> = Promise.resolve();

  return {
    ensure: (table) =>
      attempt(async () => {
        await makeDirectory(join(dir, table.namespace));
        await ensureDefinition(dir, table);
        const open = stores.get(tableId(table));
        if (open && JSON.stringify(open.table) !== JSON.stringify(table)) await forget(table);
        await exclusively(table, async () => {});
      }),
    write: (table, batch) =>
      exclusively(table, async (store) => {
        await store.append(batch);
        await rollIfDue(store);
      }),
    mark(list) {
      const result = markWork.then(() =>
        attempt(async () => {
          for (const {table, epoch} of list) marks.set(table, Math.max(epoch, marks.get(table) ?? epoch));
          await replaceFile(marksPath, `${JSON.stringify(Object.fromEntries(marks))}\n`);
        }),
      );
      markWork = result.catch(() => {});
      return result;
    },
    marked: async (table) => marks.get(table),
    writeRaw: (table: Table, batch: RawBatch) =>
      exclusively(table, async (store) => {
        const fresh = fromOffset(table, batch, store.offsets.get(batch.partition) ?? 0);
        if (!fresh) return;
        await store.append(fresh);
        await rollIfDue(store);
      }),
    readRaw: (table, range, columns) =>
      exclusively(table, async () =>
        rawRows(await readAll(dir, table.namespace, table.name), range, columns),
      ),
    rawOffsets: (table) => exclusively(table, async (store) => new Map(store.offsets)),
    revisions: (namespace, query) => attempt(() => listRevisions(join(dir, namespace), query)),
    drop: (id) =>
      attempt(async () => {
        const [namespace, name] = id.split('.') as [string, string];
        const entry = stores.get(id);
        stores.delete(id);
        if (entry) await (await entry.store).close();
        for (const ending of ['.table.json', '.offsets.json', '.jsonl', ''])
          await rm(join(dir, namespace, name + ending), {recursive: true, force: true});
      }),
    latest: (table) =>
      exclusively(table, async () => {
        const all = await readAll(dir, table.namespace, table.name);
        return all ? latestRows(all.table, all.batch, table) : [];
      }),
    async close() {
      clearInterval(timer);
      const open = [...stores.values()];
      await Promise.allSettled(open.map(({last}) => last));
      stores.clear();
      for (const {store} of open) await attempt(async () => leave(await store, format));
    },
  };
}

/** What was written ends as Parquet, not as a journal that waits for the next start. */
async function leave(store: Store, format: Format): Promise<void> {
  try {
    if (format === 'parquet') await store.roll();
  } finally {
    await store.close();
  }
}

async function listRevisions(folder: string, query: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => name.endsWith('.table.json'))
    .map((name) => revisionOf(name.slice(0, -'.table.json'.length)))
    .filter((found) => found?.query === query)
    .map((found) => found!.revision)
    .sort((a, b) => a - b);
}

/** Errors of the file system become SINK_UNAVAILABLE, or SINK_REFUSED where trying again cannot help. */
async function attempt<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof PlatformError || code === undefined || !(error as NodeJS.ErrnoException).syscall)
      throw error;
    const refused = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR'].includes(code);
    throw new PlatformError(refused ? 'SINK_REFUSED' : 'SINK_UNAVAILABLE', (error as Error).message, {
      cause: error,
      hint:
        code === 'ENOSPC'
          ? 'free space on the disk; writing goes on by itself'
          : 'check the directory and its disk',
    });
  }
}
