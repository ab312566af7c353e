import assert from 'node:assert/strict';
import {test} from 'node:test';
import {systemClock, testClock} from '../../src/clock.ts';
import {PlatformError} from '../../src/errors.ts';
import {rowIds} from '../../src/ingest/identity.ts';
import {partitionOf} from '../../src/log/partition.ts';
import type {AppendTransaction, LogWriter} from '../../src/log/types.ts';
import type {Telemetry, TelemetryEvents} from '../../src/telemetry.ts';
import {type Content, domain, input, order, type World, withWorld} from './world.ts';

/** Rows in no order of time, a bad one among every ten. */
function mixed(rows: number): string {
  const lines = ['timestamp,user_id,country,amount,quantity'];
  for (let i = 1; i <= rows; i++) {
    const time = new Date(1_700_000_000_000 + ((i * 7919) % rows) * 1000).toISOString();
    lines.push(
      i % 10 === 5
        ? `${time},u${i},DE,oops ${i},1`
        : `${time},u${i % 17},${i % 3 ? 'DE' : ''},${i}.5${i % 10},${i}`,
    );
  }
  return lines.join('\n');
}

const loose = domain(order());
loose.defaults.deadLetters.budgetShare = 0.5;

/** What must be equal of two logs: all but the times of dead letters. */
const comparable = ({events, letters, ledger}: Content) => ({
  events,
  letters: letters.map(({timeMs: _, ...rest}) => rest),
  ledger,
});

function balanced({ledger}: Content): void {
  for (const row of ledger) assert.equal(row.received, row.appended + row.duplicate + row.rejected);
}

test("every row is one event or one dead letter, in its key's partition, in the order of the file", async () =>
  withWorld(async (world) => {
    const report = await world.ingest(world.file('a.csv', mixed(100)), {domain: loose});
    assert.deepEqual(
      {...report, seconds: 0},
      {
        state: 'finished',
        source: 'orders/a.csv',
        resumedAt: 0,
        received: 100,
        appended: 90,
        duplicate: 0,
        rejected: 10,
        reasons: {TYPE: 10},
        seconds: 0,
      },
    );
    const content = await world.content();
    assert.deepEqual(content.ledger, [
      {
        domain: 'shop',
        eventType: 'order',
        source: 'orders/a.csv',
        received: 100,
        appended: 90,
        duplicate: 0,
        rejected: 10,
      },
    ]);
    const ids = rowIds('shop', 'orders', 'a.csv');
    const rows = new Map(Array.from({length: 100}, (_, i) => [ids.of(i + 1), i + 1]));
    const lastRow = [0, 0, 0];
    for (const {partition, values} of content.events) {
      const row = rows.get(values[0] as string)!;
      assert.ok(row > lastRow[partition]!);
      lastRow[partition] = row;
      assert.equal(partition, partitionOf(`u${row % 17}`, '', 3));
      assert.deepEqual(values, [
        ids.of(row),
        1_700_000_000_000 + ((row * 7919) % 100) * 1000,
        `u${row % 17}`,
        row % 3 ? 'DE' : null,
        row * 100 + 50 + (row % 10),
        row,
      ]);
    }
    assert.equal(content.events.length, 90);
    const letter = content.letters[1]!;
    assert.deepEqual(
      {...letter, original: Buffer.from(letter.original).toString(), timeMs: 0, id: ''},
      {
        id: '',
        timeMs: 0,
        domain: 'shop',
        eventType: 'order',
        stage: 'validate',
        query: null,
        code: 'TYPE',
        message: 'amount: "oops 15" is not an amount of money',
        source: 'orders/a.csv',
        position: {file: 'a.csv', row: 15},
        eventId: ids.of(15),
        schemaId: null,
        original: `${new Date(1_700_000_000_000 + ((15 * 7919) % 100) * 1000).toISOString()},u15,DE,oops 15,1`,
        partition: 0,
        offset: 1,
      },
    );
  }));

/** A log that fails at the n-th transaction, as if the process had ended there. */
function failingAt(log: LogWriter, count: number): LogWriter {
  let calls = 0;
  const append = (transaction: AppendTransaction) =>
    ++calls >= count
      ? Promise.reject(new PlatformError('LOG_IO', 'the disk is gone'))
      : log.append(transaction);
  return new Proxy(log, {
    get: (target, key) => (key === 'append' ? append : Reflect.get(target, key).bind(target)),
  });
}

