/** What every checkpoint store promises, whichever: the suite of checkpoint-stores.test.ts. */
import assert from 'node:assert/strict';
import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {type TestContext, test} from 'node:test';
import {
  type CheckpointPlace,
  openStateReader,
  openStateStore,
  type StateStore,
  startCheckpointWriter,
  type WriterOptions,
} from '../../src/process/embedded/statestore.ts';
import {commitOf, contentOf, expectedAfter} from './checkpoint-commits.ts';

/** One store, empty at first, that several machines can reach. */
export type SharedStore = {
  /** Another machine's way to it. */
  machine(): CheckpointPlace;
  /** Failpoints between the steps of a commit. */
  points: string[];
  /** How often a process is killed at one of them. */
  kills: number;
};

export const leaseMs = 1_000;
/** A take-over takes a lease, a look at it, and what opening a store and a process takes on a busy machine. */
const takeOverMsMax = 10_000;

/** Runs `body` as the owner. */
export async function asOwner<T>(
  place: CheckpointPlace,
  body: (store: StateStore, epoch: number) => Promise<T>,
  options: WriterOptions = {},
): Promise<T> {
  const writer = await startCheckpointWriter(place, {leaseMs, ...options});
  const store = openStateStore(place.dir, writer.connect());
  try {
    return await body(store, writer.epoch);
  } finally {
    store.close();
    await writer.close();
  }
}

/** What a machine without a copy finds. */
export const contentAt = (place: CheckpointPlace): Promise<string> =>
  asOwner(place, async (store) => contentOf(store));

/** A process that owns a store and commits. */
export class Committer {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  #heard: (() => void)[] = [];

  constructor(
    t: TestContext,
    options: {
      place: CheckpointPlace;
      until?: number;
      isStandby?: boolean;
      pauseMs?: number;
      leaseMs?: number;
    },
    failpoint = '',
  ) {
    const script = join(import.meta.dirname, 'checkpoint-child.ts');
    this.child = spawn(process.execPath, [script, JSON.stringify({leaseMs, ...options})], {
      env: {...process.env, ...(failpoint ? {MILLRACE_FAILPOINT: failpoint} : {})},
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => this.child.kill('SIGKILL'));
    createInterface({input: this.child.stdout!}).on('line', (line) => {
      this.lines.push(line);
      for (const wake of this.#heard.splice(0)) wake();
    });
  }

  /** The epoch of the last commit that was acknowledged. */
  get acknowledged(): number {
    return Number(this.lines.findLast((line) => line.startsWith('committed'))?.split(' ')[1] ?? 0);
  }

  /** Waits for a line. */
  async heard(line: string | RegExp, forMs = 60_000): Promise<string> {
    const untilMs = performance.now() + forMs;
    for (;;) {
      const found = this.lines.find((each) =>
        typeof line === 'string' ? each.startsWith(line) : line.test(each),
      );
      if (found !== undefined) return found;
      const leftMs = untilMs - performance.now();
      assert.ok(leftMs > 0, `no line ${line} within ${forMs} ms: ${this.lines.slice(-3).join(', ')}`);
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        new Promise<void>((resolve) => this.#heard.push(resolve)),
        new Promise((resolve) => {
          timer = setTimeout(resolve, leftMs);
        }),
      ]);
      clearTimeout(timer);
    }
  }

  async ended(): Promise<NodeJS.Signals | number> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    return this.child.signalCode ?? this.child.exitCode!;
  }
}

