/** Forgetting the values of one person: the key goes for good, then what sinks and dead letters hold. */
import {setTimeout as wait} from 'node:timers/promises';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {deadLetterTopic} from '../ingest/deadletters.ts';
import {openLog} from '../log/open.ts';
import {batchesOf} from '../log/scan.ts';
import type {LogReader} from '../log/types.ts';
import {rawTable} from '../model/tables.ts';
import type {Domain, EventType, Platform} from '../model/types.ts';
import {openOriginal, refreshMs} from '../privacy/opener.ts';
import {recordKeyName, tokenStart} from '../privacy/tokens.ts';
import {keyName, masterKeys} from '../privacy/values.ts';
import {buildPlan} from '../process/plan/build.ts';
import {type ColumnsReader, columnsReader, frameIdOf, recordOf} from '../schema/columns.ts';
import {compileDecoder} from '../schema/decode.ts';
import {frameHeaderBytes, walkRecords} from '../schema/frame.ts';
import {unprotected} from '../schema/protected.ts';
import {openRegistry} from '../schema/registry-open.ts';
import {deadLetterSchema} from '../schema/side.ts';
import {tableId} from '../sinks/tables.ts';
import type {RunningPlatform} from './runtime.ts';

export type ForgetRequest = {
  /** `<domain>.<attribute>`. */
  attribute: string;
  value: string;
  dryRun: boolean;
  /** `user@host`. */
  actor: string;
};

/** What was forgotten, or would be. */
export type ForgetReport = {
  attribute: string;
  dryRun: boolean;
  /** Names of the keys, hex: what the journal of forgetting knows the value by. */
  keys: string[];
  /** Keys that there were. */
  destroyed: number;
  /** Events of the log that hold the value. */
  events: number;
  /** Dead letters whose record holds it; the whole record is forgotten. */
  letters: number;
  /** Raw tables in which the attribute of those events is NULL now; `erased` false: the sink cannot do it. */
  tables: {sink: string; table: string; events: number; erased: boolean}[];
  /** Queries whose rows may hold what stood for the value, as a dimension, or in counts and sums. They stay. */
  stays: string[];
  /** Events from before the attribute was protected: the log itself still has the value in them. */
  plain: number;
};

type Found = {eventType: EventType; column: string; ids: string[]; plain: number};

/** How long raw deliveries are waited for, ms. */
const rawMsMax = 30_000;

/**
 * Forgets a value of an attribute: everything that reads it from then on gets NULL. Cut short at any step, the same request again
 * does the rest.
 * @throws NAME_UNKNOWN for no protected attribute, PII_KEYS, SINK_*; what was done before stays done
 */
export async function forgetValue(running: RunningPlatform, request: ForgetRequest): Promise<ForgetReport> {
  const log = await openLog(running.dirs.source);
  try {
    return await forgetIn({...running, log}, request);
  } finally {
    log.close();
  }
}

/** What is needed of a platform, and its log. */
type Place = Pick<RunningPlatform, 'platform' | 'dirs' | 'ingest' | 'outputs'> & {log: LogReader};

async function forgetIn(running: Place, request: ForgetRequest): Promise<ForgetReport> {
  const {platform, ingest, outputs, log} = running;
  const {domain, column, names} = attributeOf(platform, request.attribute);
  const keys = masterKeys(platform.pii!.key.reveal());
  const keyNames = names.map((name) => keyName(keys, `${domain.name}.${name}`, request.value));
  const search = () => searchEvents(running, domain, column, keyNames.map(tokenStart), request.value);
  let found = await search();
  const letters = await lettersWith(log, domain.name, request.value);
  const report: ForgetReport = {
    attribute: `${domain.name}.${column}`,
    dryRun: request.dryRun,
    keys: keyNames.map((name) => name.toString('hex')),
    destroyed: 0,
    events: sumOf(found),
    letters: letters.length,
    tables: tablesOf(domain, found),
    stays: queriesWith(domain, column),
    plain: found.reduce((sum, {plain}) => sum + plain, 0),
  };
  if (request.dryRun) return report;
  report.destroyed = await ingest.forget([...keyNames, ...letters]);
  failpoint('forget.keys-destroyed');
  // What other threads remember of it is gone after this much time; what they had read before is then in the sinks.
  await wait(3 * refreshMs);
  await rawCaughtUp(running, found);
  found = await search();
  report.events = sumOf(found);
  report.tables = tablesOf(domain, found);
  for (const table of report.tables) {
    const {eventType, ids} = found.find((each) => tableId(rawTable(each.eventType)) === table.table)!;
    table.erased = await outputs.raw.erase(eventType.topic, column, ids);
    failpoint('forget.erased');
  }
  await ingest.forgot({
    atMs: Date.now(),
    actor: request.actor,
    attribute: report.attribute,
    key: report.keys[0]!,
    counts: {events: report.events, letters: report.letters, keys: report.destroyed},
  });
  failpoint('forget.recorded');
  return report;
}

const sumOf = (found: Found[]): number => found.reduce((sum, {ids}) => sum + ids.length, 0);

