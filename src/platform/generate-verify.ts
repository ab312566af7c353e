/** Generated events against what became of them: rows in sinks, dead letters, ledger. */
import {once} from 'node:events';
import {Worker} from 'node:worker_threads';
import {PlatformError} from '../errors.ts';
import {generatorFingerprint} from '../generate/generator.ts';
import {readDeadLetters} from '../ingest/deadletters.ts';
import {openLog} from '../log/open.ts';
import type {LogReader} from '../log/types.ts';
import {plainGenerate} from '../model/generate.ts';
import {newPartitionsOf} from '../model/log.ts';
import type {Domain} from '../model/types.ts';
import type {Ledger} from '../observe/ledger.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {LookupSnapshot} from '../process/types.ts';
import {lookupRows} from './generate.ts';
import {compareExpected, normalRows} from './generate-compare.ts';
import type {Expected, ExpectedInput} from './generate-expected.ts';
import {type GeneratorPosition, generatorSource, positionKey} from './generate-types.ts';
import {createLookupStore, type LookupStore} from './lookups.ts';
import type {RunningPlatform} from './runtime.ts';

/** What was compared and what differs; JSON-serialisable. */
export type Verification = {
  domain: string;
  run: number;
  seed: number;
  events: number;
  /** What was compared: a table in a sink, dead letters, lines of the ledger. */
  checks: {what: string; compared: number; differences: string[]}[];
  differences: number;
};

/** The way out of everything that stands against a comparison. Another environment would have the same topics wherever its directory is. */
const anew = (domain: string): string =>
  `use a directory of its own, with everything in it: mkdir /tmp/try && cp -r config /tmp/try && npx millrace generate ${domain} --config /tmp/try --env dev --count 10000 --fast --verify`;
/** The obvious evaluator keeps every event. */
const eventsMax = 2_000_000;
/** Differences of one check that are listed. */
const listedMax = 50;

/**
 * Compares everything that the generator of a domain has made so far with what the platform made of it. The platform must be idle.
 * @throws VERIFY_IMPOSSIBLE when the events cannot be made again, or others wrote to the same topics
 */
export async function verifyGenerated(running: RunningPlatform, domain: Domain): Promise<Verification> {
  const {dirs, platform, outputs, engine} = running;
  const log = await openLog(dirs.source);
  try {
    const position = positionOf(log, domain.name);
    const generate = {...(domain.generate ?? plainGenerate), seed: position.seed};
    refuse(domain, position, log);
    const plans: QueryPlan[] = [];
    const checks: Verification['checks'] = [];
    for (const {name} of domain.aggregations) {
      const plan = engine.plan(`${domain.name}.${name}`);
      const state = engine.status().find(({query}) => query === `${domain.name}.${name}`);
      if (plan && state?.state === 'running') plans.push(plan);
      else
        checks.push({
          what: `query ${name}`,
          compared: 0,
          differences: [`it is ${state?.state ?? 'not there'}: ${state?.reason?.message ?? ''}`],
        });
    }
    const lookups = createLookupStore(`${dirs.state}/lookups`);
    const rows = await lookupRows(domain, generate, lookups);
    if (
      generatorFingerprint(domain, generate, new Map(rows.map((each) => [each.name, each]))) !==
      position.fingerprint
    )
      throw new PlatformError('VERIFY_IMPOSSIBLE', 'the configuration makes other events than it did', {
        hint: anew(domain.name),
      });
    const expected = await expectedBeside({
      domain,
      generate,
      lookups: rows,
      partitions: Object.fromEntries(
        domain.eventTypes.map(({topic}) => [topic, log.partitions(topic) || newPartitionsOf(platform)]),
      ),
      position,
      plans,
      snapshots: await snapshotsOf(domain, lookups),
    });
    for (const plan of plans)
      for (const sink of plan.sinks) {
        const found = await outputs.rows(sink, plan.table, Number.MAX_SAFE_INTEGER);
        const what = `rows of ${plan.query} in ${sink}`;
        if (!found) continue;
        const wanted = expected.queries.get(plan.id)!.rows;
        checks.push({
          what,
          compared: wanted.length,
          differences: compareExpected(plan, normalRows(plan.table.columns, found), wanted),
        });
      }
    checks.push(await compareLetters(log, domain.name, expected));
    checks.push(...compareLedger(running.ledger(), domain, plans, expected));
    const differences = checks.reduce((sum, check) => sum + check.differences.length, 0);
    for (const check of checks)
      if (check.differences.length > listedMax) {
        const more = check.differences.length - listedMax;
        check.differences = [...check.differences.slice(0, listedMax), `and ${more} more`];
      }
    return {
      domain: domain.name,
      run: position.run,
      seed: generate.seed,
      events: position.n,
      checks,
      differences,
    };
  } finally {
    log.close();
  }
}

