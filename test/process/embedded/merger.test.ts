import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import {deltaOf, minute, planOf, Rig} from './rig.ts';

async function withRig(
  more: Partial<QueryPlan>,
  partitions: number,
  run: (rig: Rig) => Promise<void>,
): Promise<void> {
  const rig = await Rig.open(planOf(more), partitions);
  try {
    await run(rig);
  } finally {
    await rig.close();
  }
}

test('a row is the sum of all deltas, and its version is twice its events', () =>
  withRig({}, 1, async (rig) => {
    rig.apply({
      cuts: [[0, 3, 30_000]],
      panes: [
        {
          startMs: 0,
          rows: [
            ['US', 2, 30],
            [null, 1, 5],
          ],
        },
      ],
    });
    assert.equal(rig.flush(), 2);
    rig.apply({
      cuts: [[0, 5, 40_000]],
      panes: [
        {
          startMs: 0,
          rows: [
            ['US', 1, 12],
            ['', 1, 1],
          ],
        },
      ],
    });
    assert.equal(rig.flush(), 2, 'only changed rows leave');
    assert.deepEqual(rig.table.read('country', 'orders', 'total', 'events', 'closed', 'version'), [
      [0, '', 1, 1, 1, false, 2],
      [0, 'US', 3, 42, 3, false, 6],
      [0, null, 1, 5, 1, false, 2],
    ]);
  }));

test('groups of one kernel generation keep their ids over several deltas', () =>
  withRig({}, 1, async (rig) => {
    const first = deltaOf({
      cuts: [[0, 2, 0]],
      panes: [
        {
          startMs: 0,
          rows: [
            ['US', 1, 1],
            ['DE', 1, 2],
          ],
        },
      ],
    });
    const second = {
      ...deltaOf({
        cuts: [[0, 4, 0]],
        panes: [
          {
            startMs: 0,
            rows: [
              ['x', 1, 10],
              ['y', 1, 20],
            ],
          },
        ],
      }),
      generation: first.generation,
      firstGroup: 2,
      newGroups: [['FR']],
    };
    second.panes[0]!.groups.set([1, 2]);
    rig.merger.apply(first, 0);
    rig.merger.apply(second, 0);
    rig.flush();
    assert.deepEqual(rig.table.read('country', 'total'), [
      [0, 'DE', 12],
      [0, 'FR', 20],
      [0, 'US', 1],
    ]);
  }));

test('one emission is in flight; changes meanwhile leave together after its acknowledgement', () =>
  withRig({}, 1, async ({merger}) => {
    merger.apply(deltaOf({cuts: [[0, 1, 0]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]}), 0);
    const first = merger.takeRows()!;
    merger.apply(deltaOf({cuts: [[0, 2, 0]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]}), 0);
    merger.apply(deltaOf({cuts: [[0, 3, 0]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]}), 0);
    assert.equal(merger.takeRows(), undefined);
    merger.acknowledge(first.sequence);
    const second = merger.takeRows()!;
    assert.equal(second.count, 1);
    assert.deepEqual(second.columns.at(-1), [6]);
  }));

test('a window closes when the minimum watermark of the partitions passes its end, and says so once', () =>
  withRig({watermarkMs: 10_000}, 2, async (rig) => {
    rig.apply({
      cuts: [
        [0, 1, 5000],
        [1, 1, 6000],
      ],
      panes: [{startMs: 0, rows: [['US', 2, 2]]}],
    });
    rig.flush();
    rig.apply({
      cuts: [
        [0, 2, 70_000],
        [1, 2, 69_999],
      ],
      panes: [{startMs: minute, rows: [['US', 2, 2]]}],
    });
    rig.flush();
    assert.deepEqual(rig.table.read('closed', 'version'), [
      [0, false, 4],
      [1, false, 4],
    ]);
    rig.apply({cuts: [[1, 3, 70_000]], panes: [{startMs: minute, rows: [['US', 1, 1]]}]});
    assert.equal(rig.flush(), 2);
    assert.deepEqual(rig.table.read('closed', 'version'), [
      [0, true, 5],
      [1, false, 6],
    ]);
    assert.equal(rig.flush(), 0);
  }));