function attributeOf(
  {domains}: Platform,
  attribute: string,
): {domain: Domain; column: string; names: string[]} {
  const all = domains.flatMap((domain) =>
    domain.eventTypes.flatMap(({fields}) =>
      fields.flatMap(({column, aliases, pii}) =>
        pii ? [{domain, column, names: [column, ...aliases]}] : [],
      ),
    ),
  );
  const fits = all.filter(
    ({domain, column}) => `${domain.name}.${column}` === attribute || column === attribute,
  );
  const ids = [...new Set(fits.map(({domain, column}) => `${domain.name}.${column}`))];
  if (ids.length === 1) {
    const {domain, column} = fits[0]!;
    return {domain, column, names: [...new Set(fits.flatMap(({names}) => names))]};
  }
  const known = [...new Set(all.map(({domain, column}) => `${domain.name}.${column}`))];
  throw new PlatformError(
    'NAME_UNKNOWN',
    ids.length === 0
      ? `there is no attribute "${attribute}" with personal data`
      : `"${attribute}" is an attribute of several domains`,
    {hint: known.length === 0 ? 'no attribute has pii:' : `write one of ${known.join(', ')}`},
  );
}

async function searchEvents(
  {log, dirs}: Place,
  domain: Domain,
  column: string,
  starts: string[],
  value: string,
): Promise<Found[]> {
  const registry = await openRegistry(dirs.registry, {readOnly: true});
  const readers = new Map<number, ColumnsReader | undefined>();
  const readerOf = async (id: number, names: string[]) => {
    if (!readers.has(id)) {
      const record = recordOf((await registry.byId(id))?.schema);
      const name = names.find((each) => record?.fields.some((field) => field.name === each));
      readers.set(id, record && name ? columnsReader(unprotected(record), ['event_id', name]) : undefined);
    }
    return readers.get(id);
  };
  try {
    const found: Found[] = [];
    for (const eventType of domain.eventTypes) {
      const field = eventType.fields.find((each) => each.column === column);
      if (!field) continue;
      const one: Found = {eventType, column, ids: [], plain: 0};
      const wanted = [...starts, value].map((text) => Buffer.from(text));
      for await (const batch of batchesOf(log, eventType.topic)) {
        if (batch.kind !== 'data') continue;
        const bytes = Buffer.from(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.length);
        if (!wanted.some((text) => bytes.includes(text))) continue;
        const frames: [number, number][] = [];
        walkRecords(batch, (_, start, end) => void frames.push([start, end]));
        for (const [start, end] of frames) {
          const schemaId = frameIdOf(bytes, start, end);
          const read =
            schemaId === undefined ? undefined : await readerOf(schemaId, [column, ...field.aliases]);
          const [id, text] = read?.(bytes, start, end) ?? [];
          const isPlain = text === value;
          if (!isPlain && !starts.some((each) => String(text ?? '').startsWith(each))) continue;
          one.ids.push(String(id));
          if (isPlain) one.plain++;
        }
      }
      found.push(one);
    }
    return found;
  } finally {
    registry.close();
  }
}

const originalOf = compileDecoder(deadLetterSchema, ['original']);

/** Names of the keys of dead letters whose record holds the value, as text, in JSON or in CSV. */
async function lettersWith(log: LogReader, domain: string, value: string): Promise<Buffer[]> {
  const forms = new Set([value, JSON.stringify(value).slice(1, -1), value.replaceAll('"', '""')]);
  const wanted = [...forms].filter((form) => form !== '').map((form) => Buffer.from(form));
  const names: Buffer[] = [];
  for await (const batch of batchesOf(log, deadLetterTopic(domain))) {
    if (batch.kind !== 'data') continue;
    walkRecords(batch, (_, start, end) => {
      const [original] = originalOf(batch.bytes, start + frameHeaderBytes, end) as [Uint8Array];
      const name = recordKeyName(original);
      const plain = name && openOriginal(original);
      if (plain && wanted.some((form) => Buffer.from(plain).includes(form))) names.push(name);
    });
  }
  return names;
}

function tablesOf({defaults}: Domain, found: Found[]): ForgetReport['tables'] {
  if (defaults.raw === null) return [];
  return found.flatMap(({eventType, ids}) =>
    ids.length === 0
      ? []
      : [{sink: defaults.raw!, table: tableId(rawTable(eventType)), events: ids.length, erased: false}],
  );
}

/** Queries that read the attribute. */
const queriesWith = (domain: Domain, column: string): string[] =>
  domain.aggregations
    .filter((aggregation) =>
      buildPlan(domain, aggregation).sources.some(({fields}) =>
        fields.some((field) => field.column === column),
      ),
    )
    .map(({name}) => `${domain.name}.${name}`);

/** What raw deliveries had read before the key was gone is in their sinks, where it can be erased. */
async function rawCaughtUp({log, outputs}: Place, found: Found[]): Promise<void> {
  await log.refresh(found.map(({eventType: {topic}}) => topic));
  const ends = found.map(({eventType: {topic}}) => ({
    topic,
    ends: Array.from({length: log.partitions(topic)}, (_, partition) => log.endOffset(topic, partition)),
  }));
  const untilMs = performance.now() + rawMsMax;
  for (;;) {
    const reached = await outputs.raw.offsets();
    const isThere = ends.every(({topic, ends: wanted}) => {
      const raw = reached.find((each) => each.topic === topic);
      return !raw || wanted.every((end, partition) => end === 0 || (raw.offsets?.[partition] ?? 0) >= end);
    });
    if (isThere) return;
    if (performance.now() > untilMs)
      throw new PlatformError(
        'PII_KEYS',
        'the key is destroyed; the raw sink has not caught up, so what it holds was not erased',
        {hint: 'see npx millrace status, then run the command again'},
      );
    await wait(refreshMs);
  }
}
