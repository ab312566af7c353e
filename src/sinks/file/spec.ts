import {defineSink} from '../types.ts';

/** Changelog of rows in files: JSON Lines or Parquet. */
export const file = defineSink({
  name: 'file',
  summary: 'Appends every changed row to a file; readers take the highest version of a key.',
  fields: {
    dir: {type: 'dir', doc: 'Directory of the files.', default: '.millrace/files'},
    format: {
      type: 'enum',
      values: ['jsonl', 'parquet'],
      doc: 'jsonl: one file a table. parquet: a journal that becomes a Parquet file at 128 MiB or after a minute.',
      default: 'jsonl',
    },
  },
  capabilities: {isolation: 'worker', upsert: false, raw: true, query: false, views: false, durable: true},
  open: async (options, context) => (await import('./open.ts')).openFiles(options, context),
});
