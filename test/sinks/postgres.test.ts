/** The sink's promises over a real server. */
import {after, before} from 'node:test';
import {testSink} from '../conformance/sink.ts';
import {describeWithPostgres, postgresServer, postgresSubject, type TestServer} from '../support/postgres.ts';

describeWithPostgres('a PostgreSQL server', () => {
  let server: TestServer;
  before(async () => {
    server = await postgresServer();
    for (const name of ['day', 'none']) await server.sql(`CREATE DATABASE by_${name}`);
  });
  after(() => server.stop());

  for (const by of ['day', 'none'])
    testSink(`postgres, raw events by ${by}`, {
      choice: () =>
        server.choice({
          url: `postgres://${server.user}@127.0.0.1:${server.port}/by_${by}`,
          raw: {partition_by: by},
        }),
      ...postgresSubject,
      mend: (statement) => server.sql(statement, `by_${by}`),
    });
});