test('an idle partition holds nothing back; when all are idle the largest watermark closes', () =>
  withRig({idleMs: 30_000}, 2, async (rig) => {
    rig.apply({
      cuts: [
        [0, 1, 1000],
        [1, 1, 2000],
      ],
      panes: [{startMs: 0, rows: [['US', 2, 2]]}],
    });
    rig.nowMs = 20_000;
    rig.apply({cuts: [[0, 2, 90_000]], panes: [{startMs: minute, rows: [['US', 1, 1]]}]});
    rig.flush();
    assert.deepEqual(rig.table.read('closed'), [
      [0, false],
      [1, false],
    ]);
    rig.nowMs = 30_000;
    rig.flush();
    assert.deepEqual(
      rig.table.read('closed'),
      [
        [0, true],
        [1, false],
      ],
      'partition 1 is idle',
    );
    rig.merger.time.observeEnd('shop.purchase', 1, 5);
    rig.apply({cuts: [[0, 3, 200_000]]});
    rig.flush();
    assert.deepEqual(
      rig.table.read('closed'),
      [
        [0, true],
        [1, false],
      ],
      'partition 1 has records to read',
    );
    rig.apply({cuts: [[1, 5, 3000]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]});
    rig.flush();
    assert.deepEqual(
      rig.table.read('closed', 'version'),
      [
        [0, true, 7],
        [1, false, 2],
      ],
      'closed stays closed',
    );
    rig.nowMs = 60_000;
    rig.flush();
    assert.deepEqual(rig.table.read('closed'), [
      [0, true],
      [1, true],
    ]);
  }));

test('emit: close sends a row when its window closes, and again for a correction', () =>
  withRig({emit: 'close'}, 1, async (rig) => {
    rig.apply({cuts: [[0, 1, 1000]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]});
    assert.equal(rig.flush(), 0);
    await rig.checkpoint();
    rig.restart();
    assert.equal(rig.flush(), 0);
    rig.apply({cuts: [[0, 2, 60_000]], panes: [{startMs: minute, rows: [['US', 1, 1]]}]});
    assert.equal(rig.flush(), 1);
    rig.apply({cuts: [[0, 3, 60_000]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]});
    assert.equal(rig.flush(), 1);
    assert.deepEqual(rig.table.read('version'), [[0, 5]]);
  }));

test('a sliding window is the sum of its panes and of its own events', () =>
  withRig({window: {type: 'sliding', sizeMs: 3 * minute, slideMs: minute}}, 1, async (rig) => {
    rig.apply({
      cuts: [[0, 3, 130_000]],
      panes: [
        {startMs: 0, rows: [['US', 1, 1]]},
        {startMs: 2 * minute, rows: [['US', 2, 20]]},
        {
          own: true,
          startMs: minute,
          endMs: 4 * minute,
          rows: [
            ['US', 1, 400],
            ['DE', 1, 500],
          ],
        },
      ],
    });
    rig.flush();
    const rows = [
      [-2, 'US', 1, 1],
      [-1, 'US', 1, 1],
      [0, 'US', 21, 3],
      [1, 'DE', 500, 1],
      [1, 'US', 420, 3],
      [2, 'US', 20, 2],
    ];
    assert.deepEqual(rig.table.read('country', 'total', 'events'), rows);
    await rig.checkpoint();
    rig.restart();
    rig.apply({cuts: [[0, 4, 130_000]], panes: [{startMs: minute, rows: [['US', 1, 1000]]}]});
    rig.flush();
    const after = Object.fromEntries(
      rig.table.read('country', 'total').map(([at, who, sum]) => [`${at}${who}`, sum]),
    );
    assert.deepEqual(after, {'-2US': 1, '-1US': 1001, '0US': 1021, '1US': 1420, '1DE': 500, '2US': 20});
  }));

