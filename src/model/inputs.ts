import {existsSync} from 'node:fs';
import type {Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {quote} from '../config/nodes.ts';
import type {InputConfig} from './config.ts';
import {type EventTypeInfo, type EventTypes, findEventType} from './event-types.ts';
import type {Reporter} from './reporter.ts';
import {timestampFormatProblem} from './timestamp-format.ts';
import type {Input} from './types.ts';
import {checkZone} from './windows.ts';

/** @returns undefined after a mistake. */
export function buildInput(
  config: InputConfig,
  domain: string,
  known: EventTypes,
  path: Path,
  reporter: Reporter,
): Input | undefined {
  const {name, event_type: eventTypeName, from} = config;
  const info =
    eventTypeName === undefined
      ? undefined
      : findEventType(eventTypeName, known, [...path, 'event_type'], reporter);
  if (from !== undefined && !existsSync(from))
    reporter.warn([...path, 'from'], 'FILE_NOT_FOUND', `there is no file ${from}`, {
      hint: 'a path is relative to the file it stands in',
    });
  const format = config.format ?? formatOf(from);
  if (format === undefined)
    reporter.error(path, 'INPUT_FORMAT', 'the format of the file is not known', {
      hint: 'add format: csv or format: jsonl',
    });
  const timezone = config.timezone ?? 'UTC';
  checkZone(timezone, [...path, 'timezone'], reporter);
  const problem =
    config.timestamp_format === undefined ? undefined : timestampFormatProblem(config.timestamp_format);
  if (problem)
    reporter.error([...path, 'timestamp_format'], 'TIMESTAMP_FORMAT', problem, {
      hint: 'as in strptime: "%d.%m.%Y %H:%M:%S"; without it times are ISO 8601 or epoch milliseconds',
    });
  const map = buildMap(config, info, path, reporter);
  if (name === undefined || eventTypeName === undefined || format === undefined) return undefined;
  return {
    domain,
    name,
    eventType: eventTypeName,
    from: from ?? null,
    format,
    ratePerSecond: config.rate ?? null,
    nulls: (config.null ?? (format === 'csv' ? [''] : [])).filter((text) => text !== undefined),
    timezone,
    timestampFormat: config.timestamp_format ?? null,
    orderBy: config.order_by ?? 'timestamp',
    map,
  };
}

function formatOf(from: string | undefined): Input['format'] | undefined {
  const ending = /\.(csv|jsonl|ndjson)(?:\.(?:gz|zip))?$/i.exec(from ?? '')?.[1]?.toLowerCase();
  return ending === undefined ? undefined : ending === 'csv' ? 'csv' : 'jsonl';
}

function buildMap(
  config: InputConfig,
  info: EventTypeInfo | undefined,
  path: Path,
  reporter: Reporter,
): Record<string, string> {
  const logged = info?.eventType.fields.map((field) => field.name);
  for (const field of Object.keys(config.map ?? {}))
    if (logged && !logged.includes(field) && !info!.broken.has(field))
      reporter.error(
        [...path, 'map', field],
        'FIELD_UNKNOWN',
        `${info!.eventType.name} has no field ${quote(field)}`,
        {
          onKey: true,
          hint: suggest(field, logged) ?? 'map: {field of the event: column of the file}',
        },
      );
  const map = Object.fromEntries(Object.entries(config.map ?? {}));
  if (config.timestamp === undefined) return map;
  if (Object.hasOwn(map, 'timestamp'))
    reporter.error(
      [...path, 'map', 'timestamp'],
      'INPUT_MAP',
      'timestamp is mapped here and by `timestamp:`',
      {onKey: true, hint: 'keep one of them'},
    );
  return {...map, timestamp: config.timestamp};
}