for (const orderBy of ['none', 'timestamp'] as const)
  test(`an end at any transaction and a new start give the same log as one run (order_by: ${orderBy})`, async () => {
    const options = {domain: loose, input: input({orderBy}), limits: {batchBytes: 900, runBytes: 3000}};
    const text = mixed(120);
    const whole = await withWorld(async (world) => {
      await world.ingest(world.file('a.csv', text), options);
      return comparable(await world.content());
    });
    assert.equal(whole.events.length, 108);
    if (orderBy === 'timestamp') {
      const times = whole.events
        .filter(({partition}) => partition === 0)
        .map(({values}) => values[1] as number);
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      );
    }
    let transactions = 0;
    for (let at = 1; ; at++) {
      const finished = await withWorld(async (world) => {
        const path = world.file('a.csv', text);
        const end = await world.ingest(path, {...options, log: failingAt(world.log, at)}).then(
          () => true,
          (error) => {
            assert.equal(error.code, 'LOG_IO');
            return false;
          },
        );
        const {resumedAt, state} = await world.ingest(path, options);
        if (!end && at > 1) assert.ok(resumedAt > 0);
        assert.equal(state, end ? 'unchanged' : 'finished');
        assert.deepEqual(comparable(await world.content()), whole);
        return end;
      });
      transactions = at;
      if (finished) break;
    }
    assert.ok(transactions > 4, 'the file is several transactions');
  });

test('a signal stops between two transactions, and the next start goes on', async () =>
  withWorld(async (world) => {
    const path = world.file('a.csv', mixed(2000));
    const options = {domain: loose, limits: {batchBytes: 2000}};
    let runs = 0;
    let state = '';
    for (; state !== 'finished'; runs++) {
      const controller = new AbortController();
      let calls = 0;
      const onProgress = () => {
        if (++calls === 3) controller.abort();
      };
      state = (await world.ingest(path, {...options, onProgress, signal: controller.signal})).state;
    }
    assert.ok(runs > 3);
    const content = await world.content();
    balanced(content);
    assert.equal(content.ledger[0]!.received, 2000);
    assert.equal(new Set(content.events.map(({values}) => values[0])).size, 1800);
    assert.equal(content.letters.length, 200);
  }));

test('the same content again is nothing to do, also packed another way; other content is refused unless it has a name of its own', async () =>
  withWorld(async (world) => {
    const {gzipSync} = await import('node:zlib');
    const options = {domain: loose};
    const text = mixed(50);
    await world.ingest(world.file('a.csv', text), options);
    const before = await world.content();
    assert.equal((await world.ingest(world.file('a.csv', text), options)).state, 'unchanged');
    assert.equal((await world.ingest(world.file('a.csv.gz', gzipSync(text)), options)).state, 'unchanged');
    const changed = world.file('a.csv', `${text}\n2024-01-01T00:00:00Z,u,DE,1,1\n`);
    await assert.rejects(world.ingest(changed, options), {code: 'INPUT_CHANGED', hint: /--as a-2\.csv/});
    assert.deepEqual(await world.content(), before);
    assert.equal((await world.ingest(changed, {...options, as: 'a-2.csv'})).appended, 46);
    assert.equal((await world.ingest(changed, {...options, as: 'a-2.csv'})).state, 'unchanged');
    const content = await world.content();
    assert.deepEqual(
      content.ledger.map(({source, received}) => [source, received]),
      [
        ['orders/a-2.csv', 51],
        ['orders/a.csv', 50],
      ],
    );
  }));

test('ids of a column are remembered: a repeated one is a duplicate, in the ledger too', async () =>
  withWorld(async (world) => {
    const path = world.file(
      'a.csv',
      'id,timestamp,amount\nx,2024-01-01,1\ny,2024-01-01,2\nx,2024-01-01,1\n,2024-01-01,4\n',
    );
    const options = {domain: loose, input: input({map: {event_id: 'id'}})};
    const report = await world.ingest(path, options);
    assert.deepEqual([report.received, report.appended, report.duplicate, report.rejected], [4, 2, 1, 1]);
    await world.ingest(path, {...options, as: 'again.csv'});
    const content = await world.content();
    balanced(content);
    assert.deepEqual(content.events.map(({values}) => values[0]).toSorted(), ['x', 'y']);
    assert.deepEqual(
      content.letters.map(({code, eventId}) => [code, eventId]),
      [
        ['REQUIRED', null],
        ['REQUIRED', null],
      ],
    );
  }));