test('sums are exact around 2^53 and 2^63; a total that leaves 64 bits is NULL and told once', () =>
  withRig({}, 1, async (rig) => {
    const max = Number.MAX_SAFE_INTEGER;
    const int64Max = 2n ** 63n - 1n;
    rig.apply({
      cuts: [[0, 9, 0]],
      panes: [
        {
          startMs: 0,
          rows: [
            ['a', 1, max],
            ['b', 1, int64Max],
            ['c', 1, -int64Max],
            ['d', 1, max],
          ],
        },
      ],
    });
    rig.apply({
      cuts: [[0, 12, 0]],
      panes: [
        {
          startMs: 0,
          rows: [
            ['a', 1, 2],
            ['b', 1, 1],
            ['c', 1, -1],
            ['d', 1, 1],
          ],
        },
      ],
    });
    rig.flush();
    const totals = () => rig.table.read('country', 'total').map(([, country, total]) => [country, total]);
    assert.deepEqual(totals(), [
      ['a', 2n ** 53n + 1n],
      ['b', null],
      ['c', -(2n ** 63n)],
      ['d', 2 ** 53],
    ]);
    const failures = rig.merger.takeFailures();
    assert.deepEqual(
      failures.map(({measure, code}) => [measure, code]),
      [['total', 'SUM_OVERFLOW']],
    );
    await rig.checkpoint();
    rig.restart();
    rig.apply({
      cuts: [[0, 16, 0]],
      panes: [
        {
          startMs: 0,
          rows: [
            ['a', 1, -2],
            ['b', 1, -1],
            ['c', 1, 1],
            ['d', 1, -(2n ** 53n)],
          ],
        },
      ],
    });
    rig.flush();
    assert.deepEqual(totals(), [
      ['a', max],
      ['b', int64Max],
      ['c', -int64Max],
      ['d', 0],
    ]);
  }));

test('minima and maxima beyond 2^53 are exact', () => {
  const arg = {kind: 'column', type: 'long', name: 'amount'} as const;
  return withRig(
    {
      accumulators: [
        {op: 'count', filter: null, arg: null},
        {op: 'min', arg, type: 'long'},
        {op: 'max', arg, type: 'long'},
      ],
      measures: [
        {name: 'least', column: 'least', type: 'long', fn: 'value', accumulator: 1},
        {name: 'most', column: 'most', type: 'long', fn: 'value', accumulator: 2},
      ],
    },
    1,
    async (rig) => {
      const nothing = [Number.NaN, Number.NaN];
      rig.apply({
        cuts: [[0, 2, 0]],
        panes: [
          {
            startMs: 0,
            rows: [
              ['a', 1, 7, 7],
              ['b', 1, ...nothing],
            ],
          },
        ],
      });
      rig.flush();
      assert.deepEqual(rig.table.read('least', 'most'), [
        [0, 7, 7],
        [0, null, null],
      ]);
      const far = 2n ** 60n;
      rig.apply({
        cuts: [[0, 3, 0]],
        panes: [
          {
            startMs: 0,
            rows: [
              ['a', 1, -far, far],
              ['b', 1, 3, 3],
            ],
          },
        ],
      });
      rig.apply({cuts: [[0, 4, 0]], panes: [{startMs: 0, rows: [['a', 1, -far - 1n, far - 1n]]}]});
      rig.apply({
        cuts: [[0, 5, 0]],
        panes: [
          {
            startMs: 0,
            rows: [
              ['a', 1, 0, 0],
              ['b', 1, ...nothing],
            ],
          },
        ],
      });
      rig.flush();
      assert.deepEqual(rig.table.read('least', 'most'), [
        [0, -far - 1n, far],
        [0, 3, 3],
      ]);
    },
  );
});