export function checkpointStoreSuite(name: string, create: (t: TestContext) => SharedStore): void {
  test(`${name}: what one owner committed and dropped is what the next one finds, on another machine, too`, async (t) => {
    const shared = create(t);
    await asOwner(shared.machine(), async (store, owner) => {
      assert.equal(owner, 1);
      for (let epoch = 1; epoch <= 20; epoch++) await store.commit(commitOf(epoch));
      await store.commit({query: 'other', epoch: 5, meta: '{}', puts: [], deletes: [], journal: ['kept']});
      await store.drop('other');
      assert.equal(contentOf(store), expectedAfter(20));
    });
    await asOwner(shared.machine(), async (store, owner) => {
      assert.equal(owner, 2);
      assert.equal(contentOf(store), expectedAfter(20));
      assert.deepEqual(store.queries(), ['q']);
      assert.deepEqual(store.journal('other'), ['kept']);
      await store.commit(commitOf(21));
    });
    assert.equal(await contentAt(shared.machine()), expectedAfter(21));
  });

  test(`${name}: an epoch that does not grow is refused alone`, async (t) => {
    await asOwner(create(t).machine(), async (store) => {
      const commit = (query: string, epoch: number) =>
        store.commit({query, epoch, meta: '{}', puts: [], deletes: []});
      const results = await Promise.allSettled([
        commit('a', 3),
        commit('a', 3),
        commit('b', 1),
        commit('a', 4),
      ]);
      assert.deepEqual(
        results.map(({status}) => status),
        ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
      );
    });
  });

  test(`${name}: a second owner is refused and told who the first one is; of many that come at once one wins`, async (t) => {
    const shared = create(t);
    await asOwner(shared.machine(), async () => {
      await assert.rejects(
        startCheckpointWriter(shared.machine(), {leaseMs}),
        (error: Error & {code: string}) => {
          assert.equal(error.code, 'LOCKED');
          assert.match(error.message, new RegExp(`process ${process.pid}\\b`));
          return true;
        },
      );
    });
    const several = await Promise.allSettled(
      [1, 2, 3].map(() => startCheckpointWriter(shared.machine(), {leaseMs})),
    );
    const writers = several.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    assert.equal(writers.length, 1);
    for (const each of several)
      if (each.status === 'rejected') assert.equal((each.reason as {code: string}).code, 'LOCKED');
    await writers[0]!.close();
  });

  test(`${name}: after kill -9 the next owner need not wait, and finds all that was acknowledged`, async (t) => {
    const shared = create(t);
    const longMs = 60_000;
    const first = new Committer(t, {place: shared.machine(), leaseMs: longMs});
    await first.heard('committed 5');
    first.child.kill('SIGKILL');
    await first.ended();
    const startMs = performance.now();
    const content = await contentAt(shared.machine());
    assert.ok(
      performance.now() - startMs < longMs / 2,
      'a process of this machine that is gone is not waited for',
    );
    assert.ok([0, 1].some((more) => content === expectedAfter(first.acknowledged + more)));
  });

  test(`${name}: a standby takes over from an owner that sleeps; when it wakes it is fenced, and changes nothing`, async (t) => {
    const shared = create(t);
    const first = new Committer(t, {place: shared.machine(), pauseMs: 100});
    await first.heard('committed 5');
    const second = new Committer(t, {place: shared.machine(), pauseMs: 20, isStandby: true});
    await second.heard('waiting');
    const startMs = performance.now();
    await sleepOutside(first, second, takeOverMsMax);
    t.diagnostic(
      `${name}: taken over after ${Math.round(performance.now() - startMs)} ms, lease ${leaseMs} ms`,
    );
    await second.heard('committed');
    first.child.kill('SIGCONT');
    await first.heard('fenced FENCED');
    await first.heard('refused FENCED');
    assert.equal(await first.ended(), 0);
    second.child.kill('SIGTERM');
    await second.ended();
    const content = await contentAt(shared.machine());
    assert.ok([0, 1].some((more) => content === expectedAfter(second.acknowledged + more)));
    assert.ok(
      second.acknowledged > first.acknowledged,
      `${second.lines.slice(-4)} against ${first.lines.slice(-4)}`,
    );
  });

  test(`${name}: kill -9 between any two steps loses nothing that was acknowledged, and leaves no half of a commit`, async (t) => {
    const shared = create(t);
    const place = shared.machine();
    let acknowledged = 0;
    for (let round = 0; round < shared.kills; round++) {
      const point = `${shared.points[round % shared.points.length]}:${1 + ((round * 7) % 11)}`;
      const child = new Committer(t, {place, until: acknowledged + 12}, point);
      const end = await child.ended();
      acknowledged = Math.max(acknowledged, child.acknowledged);
      const reader = openStateReader(place.dir);
      const there = reader.load('q')?.epoch ?? 0;
      reader.close();
      assert.ok(end === 'SIGKILL' || /snapshot/.test(point), `${point}: ${end}`);
      // A copy may be behind the bucket; the next owner is not.
      assert.ok(there <= acknowledged + 1, point);
    }
    const content = await contentAt(shared.machine());
    assert.ok(
      [0, 1].some((more) => content === expectedAfter(acknowledged + more)),
      `as after ${acknowledged} commits`,
    );
    const beside = join(place.dir, 'beside/file');
    if (place.remote && existsSync(beside)) assert.ok(Number(readFileSync(beside, 'utf8')) >= acknowledged);
  });
}

/** Stops the first until the second owns: one that was stopped inside a transaction of a file holds that, and goes on a moment. */
async function sleepOutside(first: Committer, second: Committer, forMs: number): Promise<void> {
  for (let attempt = 0; attempt < 5; attempt++) {
    first.child.kill('SIGSTOP');
    const owns = await second.heard('owner', forMs).then(
      () => true,
      () => false,
    );
    if (owns) return;
    first.child.kill('SIGCONT');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail('the second never became the owner');
}