test('of two records of one id the first that is read stays, also where their partitions are others', async () =>
  withWorld(async (world) => {
    const rows = Array.from(
      {length: 40},
      (_, index) => [`id${index}`, `u${index}`, `u${index + 7}`] as const,
    );
    const line = (id: string, user: string, amount: number) => `${id},2024-01-01,${user},${amount}`;
    const path = world.file(
      'a.csv',
      [
        'id,timestamp,user_id,amount',
        ...rows.map(([id, first]) => line(id, first, 1)),
        ...rows.map(([id, , second]) => line(id, second, 2)),
      ].join('\n'),
    );
    const report = await world.ingest(path, {
      domain: loose,
      input: input({map: {event_id: 'id'}, orderBy: 'none'}),
    });
    assert.deepEqual([report.received, report.appended, report.duplicate], [80, 40, 40]);
    const content = await world.content();
    balanced(content);
    const stayed = new Map(content.events.map(({values}) => [values[0], values[2]]));
    assert.deepEqual(
      rows.map(([id]) => stayed.get(id)),
      rows.map(([, first]) => first),
    );
    assert.ok(new Set(content.events.map(({partition}) => partition)).size > 1);
  }));

test('too many bad records stop the source at its position; after a fix it goes on from there', async () =>
  withWorld(async (world) => {
    const strict = domain(order());
    strict.defaults.deadLetters = {budgetShare: 0.05, budgetAfter: 40, retentionMs: 1};
    const path = world.file('a.csv', mixed(200));
    await assert.rejects(world.ingest(path, {domain: strict}), {
      code: 'INPUT_BUDGET',
      exitCode: 1,
      message: /4 of 40 records.*TYPE \(4\)/,
    });
    assert.equal((await world.content()).ledger[0]!.received, 40);
    const report = await world.ingest(path, {domain: loose});
    assert.deepEqual([report.resumedAt, report.received, report.state], [40, 160, 'finished']);
    const content = await world.content();
    balanced(content);
    assert.equal(content.events.length, 180);
    assert.equal(content.letters.length, 20);
  }));

test('a full log is waited for, and nothing is lost or repeated', async () => {
  const clock = testClock(1_800_000_000_000);
  await withWorld(async (world) => {
    let refusals = 3;
    const log = new Proxy(world.log, {
      get: (target, key) =>
        key === 'append'
          ? (transaction: AppendTransaction) =>
              refusals-- > 0
                ? Promise.reject(new PlatformError('LOG_FULL', 'full'))
                : target.append(transaction)
          : Reflect.get(target, key).bind(target),
    });
    let done = false;
    const run = world.ingest(world.file('a.csv', mixed(60)), {domain: loose, log}).then((report) => {
      done = true;
      return report;
    });
    let seconds = 0;
    for (; !done; seconds++)
      await Promise.all([clock.advance(1000), new Promise((resolve) => setTimeout(resolve, 5))]);
    assert.ok(seconds >= 3);
    assert.equal((await run).received, 60);
    const content = await world.content();
    assert.equal(content.events.length, 54);
    balanced(content);
  }, clock);
});

