import {defineSink} from '../types.ts';

/** PostgreSQL in this machine's process, without a server. */
export const pglite = defineSink({
  name: 'pglite',
  summary:
    'PostgreSQL without a server: the engine runs in a worker thread and keeps its tables in a directory.',
  fields: {
    dir: {type: 'dir', doc: 'Directory of the database.', default: '.millrace/postgres'},
  },
  capabilities: {isolation: 'worker', upsert: true, raw: true, query: true, views: true, durable: true},
  open: async (options, context) => (await import('./open.ts')).openPglite(options, context),
});