test('a restart emits what the sink may lack and nothing else', () =>
  withRig({}, 1, async (rig) => {
    const {merger} = rig;
    rig.apply({cuts: [[0, 1, 0]], panes: [{startMs: 0, rows: [['marked', 1, 1]]}]});
    rig.flush();
    await rig.checkpoint();
    rig.apply({cuts: [[0, 3, 0]], panes: [{startMs: 0, rows: [['in flight', 1, 1]]}]});
    const lost = merger.takeRows()!;
    assert.equal(lost.count, 1);
    rig.apply({cuts: [[0, 4, 0]], panes: [{startMs: 0, rows: [['changed', 1, 1]]}]});
    await rig.checkpoint();
    rig.restart();
    assert.equal(rig.flush(), 2);
    assert.deepEqual(
      rig.table.read('country').map(([, country]) => country),
      ['changed', 'in flight', 'marked'],
    );
    await rig.settle();
    rig.restart();
    assert.equal(rig.flush(), 0);
  }));

test('acknowledged rows stay pending until a mark stands after them', () =>
  withRig({}, 1, async (rig) => {
    const {merger} = rig;
    rig.apply({cuts: [[0, 1, 0]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]});
    const rows = merger.takeRows()!;
    const epoch = merger.acknowledge(rows.sequence);
    assert.ok(epoch !== undefined && epoch <= merger.committedEpoch);
    await rig.checkpoint();
    rig.restart();
    assert.equal(rig.flush(), 1, 'the sink never said that the mark is there');
  }));

test('rows that are acknowledged only after the checkpoint that was made meanwhile are marked all the same', () =>
  withRig({}, 1, async (rig) => {
    rig.apply({cuts: [[0, 1, 0]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]});
    await rig.settle();
    rig.apply({cuts: [[0, 2, 0]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]});
    const rows = rig.merger.takeRows()!;
    await rig.checkpoint();
    const epoch = rig.merger.acknowledge(rows.sequence)!;
    assert.equal(epoch, rig.merger.committedEpoch);
    assert.ok(!rig.merger.isSettled(), 'nobody answered yet that the mark is there');
    rig.merger.marked(epoch);
    await rig.settle();
    assert.ok(rig.merger.isSettled());
    rig.restart();
    assert.equal(rig.flush(), 0);
  }));

test('the state after a crash is that of the offsets in the checkpoint', () =>
  withRig({}, 1, async (rig) => {
    rig.apply({cuts: [[0, 1, 1000]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]});
    await rig.checkpoint();
    rig.apply({cuts: [[0, 2, 2000]], panes: [{startMs: 0, rows: [['US', 1, 10]]}]});
    rig.flush();
    rig.restart();
    assert.equal(rig.merger.time.partitions[0]!.offset, 1);
    assert.equal(rig.merger.time.partitions[0]!.maxTimeMs, 1000);
    rig.apply({cuts: [[0, 2, 2000]], panes: [{startMs: 0, rows: [['US', 1, 10]]}]});
    rig.flush();
    assert.deepEqual(rig.table.read('total', 'version'), [[0, 11, 4]]);
  }));

test('closed state leaves memory, is read back for a correction, and is deleted past the horizon of every partition', () =>
  withRig({correctForMs: 10 * minute}, 2, async (rig) => {
    rig.apply({
      cuts: [
        [0, 1, 0],
        [1, 1, 0],
      ],
      panes: [
        {
          startMs: 0,
          rows: [
            ['US', 2, 2],
            ['DE', 1, 7],
          ],
        },
      ],
    });
    rig.apply({
      cuts: [
        [0, 2, 2 * minute],
        [1, 2, 2 * minute],
      ],
      panes: [{startMs: 2 * minute, rows: [['FR', 2, 2]]}],
    });
    await rig.settle();
    rig.apply({cuts: [[0, 3, 2 * minute]]});
    assert.equal(rig.merger.groups.count, 1, 'US and DE left with their pane');
    assert.equal(rig.keys('p/0/').length, 2);
    rig.apply({cuts: [[0, 4, 2 * minute]], panes: [{startMs: 0, rows: [['US', 1, 100]]}]});
    await rig.settle();
    assert.deepEqual(rig.table.read('country', 'total', 'version'), [
      [0, 'DE', 7, 3],
      [0, 'US', 102, 7],
      [2, 'FR', 2, 4],
    ]);
    rig.apply({
      cuts: [
        [0, 5, 30 * minute],
        [1, 3, 11 * minute - 1],
      ],
    });
    await rig.settle();
    assert.equal(rig.keys('p/0/').length, 2, 'partition 1 holds it');
    rig.apply({cuts: [[1, 4, 11 * minute]]});
    await rig.settle();
    assert.equal(rig.keys('p/0/').length, 0);
    assert.equal(rig.keys('p/120000/').length, 2);
  }));

