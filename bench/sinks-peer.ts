/**
 * The other side of `sinks.bench.ts` and `raw.bench.ts`: the engines alone, fed with prepared text. Messages: bytes in, milliseconds
 * out; PGlite also takes `{sql}` and answers with its first row.
 */
import {parentPort, workerData} from 'node:worker_threads';

if (parentPort) {
  const {PGlite} = await import('@electric-sql/pglite');
  const {dir, ddl, target} = workerData as {dir: string; ddl: string; target: string};
  const database = await PGlite.create({dataDir: dir});
  await database.exec(ddl);
  parentPort.on('message', async (message: string | Uint8Array<ArrayBuffer> | {sql: string}) => {
    if (typeof message === 'object' && 'sql' in message) {
      const {rows} = await database.query<unknown[]>(message.sql, [], {rowMode: 'array'});
      parentPort!.postMessage(rows[0]);
      return;
    }
    const startMs = performance.now();
    await database.query(`COPY ${target} FROM '/dev/blob'`, [], {blob: new Blob([message])});
    parentPort!.postMessage(performance.now() - startMs);
  });
  parentPort.postMessage(0);
} else {
  const {createChdbConnection} = await import('chdb/connection');
  const [dir, ddl, table] = process.argv.slice(2) as [string, string, string];
  const connection = createChdbConnection({path: dir});
  for (const statement of ddl.split(';')) await connection.command({query: statement});
  process.on('disconnect', () => process.exit());
  process.on('message', async (bytes: Uint8Array) => {
    const startMs = performance.now();
    await connection.chdb.rawInsert({table, values: Buffer.from(bytes), format: 'TabSeparated'});
    process.send!(performance.now() - startMs);
  });
  process.send!(0);
}
