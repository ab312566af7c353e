import {defineSink} from '../types.ts';

/** Rows of queries as records of Kafka topics. */
export const kafka = defineSink({
  name: 'kafka',
  summary:
    'Rows as records of compacted Kafka topics, agg.<domain>.<query>.r<n>; readers take the highest version of a key. For a platform whose log is Kafka.',
  fields: {},
  capabilities: {isolation: 'inline', upsert: true, raw: false, query: false, views: true, durable: true},
  open: async (options, context) => (await import('./open.ts')).openKafkaSink(options, context),
});
