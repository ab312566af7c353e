/**
 * Events that were logged before a field went and are delivered after it: their values of that field still belong into the
 * column that the raw table keeps. What went, and up to where, is on record in the log until the raw table is past it.
 */
import type {LogReader} from '../log/types.ts';
import {does} from '../model/roles.ts';
import {rawTable} from '../model/tables.ts';
import type {Column, Domain, EventType, Platform, Table} from '../model/types.ts';
import {avroSchema} from '../schema/avro.ts';
import type {AvroField, AvroRecord} from '../schema/types.ts';
import type {RawPhase} from '../sinks/raw.ts';
import {tableId} from '../sinks/tables.ts';
import {readApplied} from './apply-record.ts';
import type {IngestThread} from './ingest-thread.ts';
import type {PlatformDirs} from './places.ts';

/** Fields that went at one change; `until`: by partition, where the log ended then. */
type Gone = {until: number[]; columns: Column[]; fields: AvroField[]};

/** Name of a table's list in the log's books of sources. */
const sourceOf = (sink: string, table: string): string => `raw-before/${sink}/${table}`;

const goneOf = (log: Pick<LogReader, 'progress'>, sink: string, table: string): Gone[] =>
  JSON.parse(log.progress(sourceOf(sink, table)) ?? '[]') as Gone[];

/** What of a domain a raw delivery depends on. */
type Delivered = Pick<Domain, 'name' | 'eventTypes'> & {defaults: Pick<Domain['defaults'], 'raw'>};

/** What a process that only delivers delivered last, in its log's books of sources: it does not depend on when an engine starts. */
const deliveredSource = 'raw-delivered';

/**
 * Notes fields that the configuration no longer has, and what was applied last had; in a process that has no engine, what it
 * delivered last. Before that record is replaced. Nothing to do in a process that has no sinks.
 */
export async function noteGoneFields(
  platform: Platform,
  dirs: PlatformDirs,
  {log, ingest}: {log: LogReader; ingest: Pick<IngestThread, 'append'>},
): Promise<void> {
  if (!does(platform, 'sinks')) return;
  const own = does(platform, 'engine') ? undefined : log.progress(deliveredSource);
  const known = own === undefined ? readApplied(dirs)?.model.domains : (JSON.parse(own) as Delivered[]);
  const progress = await goneSince(platform, known, log);
  if (!does(platform, 'engine')) {
    const position = JSON.stringify(
      platform.domains.map(
        ({name, eventTypes, defaults: {raw}}): Delivered => ({name, eventTypes, defaults: {raw}}),
      ),
    );
    if (position !== own) progress.push({source: deliveredSource, position});
  }
  if (progress.length > 0) await ingest.append({appends: [], progress});
}

async function goneSince({domains}: Platform, known: readonly Delivered[] | undefined, log: LogReader) {
  const found = domains.flatMap(({name, defaults, eventTypes}) => {
    const before = known?.find((domain) => domain.name === name);
    const {raw: sink} = defaults;
    if (!before || sink === null || before.defaults.raw !== sink) return [];
    return eventTypes.flatMap((eventType) => {
      const old = before.eventTypes.find(({topic}) => topic === eventType.topic);
      const columns = old ? goneColumns(old, eventType) : [];
      return old && columns.length > 0 ? [{sink, old, eventType, columns}] : [];
    });
  });
  if (found.length > 0) await log.refresh(found.map(({old: {topic}}) => topic));
  return found.flatMap(({sink, old, eventType, columns}) => {
    const gone = goneUntilNow(old, columns, log);
    if (!gone) return [];
    const table = tableId(rawTable(eventType));
    const list = [...goneOf(log, sink, table), gone];
    return [{source: sourceOf(sink, table), position: JSON.stringify(list)}];
  });
}

function goneColumns(old: EventType, eventType: EventType): Column[] {
  const {columns} = rawTable(eventType);
  const kept = new Set(columns.flatMap(({name, aliases = []}) => [name, ...aliases]));
  return rawTable(old).columns.filter(({name}) => !kept.has(name));
}

/** @returns undefined when no record can have them */
function goneUntilNow(old: EventType, gone: Column[], log: LogReader): Gone | undefined {
  const until = Array.from({length: log.partitions(old.topic)}, (_, partition) =>
    log.endOffset(old.topic, partition),
  );
  if (!until.some((end) => end > 0)) return undefined;
  const names = new Set(gone.map(({name}) => name));
  return {
    until,
    columns: gone.map(({aliases: _, ...column}) => ({...column, nullable: true})),
    fields: avroSchema(old)
      .fields.filter(({name}) => names.has(name))
      .map(optional),
  };
}

/** The same field, which a record need not have. */
function optional({aliases: _, ...field}: AvroField): AvroField {
  const {type} = field;
  const branches = Array.isArray(type) ? type.filter((branch) => branch !== 'null') : [type];
  return {...field, type: ['null', ...branches], default: null} as AvroField;
}

/** What a raw delivery reads first, with the columns that went since; none when nothing went or it is past all of that. */
export function phasesOf(
  log: Pick<LogReader, 'progress'>,
  sink: string,
  table: Table,
  schema: AvroRecord,
): RawPhase[] {
  const all = goneOf(log, sink, tableId(table));
  return all.map(({until}, index) => {
    const columns = new Map<string, Column>();
    const fields = new Map<string, AvroField>();
    // What went later was there, too; a name that is there again is the new one's.
    for (const gone of all.slice(index))
      for (const [at, column] of gone.columns.entries()) {
        if (table.columns.some(({name}) => name === column.name)) continue;
        columns.set(column.name, column);
        fields.set(column.name, gone.fields[at]!);
      }
    const own = table.columns.filter(({name}) => !name.startsWith('_'));
    const places = table.columns.filter(({name}) => name.startsWith('_'));
    return {
      until,
      table: {...table, columns: [...own, ...columns.values(), ...places]},
      schema: {...schema, fields: [...schema.fields, ...fields.values()]},
    };
  });
}

/** Nothing of it is to be read any more. */
export const settledBefore = (sink: string, table: string) => ({
  source: sourceOf(sink, table),
  position: '[]',
});