test('a closed gate holds the next transaction back', async () =>
  withWorld(async (world) => {
    let open = () => {};
    const closed = new Promise<void>((resolve) => (open = resolve));
    let asked = 0;
    const gate = () => (++asked === 2 ? closed : undefined);
    const run = world.ingest(world.file('a.csv', mixed(200)), {
      domain: loose,
      gate,
      limits: {batchBytes: 900},
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const held = world.log.ledger()[0]!.received;
    assert.ok(held > 0 && held < 200);
    open();
    assert.equal((await run).received, 200);
  }));

test('a rate is kept in small steps', async () => {
  const clock = testClock(1_800_000_000_000);
  await withWorld(async (world) => {
    const counts: number[] = [];
    let done = false;
    const run = world
      .ingest(world.file('a.csv', mixed(1000)), {
        domain: loose,
        rate: 1000,
        onProgress: ({rows}) => counts.push(rows),
      })
      .finally(() => (done = true));
    const startMs = clock.now();
    while (!done) await Promise.all([clock.advance(10), new Promise((resolve) => setTimeout(resolve, 1))]);
    await run;
    const seconds = (clock.now() - startMs) / 1000;
    assert.ok(seconds >= 0.9, `${seconds} s for 1000 events at 1000/s`);
    const steps = counts.map((rows, i) => rows - (counts[i - 1] ?? 0));
    assert.ok(Math.max(...steps) <= 100, `steps of ${Math.max(...steps)} events`);
  }, clock);
});

test('rows beyond the horizon of what the log has stop the file with their number, --late accepts them', async () =>
  withWorld(async (world) => {
    const hourly = domain(order(), [
      {
        name: 'q',
        from: ['order'],
        window: {type: 'tumbling', sizeMs: 3_600_000},
        watermarkMs: 600_000,
        late: 'correct',
        correctForMs: 86_400_000,
      },
    ]);
    const maximumMs = Date.parse('2024-03-10T12:00:00Z');
    // Window [09T11:00, 09T12:00) ends at 12:00; 12:00 + 10 min + 1 d is past the maximum, that of [09T10, 09T11) + 10 min + 1 d is not.
    const times = [
      '2024-03-09T11:00:00Z',
      '2024-03-09T10:59:59.999Z',
      '2024-03-01',
      'x',
      '2024-03-10T11:00:00Z',
    ];
    const path = world.file(
      'a.csv',
      `timestamp,user_id,amount\n${times.map((time) => `${time},u,1`).join('\n')}`,
    );
    for (const orderBy of ['none', 'timestamp'] as const) {
      const options = {domain: hourly, input: input({orderBy}), partitions: 1, maxima: () => [maximumMs]};
      await assert.rejects(world.ingest(path, options), {
        code: 'INPUT_LATE',
        message: /^2 of [45] rows .*2024-03-10T12:00:00.000Z/,
      });
      assert.equal(world.log.ledger().length, 0);
    }
    const options = {domain: hourly, partitions: 1};
    assert.equal((await world.ingest(path, {...options, maxima: () => [null]})).appended, 4);
    assert.equal(
      (await world.ingest(path, {...options, as: 'b', late: true, maxima: () => [maximumMs]})).appended,
      4,
    );
  }));

test('--final marks every partition past the last window, once', async () =>
  withWorld(async (world) => {
    const sliding = domain(order(), [
      {
        name: 'q',
        from: ['order'],
        window: {type: 'sliding', sizeMs: 600_000, slideMs: 60_000},
        watermarkMs: 30_000,
      },
      {name: 'other', from: ['click'], window: {type: 'tumbling', sizeMs: 1e9}, watermarkMs: 1e9},
    ]);
    const path = world.file(
      'a.csv',
      'timestamp,amount\n2024-01-01T00:00:59Z,1\n2024-01-01T00:00:01Z,1\n2099-01-01,1\n',
    );
    sliding.defaults.deadLetters.budgetAfter = 1000;
    await world.ingest(path, {domain: sliding});
    assert.deepEqual((await world.content()).marks, []);
    for (let i = 0; i < 2; i++) await world.ingest(path, {domain: sliding, final: true});
    const end = Date.parse('2024-01-01T00:10:30Z');
    assert.deepEqual((await world.content()).marks, [end, end, end]);
  }));

test('events of 1969 and of the far future are dead letters, at the boundary', async () => {
  const clock = {...systemClock, now: () => Date.parse('2024-01-01T00:00:00Z')};
  await withWorld(async (world) => {
    const times = [
      '1969-12-31T23:59:59.999Z',
      '1970-01-01',
      '2024-01-01T01:00:00Z',
      '2024-01-01T01:00:00.001Z',
      '9999-12-31',
      '',
    ];
    const path = world.file('a.csv', `timestamp,amount\n${times.map((time) => `${time},1`).join('\n')}\n`);
    const report = await world.ingest(path, {domain: loose});
    assert.deepEqual(report.reasons, {TIMESTAMP_RANGE: 1, TIMESTAMP_FUTURE: 2, REQUIRED: 1});
    assert.deepEqual((await world.content()).events.map(({values}) => values[1]).toSorted(), [
      0,
      clock.now() + 3_600_000,
    ]);
  }, clock);
});

test('bad records of every kind in one file neither stop nor change the good ones', async () => {
  const good = (i: number) => `2024-01-01T00:00:0${i}Z,u${i},DE,1.00,${i}`;
  const run = (text: string | Buffer) =>
    withWorld(async (world: World) => {
      await world.ingest(world.file('a.csv', text), {domain: loose});
      return world.content();
    });
  const header = 'timestamp,user_id,country,amount,quantity\n';
  const plain = await run(header + [1, 2, 3].map(good).join('\n'));
  const poison = await run(
    Buffer.concat([
      Buffer.from(`${header + good(1)}\n"open,u,DE,1,1\nshort\n2024-01-01,u,D`),
      Buffer.of(0xff, 0xfe),
      Buffer.from(
        `,1,1\n${good(2)}\n2024-01-01,u,${'x'.repeat(3_000_000)},1,1\n2024-01-01,u,DE,1.001,1\n2024-01-01,u,DE,NaN,9223372036854775808\n${good(3)}`,
      ),
    ]),
  );
  assert.deepEqual(
    poison.letters.map(({code}) => code),
    ['CSV_QUOTE', 'CSV_RAGGED', 'UTF8', 'RECORD_TOO_LARGE', 'MONEY_SCALE', 'TYPE'],
  );
  assert.equal(Buffer.from(poison.letters[0]!.original).toString(), '"open,u,DE,1,1');
  assert.deepEqual([...poison.letters[2]!.original.subarray(14)], [0xff, 0xfe, ...Buffer.from(',1,1')]);
  assert.deepEqual(
    poison.events.map(({values}) => values.slice(1)),
    plain.events.map(({values}) => values.slice(1)),
  );
  balanced(poison);
});

test('a file without the columns it needs is refused before anything is written', async () =>
  withWorld(async (world) => {
    await assert.rejects(world.ingest(world.file('a.csv', 'time,amount\n1,1\n')), {
      code: 'INPUT_COLUMNS',
      message: /timestamp.*it has time, amount/,
    });
    await assert.rejects(
      world.ingest(world.file('b.csv', 'timestamp,amount\n1,1\n'), {input: input({map: {country: 'land'}})}),
      {
        code: 'INPUT_COLUMNS',
        message: /land \(for country\)/,
      },
    );
    await assert.rejects(
      world.ingest(world.file('c.csv', 'timestamp,amount\n1,1\n'), {
        input: input({timestampFormat: '%Y %Q'}),
      }),
      {code: 'CONFIG_INVALID', message: /%Q is not known/},
    );
    await assert.rejects(world.ingest('nowhere.csv'), {code: 'INPUT_MISSING'});
    assert.equal(world.log.ledger().length, 0);
  }));

test('JSON lines give the same events as CSV, whatever the order of keys', async () => {
  const events = await withWorld(async (world) => {
    const lines = [
      '{"timestamp":"2024-01-01T00:00:00Z","user_id":"ü\\u00fc","amount":12.34,"quantity":9007199254740993}',
      '{"amount":"0.10","quantity":null,"country":"","timestamp":1704067200000,"__proto__":{"x":1},"deep":[[{"a":[]}]]}',
      '{"amount":{"x":1},"timestamp":0}',
      '{"amount":1',
    ];
    await world.ingest(world.file('a.jsonl', lines.join('\n')), {
      domain: loose,
      input: input({format: 'jsonl', nulls: []}),
      partitions: 1,
    });
    const content = await world.content();
    assert.deepEqual(
      content.letters.map(({code}) => code),
      ['TYPE', 'JSON_SYNTAX'],
    );
    return content.events.map(({values}) => values.slice(1));
  });
  assert.deepEqual(events, [
    [1_704_067_200_000, 'üü', null, 1234, 9007199254740993n],
    [1_704_067_200_000, null, '', 10, null],
  ]);
});

test('the same source twice at once is refused, and once it is done it may run again', async () =>
  withWorld(async (world) => {
    const path = world.file('a.csv', mixed(200));
    const first = world.ingest(path, {domain: loose});
    await assert.rejects(world.ingest(path, {domain: loose}), {code: 'INPUT_BUSY'});
    assert.equal((await first).received, 200);
    assert.equal((await world.ingest(path, {domain: loose})).state, 'unchanged');
  }));

test('a signal ends the wait for a full log, and the next start has every row once', async () =>
  withWorld(async (world) => {
    const controller = new AbortController();
    const log = new Proxy(world.log, {
      get: (target, key) => {
        if (key !== 'append') return Reflect.get(target, key).bind(target);
        setTimeout(() => controller.abort(), 20);
        return () => Promise.reject(new PlatformError('LOG_DISK_FULL', 'full'));
      },
    });
    const path = world.file('a.csv', mixed(100));
    let counted = 0;
    const telemetry: Telemetry = {
      emit(name, event) {
        if (name === 'EventsRefused') counted += (event as TelemetryEvents['EventsRefused']).refused;
        else assert.notEqual(name, 'EventsAppended');
      },
    };
    assert.equal(
      (await world.ingest(path, {domain: loose, log, signal: controller.signal, telemetry})).state,
      'stopped',
    );
    assert.equal(counted, 100);
    assert.equal((await world.ingest(path, {domain: loose})).received, 100);
    assert.equal((await world.content()).events.length, 90);
  }));

test('a file without records is done at once, and a file of separators that are no commas is explained', async () =>
  withWorld(async (world) => {
    const empty = world.file('a.csv', 'timestamp,amount');
    assert.deepEqual(
      [(await world.ingest(empty)).state, (await world.ingest(empty)).state],
      ['finished', 'unchanged'],
    );
    const lines = world.file('b.jsonl', '\n\n');
    assert.equal(
      (await world.ingest(lines, {input: input({format: 'jsonl', orderBy: 'timestamp'})})).received,
      0,
    );
    await assert.rejects(world.ingest(world.file('c.csv', 'timestamp;amount\n1;2\n')), {
      code: 'INPUT_COLUMNS',
      hint: /by commas/,
    });
  }));

test('an unfinished stream goes on with the very same file only', async () =>
  withWorld(async (world) => {
    const options = {domain: loose, limits: {batchBytes: 900}};
    const path = world.file('a.csv', mixed(120));
    await assert.rejects(world.ingest(path, {...options, log: failingAt(world.log, 3)}), {code: 'LOG_IO'});
    const other = {...options, input: input({orderBy: 'timestamp'})};
    await assert.rejects(world.ingest(path, other), {code: 'INPUT_CHANGED', message: /order_by: none/});
    world.file('a.csv', mixed(121));
    await assert.rejects(world.ingest(path, options), {code: 'INPUT_CHANGED'});
    world.file('a.csv', mixed(120));
    assert.equal((await world.ingest(path, options)).state, 'finished');
    assert.equal((await world.content()).ledger[0]!.received, 120);
  }));

test('a short file with too many bad records ends, and a warning says so', async () =>
  withWorld(async (world) => {
    const logged: TelemetryEvents['Log'][] = [];
    const telemetry: Telemetry = {
      emit: (name, event) => {
        if (name === 'Log') logged.push(event as TelemetryEvents['Log']);
      },
    };
    const strict = domain(order());
    strict.defaults.deadLetters.budgetShare = 0.1;
    await world.ingest(world.file('fine.csv', mixed(100)), {domain: strict, telemetry});
    assert.deepEqual(logged, []);
    strict.defaults.deadLetters.budgetShare = 0.05;
    const {state} = await world.ingest(world.file('bad.csv', mixed(100)), {domain: strict, telemetry});
    assert.equal(state, 'finished');
    assert.deepEqual(logged, [
      {
        level: 'warn',
        message:
          'orders/bad.csv: 10 of 100 records were rejected, more than the budget of 5%: npx millrace dlq list shop',
        fields: {domain: 'shop', input: 'orders', rejected: 10, seen: 100},
      },
    ]);
  }));
