import {defineSink} from '../types.ts';

/** ClickHouse in this machine's process, without a server. */
export const chdb = defineSink({
  name: 'chdb',
  summary:
    'ClickHouse without a server: the engine runs in a child process and keeps its tables in a directory.',
  fields: {
    dir: {type: 'dir', doc: 'Directory of the database.', default: '.millrace/clickhouse'},
  },
  capabilities: {isolation: 'process', upsert: true, raw: true, query: true, views: true, durable: true},
  open: async (options, context) => (await import('./open.ts')).openChdb(options, context),
});
