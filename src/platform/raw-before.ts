/**
 * Events that were logged before a field went and are delivered after it: their values of that field still belong into the
 * column that the raw table keeps. What went, and up to where, is on record in the log until the raw table is past it.
 */
import type {LogReader} from '../log/types.ts';
import {rawTable} from '../model/tables.ts';
import type {Column, EventType, Platform, Table} from '../model/types.ts';
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

/** Notes fields that the configuration no longer has, and what was applied last had. Before that record is replaced. */
export async function noteGoneFields(
  platform: Platform,
  dirs: PlatformDirs,
  {log, ingest}: {log: LogReader; ingest: Pick<IngestThread, 'append'>},
): Promise<void> {
  const applied = readApplied(dirs);
  const progress = platform.domains.flatMap(({name, defaults, eventTypes}) => {
    const before = applied?.model.domains.find((domain) => domain.name === name);
    const {raw: sink} = defaults;
    if (!before || sink === null || before.defaults.raw !== sink) return [];
    return eventTypes.flatMap((eventType) => {
      const old = before.eventTypes.find(({topic}) => topic === eventType.topic);
      const gone = old && goneBetween(old, eventType, log);
      if (!gone) return [];
      const table = tableId(rawTable(eventType));
      const list = [...goneOf(log, sink, table), gone];
      return [{source: sourceOf(sink, table), position: JSON.stringify(list)}];
    });
  });
  if (progress.length > 0) await ingest.append({appends: [], progress});
}

function goneBetween(old: EventType, eventType: EventType, log: LogReader): Gone | undefined {
  const {columns} = rawTable(eventType);
  const kept = new Set(columns.flatMap(({name, aliases = []}) => [name, ...aliases]));
  const until = Array.from({length: log.partitions(old.topic)}, (_, partition) =>
    log.endOffset(old.topic, partition),
  );
  const gone = rawTable(old).columns.filter(({name}) => !kept.has(name));
  if (gone.length === 0 || !until.some((end) => end > 0)) return undefined;
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
