/**
 * Expected results equal what the engine makes, on many seeds with every fault on: generator, log and engine begin again from what is
 * durable, at places that differ from seed to seed, and rate and faults change on the way. MILLRACE_SEEDS=2000 asks for more,
 * MILLRACE_SEED_FIRST for others. Real kills are in kill.test.ts.
 */
import assert from 'node:assert/strict';
import {rmSync} from 'node:fs';
import {test} from 'node:test';
import {systemClock} from '../../src/clock.ts';
import type {LookupRows} from '../../src/generate/types.ts';
import {readDeadLetters} from '../../src/ingest/deadletters.ts';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import type {Domain} from '../../src/model/types.ts';
import {compareExpected} from '../../src/platform/generate-compare.ts';
import {expectedOf} from '../../src/platform/generate-expected.ts';
import {type GenerateContext, GeneratorSource} from '../../src/platform/generate-source.ts';
import {type GeneratorPosition, generatorSource, positionKey} from '../../src/platform/generate-types.ts';
import {buildPlans} from '../../src/process/plan/build.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import type {AvroSchema} from '../../src/schema/types.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {openTransforms} from '../../src/transforms/open.ts';
import {Running} from '../support/engine.ts';
import type {EventLog} from '../support/log.ts';
import {loadDomain} from '../support/platform.ts';
import {scratchDir} from '../support/scratch.ts';
import {itemsCsv, itemsSnapshot, shopYaml} from './world.ts';

const seeds = Number(process.env.MILLRACE_SEEDS ?? 190);
const first = Number(process.env.MILLRACE_SEED_FIRST ?? 1);
const events = 700;

const lookupRows = (): LookupRows[] => {
  const {name, id, columns, rows} = itemsSnapshot();
  const values = [...rows.values()];
  return [
    {
      name,
      id,
      keys: [...rows.keys()],
      columns: Object.fromEntries(columns.map((column, at) => [column, values.map((row) => row[at]!)])),
    },
  ];
};

/** One life of the log's writer and of the generator, up to the event `untilN`. */
async function generate(
  dir: string,
  counter: SharedArrayBuffer,
  domain: Domain,
  partitions: number,
  untilN: number,
  faults: string | undefined,
): Promise<void> {
  const log = openLogWriter(dir, {counter});
  const schemaIds = Object.fromEntries(domain.eventTypes.map(({topic}, index) => [topic, index + 1]));
  for (const topic of Object.keys(schemaIds)) log.ensureTopic(topic, partitions);
  log.ensureTopic(`dlq.${domain.name}`, 1);
  const context: GenerateContext = {
    domain,
    log,
    partitions,
    schemaIds: {...schemaIds, [`dlq.${domain.name}`]: 99},
    transforms: openTransforms([domain], {telemetry: noTelemetry, develop: false}),
    clock: systemClock,
    telemetry: noTelemetry,
    signal: new AbortController().signal,
  };
  const change = faults === undefined ? {} : {faults, perSecond: 3};
  const source = new GeneratorSource(context, {
    generate: domain.generate!,
    lookups: lookupRows(),
    fast: true,
    untilN,
    count: null,
    forMs: null,
    startMs: null,
    change,
  });
  await source.run();
  assert.equal(source.status().events, untilN);
  await log.close();
}

async function check(seed: number): Promise<string[]> {
  const domain = await loadDomain(shopYaml(seed), {'lookups/items.csv': itemsCsv()});
  const dir = scratchDir('seeds');
  const counter = new SharedArrayBuffer(4);
  const partitions = 1 + (seed % 3);
  const plans = buildPlans([domain], () => 1);
  const schemas = new Map<number, AvroSchema>(
    domain.eventTypes.map((eventType, index) => [index + 1, avroSchema(eventType)]),
  );
  const log = {dir, counter, schemas} as unknown as EventLog;
  const running = new Running({plans, log, lookups: [itemsSnapshot()], workers: 1});
  try {
    const stops = [events / 7 + ((seed * 37) % 300), events];
    await generate(dir, counter, domain, partitions, Math.floor(stops[0]!), undefined);
    await running.start();
    await running.turns(seed % 5);
    if (seed % 2 === 0) await running.crash();
    await generate(
      dir,
      counter,
      domain,
      // Topics that exist keep their number, whatever the configuration wants by now.
      partitions + (seed % 2),
      stops[1]!,
      seed % 2 === 0 ? 'late=20%,corrupt=0%' : undefined,
    );
    await running.turns(seed % 7);
    if (seed % 3 === 0) await running.crash();
    await running.settle();
    const reader = openLogReader(dir);
    try {
      const position = JSON.parse(reader.progress(positionKey(domain.name))!) as GeneratorPosition;
      assert.equal(position.n, events);
      const expected = await expectedOf({
        domain,
        generate: domain.generate!,
        lookups: lookupRows(),
        partitions,
        position,
        plans,
        snapshots: [itemsSnapshot()],
      });
      const problems = plans.flatMap((plan) =>
        compareExpected(
          plan,
          running.told.get(plan.id)!.changelog.read(),
          expected.queries.get(plan.id)!.rows,
        ),
      );
      for (const plan of plans)
        for (const counts of running.counts(plan.id)) {
          const wanted = expected.queries
            .get(plan.id)!
            .counts.find(({topic, partition}) => topic === counts.topic && partition === counts.partition);
          for (const key of [
            'read',
            'aggregated',
            'corrected',
            'lateInPart',
            'filtered',
            'late',
            'dead',
          ] as const)
            if (counts[key] !== (wanted?.[key] ?? 0))
              problems.push(
                `${plan.id} ${counts.topic}/${counts.partition}: ${key} is ${counts[key]}, wanted ${wanted?.[key]}`,
              );
        }
      const letters: [string, string][] = [];
      for await (const {id, code} of readDeadLetters(reader, domain.name)) letters.push([id, code]);
      assert.deepEqual(new Map(letters.sort()), new Map([...expected.letters].sort()));
      for (const [type, counts] of expected.counts.entries()) {
        const line = reader
          .ledger()
          .find(
            ({eventType, source}) =>
              eventType === domain.eventTypes[type]!.name && source === generatorSource,
          );
        const {received = 0, appended = 0, duplicate = 0, rejected = 0} = line ?? {};
        assert.deepEqual({received, appended, duplicate, rejected}, counts);
      }
      assert.ok(
        expected.letters.size > 0 && expected.counts.some(({duplicate}) => duplicate > 0),
        'the faults are there',
      );
      return problems;
    } finally {
      reader.close();
    }
  } finally {
    await running.close();
    rmSync(dir, {recursive: true});
  }
}

test(`what is made of generated events is what must be, on ${seeds} seeds, with restarts and every fault on`, async () => {
  let next = first;
  const walk = async () => {
    while (next < first + seeds) {
      const seed = next++;
      assert.deepEqual(await check(seed), [], `seed ${seed}`);
    }
  };
  // Much of a seed is waiting for threads that start and end.
  await Promise.all(Array.from({length: 6}, walk));
});
