import {join} from 'node:path';
import {testSink} from '../conformance/sink.ts';
import {clickHouseSubject} from '../support/clickhouse.ts';

testSink('chdb', {
  choice: (dir) => ({backend: 'chdb', options: {dir: join(dir, 'clickhouse')}}),
  ...clickHouseSubject,
});
