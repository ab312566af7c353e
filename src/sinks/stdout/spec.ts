import {defineSink} from '../types.ts';

/** Changelog of rows on standard output. */
export const stdout = defineSink({
  name: 'stdout',
  summary: 'Prints every changed row as a line of JSON.',
  fields: {},
  capabilities: {
    isolation: 'inline',
    upsert: false,
    raw: true,
    rawRead: false,
    query: false,
    views: false,
    durable: false,
  },
  open: async () => (await import('./open.ts')).openStdout(process.stdout),
});