test('an empty partition holds state until a mark moves it', () =>
  withRig({correctForMs: 0}, 2, async (rig) => {
    rig.apply({cuts: [[0, 1, 0]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]});
    rig.apply({cuts: [[0, 2, 60 * minute]]});
    rig.nowMs = 60_000;
    await rig.settle();
    assert.equal(rig.keys('p/').length, 2);
    rig.apply({cuts: [[1, 1, 60 * minute]]});
    await rig.settle();
    assert.equal(rig.keys('p/').length, 0);
  }));

test('a changed definition is refused with the way out', () =>
  withRig({}, 1, async (rig) => {
    rig.plan = {...rig.plan, fingerprint: 'edited'};
    assert.throws(() => rig.restart(), {code: 'QUERY_CHANGED', hint: 'npx millrace rebuild shop.revenue'});
  }));

test('limits stop the query that reaches them', async () => {
  const limits = {groups: 2, memoryBytes: 2 ** 28, stateDiskBytes: 2 ** 28};
  const rows = (names: string[]) => ({
    cuts: [[0, 1, 0]] as [number, number, number][],
    panes: [{startMs: 0, rows: names.map((name): [string, number, number] => [name, 1, 1])}],
  });
  await withRig({limits}, 1, async (rig) => {
    assert.throws(() => rig.apply(rows(['a', 'b', 'c'])), {
      code: 'QUERY_LIMIT',
      message: /more than 2 groups/,
    });
  });
  await withRig({limits: {...limits, memoryBytes: 1000}}, 1, async (rig) => {
    assert.throws(() => rig.apply(rows(['a'])), {code: 'QUERY_LIMIT', message: /memory/});
  });
  await withRig({limits: {...limits, stateDiskBytes: 60}}, 2, async (rig) => {
    rig.apply(rows(['a', 'b']));
    await assert.rejects(rig.checkpoint(), {
      code: 'QUERY_LIMIT',
      message: /shop.purchase\/1 has no event yet/,
    });
  });
});

test('a query without dimensions has one group', () =>
  withRig({groupBy: []}, 1, async (rig) => {
    const delta = deltaOf({cuts: [[0, 2, 0]], panes: [{startMs: 0, rows: [['the one', 2, 5]]}]});
    rig.merger.apply({...delta, newGroups: []}, 0);
    rig.flush();
    assert.deepEqual(rig.table.read('total'), [[0, 5]]);
    await rig.checkpoint();
    rig.restart();
    rig.merger.apply(
      {...deltaOf({cuts: [[0, 3, 0]], panes: [{startMs: 0, rows: [['the one', 1, 5]]}]}), newGroups: []},
      0,
    );
    rig.flush();
    assert.deepEqual(rig.table.read('total'), [[0, 10]]);
  }));

test('restored panes of sliding windows leave with their horizon, too', () =>
  withRig(
    {window: {type: 'sliding', sizeMs: 3 * minute, slideMs: minute}, correctForMs: minute},
    1,
    async (rig) => {
      rig.apply({cuts: [[0, 1, 0]], panes: [{startMs: 0, rows: [['US', 1, 1]]}]});
      rig.apply({cuts: [[0, 2, 2 * minute]]});
      await rig.settle();
      rig.restart();
      rig.apply({cuts: [[0, 3, 60 * minute]]});
      await rig.settle();
      assert.deepEqual(rig.table.read('closed'), [
        [-2, true],
        [-1, true],
        [0, true],
      ]);
      assert.deepEqual([rig.keys('p/').length, rig.merger.groups.count, rig.merger.openWindows()], [0, 0, 0]);
    },
  ));
