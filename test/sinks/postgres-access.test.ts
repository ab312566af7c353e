/** Who may connect to a PostgreSQL server and do what: passwords, TLS, rights, versions, and what is said of them. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, type TestContext, test} from 'node:test';
import {systemClock} from '../../src/clock.ts';
import {makeCertificates} from '../../src/cluster/certificates.ts';
import {PlatformError} from '../../src/errors.ts';
import type {BackendChoice} from '../../src/model/types.ts';
import {createDelivery} from '../../src/sinks/delivery.ts';
import {openSink} from '../../src/sinks/host.ts';
import type {RefusedRow} from '../../src/sinks/refused.ts';
import {batchOf} from '../../src/sinks/tables.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {countryRow, queryTable, rawBatch, rawTable} from '../conformance/sink.ts';
import {cli, makeShop} from '../support/cli.ts';
import {describeWithPostgres, password, postgresServer, type TestServer} from '../support/postgres.ts';
import {tcpProxy} from '../support/tcp-proxy.ts';

describeWithPostgres('access to a PostgreSQL server', () => {
  let server: TestServer;
  let dir: string;
  /** PEM files. */
  let ca: string;
  let otherCa: string;
  before(async () => {
    server = await postgresServer({tls: 'required'});
    dir = mkdtempSync(join(tmpdir(), 'millrace-access-'));
    ca = join(dir, 'ca.crt');
    otherCa = join(dir, 'other.crt');
    writeFileSync(ca, server.certificates!.ca);
    writeFileSync(otherCa, makeCertificates().ca);
  });
  after(async () => {
    await server.stop();
    rmSync(dir, {recursive: true, force: true});
  });

  async function openFor(t: TestContext, choice: BackendChoice, readOnly = false) {
    const sink = await openSink({name: 'records', choice, root: server.dir, readOnly});
    t.after(() => sink.close());
    return sink;
  }
  const urlOf = (user = server.user, host = '127.0.0.1', port = server.port) =>
    `postgres://${user}@${host}:${port}/${server.database}`;

  const isError =
    (code: string, message: RegExp, hint = /./) =>
    (error: unknown): true => {
      assert.ok(error instanceof PlatformError, `${error}`);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.match(error.hint ?? '', hint);
      if (code !== 'SINK_QUERY') assert.match(error.place ?? '', /^sink records, ./);
      assert.doesNotMatch(JSON.stringify({...error, message: error.message, stack: error.stack}), /battery/);
      return true;
    };

  test('TLS: the authority and the name are proven, as far as the mode says', async (t) => {
    const opened = async (tls: Record<string, unknown>, host = '127.0.0.1') =>
      (await openFor(t, server.choice({url: urlOf(server.user, host), tls}))).marked('x');
    await opened({ca});
    await opened({ca}, 'localhost');
    await opened({mode: 'require'});
    await opened({mode: 'verify-ca', ca});
    await assert.rejects(opened({ca: otherCa}), isError('SINK_REFUSED', /certificate/, /tls.ca/));
    await assert.rejects(opened({mode: 'verify-ca', ca: otherCa}), isError('SINK_REFUSED', /certificate/));
    await assert.rejects(opened({mode: 'verify-full'}), isError('SINK_REFUSED', /certificate/));
    await assert.rejects(opened({mode: 'off'}), isError('SINK_REFUSED', /no encryption/, /pg_hba.conf/));
  });

  test('TLS: a certificate for another name is refused, unless names are not looked at', async (t) => {
    if (process.platform !== 'linux') return t.skip('127.0.0.2 is an address of this machine on Linux');
    const proxy = await tcpProxy(server, '127.0.0.2');
    t.after(() => proxy.close());
    const url = urlOf(server.user, '127.0.0.2', proxy.port);
    const opened = async (mode: string) =>
      (await openFor(t, server.choice({url, tls: {mode, ca}}))).marked('x');
    await assert.rejects(
      opened('verify-full'),
      isError('SINK_REFUSED', /127\.0\.0\.2/, /the host as its certificate/),
    );
    await opened('verify-ca');
  });

  test('an own certificate is shown to a server that asks for it', async (t) => {
    const {cert, key} = server.certificates!.client;
    const files = {cert: join(dir, 'client.crt'), key: join(dir, 'client.key')};
    writeFileSync(files.cert, cert);
    writeFileSync(files.key, key);
    const sink = await openFor(t, server.choice({tls: {ca, ...files}}));
    // Its connection stays open; who it is, only the administrator is told.
    await sink.query!('SELECT 1');
    const rows = await server.sql('SELECT client_dn FROM pg_stat_ssl WHERE client_dn IS NOT NULL');
    assert.match(String(rows[0]?.[0]), /CN=millrace/);
  });

  test('a wrong password, a user and a database that are not there: refused for good, and no password is told', async (t) => {
    const wrong = async (more: Record<string, unknown>) =>
      (await openFor(t, server.choice({tls: {ca}, ...more}))).marked('x');
    await assert.rejects(
      wrong({password: 'wrong-battery'}),
      isError('SINK_REFUSED', /password authentication failed/, /mend user, password/),
    );
    await assert.rejects(
      wrong({password: ''}),
      isError('SINK_REFUSED', /password must be/, /password of the sink/),
    );
    await assert.rejects(wrong({url: urlOf('nobody')}), isError('SINK_REFUSED', /authentication failed/));
    await assert.rejects(
      wrong({url: `${urlOf()}_other`}),
      isError('SINK_REFUSED', /does not exist/, /create the database/),
    );
  });

  test('options that cannot be are refused before anything connects', async () => {
    const opening = (more: Record<string, unknown>) =>
      openSink({name: 'records', choice: server.choice(more), root: server.dir});
    await assert.rejects(
      opening({url: `postgres://app:battery@127.0.0.1/x`}),
      isError('SINK_REFUSED', /holds a password/, /secret:name/),
    );
    await assert.rejects(opening({url: 'postgres://127.0.0.1/x'}), isError('SINK_REFUSED', /names no user/));
    await assert.rejects(
      opening({url: 'postgres://app@127.0.0.1'}),
      isError('SINK_REFUSED', /names no database/),
    );
    await assert.rejects(
      opening({url: `${urlOf()}?sslmode=require`}),
      isError('SINK_REFUSED', /parameters/, /tls/),
    );
    await assert.rejects(
      opening({tls: {ca: join(dir, 'none')}}),
      isError('SINK_REFUSED', /tls.ca cannot be read/),
    );
    await assert.rejects(opening({tls: {cert: ca}}), isError('SINK_REFUSED', /needs its key/));
    await assert.rejects(
      opening({raw: {partition_by: 'none', retention: 86_400_000}}),
      isError('SINK_REFUSED', /there are none/),
    );
  });

  test('a server of an old version is refused', async (t) => {
    const plain = await postgresServer();
    t.after(() => plain.stop());
    const proxy = await tcpProxy(plain);
    t.after(() => proxy.close());
    const [[version, number]] = (await plain.sql(
      "SELECT current_setting('server_version'), current_setting('server_version_num')",
    )) as [[string, string]];
    const swap = (bytes: Buffer, from: string, to: string) => {
      const at = bytes.indexOf(from);
      if (at >= 0) bytes.write(to, at, 'latin1');
      return bytes;
    };
    // The server's own answer with another number in it: older servers cannot be had here.
    const old = (text: string) => text.replace(/^\d\d/, '14');
    proxy.interfere({
      answer(bytes) {
        const digits = Buffer.alloc(4);
        digits.writeInt32BE(Number(number));
        return swap(
          swap(swap(bytes, number, old(number)), version, old(version)),
          String(number),
          old(number),
        );
      },
    });
    const sink = await openFor(
      t,
      plain.choice({url: `postgres://${plain.user}@127.0.0.1:${proxy.port}/${plain.database}`}),
    );
    await assert.rejects(
      sink.marked('x'),
      isError('SINK_REFUSED', /the server is PostgreSQL 14.*15 or newer/, /upgrade/),
    );
  });

  test('a user needs the right to create, or tables that somebody made for him', async (t) => {
    await server.sql(`CREATE ROLE writer LOGIN PASSWORD '${password}'`);
    const options = server.choice({url: urlOf('writer'), tls: {ca}, raw: {partition_by: 'none'}});
    const admin = await openFor(t, server.choice({tls: {ca}, raw: {partition_by: 'none'}}));
    const writer = await openFor(t, options);
    const table = {...queryTable('granted', {country: 'string'}), namespace: 'granted'};
    const raw = {...rawTable('granted_raw'), namespace: 'granted'};
    await assert.rejects(
      writer.ensure(table),
      isError('SINK_REFUSED', /permission denied/, /docs\/postgres.md/),
    );
    const wanted = [{namespace: 'granted', tables: ['granted', 'granted_raw']}];
    const missing = (sink: typeof writer) => sink.missingRights!(wanted);
    const looking = await openFor(t, options, true);
    // The sink's own schema is there, as other tests leave it.
    await admin.marked('x');
    const own = [
      'GRANT USAGE ON SCHEMA "millrace" TO "writer"',
      'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "millrace" TO "writer"',
    ];
    assert.deepEqual(await missing(looking), [
      `GRANT CREATE ON DATABASE "${server.database}" TO "writer"`,
      ...own,
    ]);
    for (const each of [table, raw]) await admin.ensure(each);
    assert.deepEqual(await missing(admin), []);
    assert.deepEqual(await missing(looking), [
      'GRANT USAGE ON SCHEMA "granted" TO "writer"',
      'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "granted" TO "writer"',
      ...own,
    ]);
    // A table that nobody has made yet.
    const [schema] = (await looking.missingRights!([{namespace: 'granted', tables: ['more']}]))!;
    assert.equal(schema, 'GRANT USAGE, CREATE ON SCHEMA "granted" TO "writer"');
    const rows = batchOf(table, [countryRow('DE', 1, 2)]);
    await assert.rejects(writer.write(table, rows), isError('SINK_REFUSED', /permission denied/));
    for (const schema of ['granted', 'millrace'])
      await server.sql(
        `GRANT USAGE ON SCHEMA ${schema} TO writer; GRANT ALL ON ALL TABLES IN SCHEMA ${schema} TO writer`,
      );
    assert.deepEqual(await missing(looking), []);
    for (const each of [table, raw]) await writer.ensure(each);
    await writer.write(table, rows);
    await writer.writeRaw!(raw, rawBatch(raw, 0, 0, 3));
    assert.deepEqual(await writer.rawOffsets!(raw), new Map([[0, 3]]));
  });

  test('doctor names the statement that gives a user what it lacks, before anything runs', async () => {
    await server.sql(`CREATE ROLE newcomer LOGIN PASSWORD '${password}'`);
    await server.sql('CREATE DATABASE beginnings');
    const url = `postgres://newcomer@127.0.0.1:${server.port}/beginnings`;
    const root = await makeShop({
      'config/environments/doctor.yaml': `sinks:
  rows: {backend: postgres, postgres: {url: "${url}", password: "${password}", tls: {ca: ${ca}}}}
`,
    });
    const ask = () => cli(root, 'doctor', '--env', 'doctor');
    const {code, stdout} = await ask();
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^failed +sink rows +SINK_REFUSED its user lacks rights: GRANT CREATE ON DATABASE "beginnings" TO "newcomer"\n +at sink rows \(config\/environments\/doctor\.yaml:2:\d+\)\n +hint: .*docs\/postgres\.md$/m,
    );
    await server.sql('GRANT CREATE ON DATABASE beginnings TO newcomer');
    const again = await ask();
    assert.match(again.stdout, /^ok +sink rows +postgres opens, its user has the rights that it needs$/m);
  });

  test('read-only: nothing is made, and nothing can be', async (t) => {
    await server.sql('CREATE DATABASE untouched');
    const url = `postgres://${server.user}@127.0.0.1:${server.port}/untouched`;
    const sink = await openFor(t, server.choice({url, tls: {ca}}), true);
    const {rows} = await sink.query!("SELECT count(*) FROM pg_namespace WHERE nspname = 'millrace'");
    assert.deepEqual(rows, [[0]]);
    await assert.rejects(sink.ensure(rawTable('x')), isError('SINK_UNAVAILABLE', /read-only/, /^/));
  });

  test('a user’s statement cannot leave its read-only transaction', async (t) => {
    const sink = await openFor(t, server.choice({tls: {ca}}));
    const table = queryTable('guarded', {country: 'string'});
    await sink.ensure(table);
    for (const sql of [
      'COMMIT; DROP TABLE shop.guarded__r1',
      'SELECT 1; DROP TABLE shop.guarded__r1',
      'SET TRANSACTION READ WRITE',
    ])
      await sink.query!(sql).catch(() => {});
    await assert.rejects(sink.query!('DELETE FROM shop.guarded__r1'), isError('SINK_QUERY', /only read/));
    await assert.rejects(
      sink.query!('WITH gone AS (DELETE FROM shop.guarded__r1 RETURNING 1) SELECT * FROM gone'),
      isError('SINK_QUERY', /read-only/),
    );
    await sink.query!("SET statement_timeout = '1ms'").catch(() => {});
    await sink.query!('SELECT pg_sleep(0.05)');
    const {rows} = await sink.query!("SELECT current_setting('idle_in_transaction_session_timeout')");
    assert.deepEqual(rows, [['15s']], 'a process that hangs holds its rows no longer');
    await sink.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
  });

  test('a row that the server refuses is set aside; the others are written', async (t) => {
    const sink = await openFor(t, server.choice({tls: {ca}}));
    const table = queryTable('refuses', {country: 'string'});
    await sink.ensure(table);
    await server.sql("ALTER TABLE shop.refuses__r1 ADD CONSTRAINT no_atlantis CHECK (country <> 'Atlantis')");
    const refused: RefusedRow[] = [];
    const delivery = createDelivery({
      sink,
      sinkName: 'records',
      table,
      clock: systemClock,
      random: Math.random,
      telemetry: noTelemetry,
      callbacks: {onRefused: async (rows) => void refused.push(...rows)},
    });
    const long = Array.from({length: 9_000}, (_, index) =>
      ((index * 2_654_435_761) % 2 ** 32).toString(36),
    ).join('');
    const names = [...Array.from({length: 1_200}, (_, index) => `c${index}`), 'Atlantis', long];
    await delivery.push(
      batchOf(
        table,
        names.map((name) => countryRow(name, 1, 2)),
      ),
    );
    assert.deepEqual(delivery.counts(), {emitted: 1_202, written: 1_200, pending: 0, dead: 2});
    assert.deepEqual(
      refused.map(({code, row}) => [code, String(row[2]).slice(0, 8)]),
      [
        ['SINK_ROW', 'Atlantis'],
        ['SINK_ROW', long.slice(0, 8)],
      ],
    );
  });

  test('a view that is made anew keeps the rights that were given on it', async (t) => {
    const sink = await openFor(t, server.choice({tls: {ca}}));
    await server.sql('CREATE ROLE "Reader"');
    const table = queryTable('shown', {country: 'string'});
    await sink.ensure(table);
    await server.sql(
      'GRANT SELECT ON shop.shown TO "Reader" WITH GRANT OPTION; GRANT SELECT ON shop.shown TO PUBLIC',
    );
    const next = {
      ...queryTable('shown', {country: 'string'}, [{name: 'average', type: 'double', nullable: true}]),
      name: 'shown__r2',
    };
    await sink.ensure(next);
    await sink.switchView!(next);
    assert.deepEqual(
      await server.sql(`SELECT coalesce(r.rolname, 'PUBLIC'), privilege_type, is_grantable FROM pg_class c
      CROSS JOIN aclexplode(relacl) a LEFT JOIN pg_roles r ON r.oid = grantee
      WHERE c.oid = 'shop.shown'::regclass AND grantee <> relowner ORDER BY 1`),
      [
        ['PUBLIC', 'SELECT', false],
        ['Reader', 'SELECT', true],
      ],
    );
  });
});
