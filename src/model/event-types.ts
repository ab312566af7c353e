import {existsSync} from 'node:fs';
import type {Path} from '../config/diagnostics.ts';
import {nearest, suggest} from '../config/nearest.ts';
import {quote} from '../config/nodes.ts';
import type {ExprProblem, ValueType} from '../expr/types.ts';
import {checkPlain} from '../plain-file.ts';
import {type Columns, checkText, findColumn} from './columns.ts';
import type {EventTypeConfig} from './config.ts';
import {buildFields, isFree} from './fields.ts';
import type {Reporter} from './reporter.ts';
import type {EventType, Field, Lookup} from './types.ts';

/** An event type with what later checks need. */
export type EventTypeInfo = {
  eventType: EventType;
  /** Everything a query may name: fields, derived and enriched columns. */
  columns: Columns;
  /** Names that were written but mistaken. */
  broken: ReadonlySet<string>;
};

/** The event types of a domain. `isComplete`: nothing of the section was unreadable, so that what is not here does not exist. */
export type EventTypes = {byName: ReadonlyMap<string, EventTypeInfo>; isComplete: boolean};

/**
 * The event type of this name; reports one that does not exist. @returns the one that is probably meant then, so that checking
 * goes on.
 */
export function findEventType(
  name: string,
  {byName, isComplete}: EventTypes,
  path: Path,
  reporter: Reporter,
): EventTypeInfo | undefined {
  const found = byName.get(name);
  if (found) return found;
  if (isComplete)
    reporter.error(path, 'EVENT_TYPE_UNKNOWN', `there is no event type ${quote(name)} in this domain`, {
      hint: suggest(name, byName.keys()) ?? 'add it to `event_types:`',
    });
  return byName.get(nearest(name, byName.keys()) ?? '');
}

/** @param lookups by name; undefined for one that was mistaken. */
export function buildEventType(
  config: EventTypeConfig,
  domain: string,
  lookups: ReadonlyMap<string, Lookup | undefined>,
  path: Path,
  reporter: Reporter,
): EventTypeInfo {
  const name = config.name ?? '';
  const broken = new Set<string>();
  const fields = buildFields(config, path, reporter, broken);
  const columns: Columns = new Map(fields.map((field) => [field.name, columnOf(field)]));
  const logged: Columns = new Map(columns);
  const taken = new Map([...columns.keys(), ...broken].map((field) => [field, 'a field of this event type']));
  checkLookupsOfPii(config, fields, path, reporter);
  const derive = buildDerive(config, path, columns, broken, taken, reporter);
  const checks = buildChecks(config, path, columns, broken, reporter);
  const enrich = buildEnrich(config, path, lookups, columns, broken, taken, reporter);
  const key = config.key ?? 'event_id';
  findColumn(key, [...path, 'key'], logged, broken, reporter, 'the logged event');
  return {
    eventType: {
      domain,
      name,
      topic: `${domain}.${name}`,
      key,
      fields,
      derive,
      enrich,
      checks,
      ...buildTransform(config.transform, [...path, 'transform'], reporter),
    },
    columns,
    broken,
  };
}

/** Lookups are joined at read, where a protected value is not what was sent. */
function checkLookupsOfPii(config: EventTypeConfig, fields: Field[], path: Path, reporter: Reporter): void {
  for (const [index, rule] of (config.enrich ?? []).entries()) {
    const field = fields.find(({name, pii}) => name === rule?.on && pii !== undefined);
    if (field)
      reporter.error(
        [...path, 'enrich', index, 'on'],
        'PII_LOOKUP',
        `${quote(field.name)} is personal data (pii: ${field.pii}): no key of the lookup would be found by it`,
        {hint: 'join on another attribute, or add what is needed in a transform, before the log'},
      );
  }
}

const columnOf = ({type, symbols, required}: Field) => ({
  type,
  nullable: !required,
  ...(symbols ? {symbols} : {}),
});

/** Adds what it derives to `columns`: a later one may use an earlier one. */
function buildDerive(
  config: EventTypeConfig,
  path: Path,
  columns: Columns,
  broken: Set<string>,
  taken: Map<string, string>,
  reporter: Reporter,
): EventType['derive'] {
  const derive: EventType['derive'] = [];
  for (const [name, text] of Object.entries(config.derive ?? {})) {
    const place = [...path, 'derive', name];
    if (!isFree(name, place, reporter, true) || !reporter.claim(taken, name, 'a derived column', place, true))
      continue;
    const checked = checkText(text, place, columns, broken, reporter);
    if (checked?.type === 'null')
      reporter.error(place, 'EXPRESSION_NULL', `${quote(name)} would always be NULL`, {
        hint: 'give it a type: cast(null as string)',
      });
    if (!checked || checked.type === 'null') {
      broken.add(name);
      continue;
    }
    const type: ValueType = checked.type;
    columns.set(name, {type, nullable: checked.nullable});
    derive.push({name, type, expr: checked.typed, text});
  }
  return derive;
}

