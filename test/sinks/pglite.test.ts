import {join} from 'node:path';
import {testSink} from '../conformance/sink.ts';
import {postgresSubject} from '../support/postgres.ts';

testSink('pglite', {
  choice: (dir) => ({backend: 'pglite', options: {dir: join(dir, 'postgres')}}),
  ...postgresSubject,
});