function positionOf(log: LogReader, domain: string): GeneratorPosition {
  const text = log.progress(positionKey(domain));
  if (text === undefined)
    throw new PlatformError('VERIFY_IMPOSSIBLE', `nothing was generated for ${domain} yet`, {
      hint: `npx millrace generate ${domain} --count 10000 --fast --verify`,
    });
  return JSON.parse(text) as GeneratorPosition;
}

/** What stands against making the same events again. */
function refuse(domain: Domain, {earlier, n}: GeneratorPosition, log: LogReader): void {
  const others = log
    .ledger()
    .filter((line) => line.domain === domain.name && line.source !== generatorSource && line.appended > 0);
  if (earlier > 0)
    throw new PlatformError(
      'VERIFY_IMPOSSIBLE',
      `${earlier} events were made with another configuration or seed, which is not known any more`,
      {hint: anew(domain.name)},
    );
  if (others.length > 0)
    throw new PlatformError(
      'VERIFY_IMPOSSIBLE',
      `${others[0]!.source} wrote to ${domain.name}.${others[0]!.eventType}, too: only generated events are known`,
      {hint: anew(domain.name)},
    );
  if (n > eventsMax)
    throw new PlatformError(
      'VERIFY_IMPOSSIBLE',
      `${n} events do not fit into memory for the obvious evaluator (at most ${eventsMax})`,
      {hint: anew(domain.name)},
    );
}

async function snapshotsOf(domain: Domain, lookups: LookupStore): Promise<LookupSnapshot[]> {
  const found = await Promise.all(domain.lookups.map((lookup) => lookups.get(lookup, null)));
  return found.filter((snapshot) => snapshot !== undefined);
}

async function expectedBeside(input: ExpectedInput): Promise<Expected> {
  const worker = new Worker(new URL('./generate-expected-worker.ts', import.meta.url), {workerData: input});
  try {
    // An error of the thread rejects here.
    const [expected] = await once(worker, 'message');
    return expected as Expected;
  } finally {
    await worker.terminate();
  }
}

async function compareLetters(
  log: LogReader,
  domain: string,
  {letters}: Expected,
): Promise<Verification['checks'][number]> {
  const differences: string[] = [];
  const left = new Map(letters);
  for await (const letter of readDeadLetters(log, domain, {source: generatorSource})) {
    const code = left.get(letter.id);
    left.delete(letter.id);
    if (code !== letter.code)
      differences.push(`dead letter ${letter.id} is ${letter.code}, expected ${code ?? 'none'}`);
  }
  for (const [id, code] of left) differences.push(`dead letter ${id} (${code}) is missing`);
  return {what: 'dead letters', compared: letters.size, differences};
}

function compareLedger(
  ledger: Ledger,
  domain: Domain,
  plans: QueryPlan[],
  expected: Expected,
): Verification['checks'] {
  const ingest: string[] = [];
  for (const [type, counts] of expected.counts.entries()) {
    const {name} = domain.eventTypes[type]!;
    const line = ledger.ingest.find(
      (each) => each.domain === domain.name && each.event_type === name && each.source === generatorSource,
    );
    for (const key of ['received', 'appended', 'duplicate', 'rejected'] as const)
      if ((line?.[key] ?? 0) !== counts[key])
        ingest.push(`${name}: ${key} is ${line?.[key] ?? 0}, expected ${counts[key]}`);
    const passed = ledger.transform.find(
      (each) => each.domain === domain.name && each.event_type === name && each.source === generatorSource,
    );
    const wanted = expected.transformed[type];
    for (const key of ['in', 'out', 'rejected'] as const)
      if ((passed?.[key] ?? 0) !== (wanted?.[key] ?? 0))
        ingest.push(`transform of ${name}: ${key} is ${passed?.[key] ?? 0}, expected ${wanted?.[key] ?? 0}`);
  }
  const queries: string[] = [];
  const names = {
    read: 'read',
    aggregated: 'aggregated',
    corrected: 'corrected',
    late_in_part: 'lateInPart',
    filtered: 'filtered',
    late: 'late',
    dead: 'dead',
  } as const;
  let compared = 0;
  for (const plan of plans)
    for (const line of ledger.query.filter(
      (each) => each.domain === plan.domain && each.query === plan.query,
    )) {
      const wanted = expected.queries
        .get(plan.id)!
        .counts.find(({topic, partition}) => topic === line.topic && partition === line.partition);
      compared++;
      for (const [key, own] of Object.entries(names) as [
        keyof typeof names,
        (typeof names)[keyof typeof names],
      ][])
        if (line[key] !== (wanted?.[own] ?? 0))
          queries.push(
            `${plan.query} ${line.topic}/${line.partition}: ${key} is ${line[key]}, expected ${wanted?.[own] ?? 0}`,
          );
    }
  return [
    {what: 'ledger of ingestion', compared: expected.counts.length, differences: ingest},
    {what: 'ledger of queries', compared, differences: queries},
  ];
}
