/**
 * A sink of your own in about fifty lines: appends every changed row to `<dir>/<namespace>.<table>.csv`.
 *
 *   platform.yaml:   plugins: [./plugins/csv-sink.ts]
 *                    sinks: {changes: {backend: csv, csv: {dir: out}}}
 *
 * It needs no import from Millrace. Inside a clone, `import type {SinkSpec} from '<clone>/src/sinks/types.ts'` with
 * `satisfies SinkSpec[]` lets the editor check it; types are erased, so nothing is loaded at run time.
 */
import {mkdir, open, readFile, writeFile} from 'node:fs/promises';
import {join, resolve} from 'node:path';
import type {SinkSpec} from '../../src/sinks/types.ts';

const cell = (value: unknown): string => {
  const text = value === null ? '' : String(value);
  return value === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

const csv: SinkSpec = {
  name: 'csv',
  summary: 'Appends every changed row to a CSV file; readers take the highest version of a key.',
  fields: {dir: {type: 'dir', doc: 'Directory of the files.', default: 'csv'}},
  capabilities: {isolation: 'inline', upsert: false, raw: false, query: false, views: false, durable: true},
  async open(options, {root}) {
    const dir = resolve(root, String(options.dir ?? 'csv'));
    const marksPath = join(dir, 'marks.json');
    await mkdir(dir, {recursive: true});
    const marks: Record<string, number> = JSON.parse(await readFile(marksPath, 'utf8').catch(() => '{}'));
    return {
      async ensure(table) {
        const header = `${table.columns.map((column) => column.name).join(',')}\n`;
        // 'wx': an existing file keeps its rows.
        await writeFile(join(dir, `${table.namespace}.${table.name}.csv`), header, {flag: 'wx'}).catch(
          ignoreExisting,
        );
      },
      // Resolve only when the rows are safe; throw to have the same batch again. Repeating it must do no harm.
      async write(table, {count, columns}) {
        const rows = Array.from({length: count}, (_, row) =>
          columns.map((values) => cell(values[row])).join(','),
        );
        const file = await open(join(dir, `${table.namespace}.${table.name}.csv`), 'a');
        await file.write(rows.map((row) => `${row}\n`).join(''));
        await file.sync().finally(() => file.close());
      },
      // Which checkpoints these files have wholly: asked at start.
      async mark(list) {
        for (const {table, epoch} of list) marks[table] = Math.max(epoch, marks[table] ?? 0);
        await writeFile(marksPath, JSON.stringify(marks), {flush: true});
      },
      marked: async (table) => marks[table],
      async close() {},
    };
  },
};

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

export const sinks = [csv];