/** Checks see logged and derived columns: they run before the log, where lookups are not yet known. */
function buildChecks(
  config: EventTypeConfig,
  path: Path,
  columns: Columns,
  broken: Set<string>,
  reporter: Reporter,
): EventType['checks'] {
  const enriched = new Set((config.enrich ?? []).flatMap((rule) => Object.keys(rule?.take ?? {})));
  const checks: EventType['checks'] = [];
  for (const [name, text] of Object.entries(config.checks ?? {})) {
    const explain = (problem: ExprProblem): ExprProblem =>
      enriched.has(text.slice(problem.offset, problem.offset + problem.length))
        ? {...problem, hint: 'checks run before the log and see fields and `derive`, not `enrich`'}
        : problem;
    const checked = checkText(text, [...path, 'checks', name], columns, broken, reporter, 'boolean', explain);
    if (checked) checks.push({name, expr: checked.typed, text});
  }
  return checks;
}

/** Whether the module works is known when it is loaded, by the platform that runs: validation runs nobody's code. */
function buildTransform(
  config: EventTypeConfig['transform'],
  path: Path,
  reporter: Reporter,
): Pick<EventType, 'transform'> {
  const {module, timeout = 1000, outputs = 1000} = config ?? {};
  if (module === undefined) return {};
  if (!existsSync(module))
    reporter.error([...path], 'FILE_NOT_FOUND', `there is no file ${module}`, {
      hint: 'a path is relative to the file it stands in',
    });
  else checkEnds(module, path, reporter);
  if (timeout < 10)
    reporter.error([...path, 'timeout'], 'VALUE_RANGE', 'a transform has 10 ms at least for a record', {
      hint: 'use 10ms or more',
    });
  return {transform: {path: module, timeoutMs: timeout, outputsMax: outputs}};
}

/** A pipe in the place of a module would be waited for by whoever reads it. */
function checkEnds(module: string, path: Path, reporter: Reporter): void {
  try {
    checkPlain(module);
  } catch (error) {
    const [why] = (error as Error).message.split(',');
    reporter.error([...path], 'FILE_UNREADABLE', `${module} cannot be read: ${why}`, {
      hint: 'name a file that holds the function',
    });
  }
}

const families: Partial<Record<ValueType, string>> = {
  string: 'text',
  enum: 'text',
  uuid: 'text',
  int: 'integer',
  long: 'integer',
};
const familyOf = (type: ValueType): string => families[type] ?? type;

/** Adds what it takes to `columns`. */
function buildEnrich(
  config: EventTypeConfig,
  path: Path,
  lookups: ReadonlyMap<string, Lookup | undefined>,
  columns: Columns,
  broken: Set<string>,
  taken: Map<string, string>,
  reporter: Reporter,
): EventType['enrich'] {
  const joinable: Columns = new Map(columns);
  const enrich: EventType['enrich'] = [];
  for (const [index, rule] of (config.enrich ?? []).entries()) {
    const place = [...path, 'enrich', index];
    const lookup =
      rule?.lookup === undefined
        ? undefined
        : findLookup(rule.lookup, lookups, [...place, 'lookup'], reporter);
    const on =
      rule?.on === undefined
        ? undefined
        : findColumn(rule.on, [...place, 'on'], joinable, broken, reporter, 'the event type');
    if (lookup && on && familyOf(on.type) !== familyOf(lookup.keyType))
      reporter.error(
        [...place, 'on'],
        'LOOKUP_KEY_TYPE',
        `${quote(rule!.on!)} is ${on.type}, the key of ${lookup.name} is ${lookup.keyType}`,
        {
          hint: `write key: {name: ${lookup.key}, type: ${on.type}} in the lookup, or derive a column of type ${lookup.keyType}`,
        },
      );
    const take: EventType['enrich'][number]['take'] = [];
    for (const [name, from] of Object.entries(rule?.take ?? {})) {
      const takePlace = [...place, 'take', name];
      if (
        !isFree(name, takePlace, reporter, true) ||
        !reporter.claim(taken, name, 'a column of this event type', takePlace, true)
      )
        continue;
      const column = lookup?.columns.find((candidate) => candidate.name === from);
      if (lookup && !column)
        reporter.error(
          takePlace,
          'LOOKUP_COLUMN_UNKNOWN',
          `the lookup ${lookup.name} has no column ${quote(from)}`,
          {
            hint: suggest(
              from,
              lookup.columns.map((candidate) => candidate.name),
            ),
          },
        );
      if (!column) {
        broken.add(name);
        continue;
      }
      columns.set(name, {type: column.type, nullable: true});
      take.push({name, from, type: column.type});
    }
    if (lookup && on) enrich.push({lookup: lookup.name, on: rule!.on!, take});
  }
  return enrich;
}

function findLookup(
  name: string,
  lookups: ReadonlyMap<string, Lookup | undefined>,
  path: Path,
  reporter: Reporter,
): Lookup | undefined {
  if (!lookups.has(name))
    reporter.error(path, 'LOOKUP_UNKNOWN', `there is no lookup ${quote(name)} in this domain`, {
      hint: suggest(name, lookups.keys()) ?? 'add it to `lookups:`',
    });
  return lookups.get(name);
}
