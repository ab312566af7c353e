import type {Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {quote} from '../config/nodes.ts';
import {type ParsedMeasure, parseMeasures} from '../expr/measure.ts';
import type {TypedExpr} from '../expr/types.ts';
import {columnsOf} from '../expr/walk.ts';
import {type Columns, checkText, ownProblems} from './columns.ts';
import type {AggregationConfig, LimitsConfig} from './config.ts';
import {type EventTypeInfo, type EventTypes, findEventType} from './event-types.ts';
import {columnName} from './fields.ts';
import type {Reporter} from './reporter.ts';
import type {Aggregation, Defaults, Measure, WindowSpec} from './types.ts';

/** What the sources of a query have in common. */
export type Scope = {
  columns: Columns;
  broken: ReadonlySet<string>;
  /** Columns whose types differ: name -> "long in a, string in b". */
  conflicts: ReadonlyMap<string, string>;
  /** Columns that are in every source. */
  inAll: ReadonlySet<string>;
  sources: string[];
};

/** Columns of several event types by name; `event_type` is the name of the one that an event has. */
export function scopeOf(sources: EventTypeInfo[]): Scope {
  const columns: Columns = new Map();
  const conflicts = new Map<string, string>();
  const names = new Set(sources.flatMap((source) => [...source.columns.keys()]));
  const inAll = new Set([...names].filter((name) => sources.every((source) => source.columns.has(name))));
  for (const name of names) {
    const holders = sources.filter((source) => source.columns.has(name));
    const infos = holders.map((source) => source.columns.get(name)!);
    const [first] = infos;
    const symbols = infos.flatMap((info) => info.symbols ?? []);
    columns.set(name, {
      type: first!.type,
      nullable: !inAll.has(name) || infos.some(({nullable}) => nullable),
      ...(symbols.length > 0 ? {symbols: [...new Set(symbols)]} : {}),
    });
    if (infos.some(({type}) => type !== first!.type))
      conflicts.set(
        name,
        holders.map((source, index) => `${infos[index]!.type} in ${source.eventType.name}`).join(', '),
      );
  }
  const sourceNames = sources.map(({eventType}) => eventType.name);
  columns.set('event_type', {type: 'string', symbols: sourceNames, nullable: false});
  inAll.add('event_type');
  return {
    columns,
    broken: new Set(sources.flatMap(({broken}) => [...broken])),
    conflicts,
    inAll,
    sources: sourceNames,
  };
}

/** The event types that a query names; undefined when one is unknown or mistaken. */
export function findSources(
  from: (string | undefined)[],
  known: EventTypes,
  path: Path,
  reporter: Reporter,
): EventTypeInfo[] | undefined {
  const taken = new Map<string, string>();
  const found: EventTypeInfo[] = [];
  for (const [index, name] of from.entries()) {
    if (name === undefined) continue;
    const place = [...path, index];
    const info = findEventType(name, known, place, reporter);
    if (info && reporter.claim(taken, name, 'in this list', place)) found.push(info);
  }
  if (from.length === 0) reporter.error(path, 'KEY_MISSING', 'a query reads at least one event type', {});
  return found.length === from.length && found.length > 0 ? found : undefined;
}

/** `where` and measures use a column that has one type wherever it is. */
function checkConflicts(expr: TypedExpr, text: string, path: Path, scope: Scope, reporter: Reporter): void {
  for (const name of columnsOf(expr)) {
    const conflict = scope.conflicts.get(name);
    if (conflict === undefined) continue;
    const offset = Math.max(0, text.search(new RegExp(`\\b${name}\\b`)));
    reporter.error(path, 'COLUMN_TYPES_DIFFER', `${quote(name)} is ${conflict}`, {
      within: {offset, length: name.length},
      hint: 'derive a column of one type in each event type, or read one event type',
    });
  }
}

export function buildWhere(
  text: string | undefined,
  path: Path,
  scope: Scope,
  reporter: Reporter,
): TypedExpr | null {
  if (text === undefined) return null;
  const checked = checkText(text, path, scope.columns, scope.broken, reporter, 'boolean');
  if (checked) checkConflicts(checked.typed, text, path, scope, reporter);
  return checked?.typed ?? null;
}

/** Columns of a group, each in every source with one type. */
export function buildGroupBy(
  names: (string | undefined)[],
  path: Path,
  scope: Scope,
  taken: Map<string, string>,
  reporter: Reporter,
): Aggregation['groupBy'] {
  const groupBy: Aggregation['groupBy'] = [];
  for (const [index, name] of names.entries()) {
    if (name === undefined || scope.broken.has(name)) continue;
    const place = [...path, index];
    const column = scope.columns.get(name);
    const conflict = scope.conflicts.get(name);
    if (!column)
      reporter.error(
        place,
        'FIELD_UNKNOWN',
        `${scope.sources.join(' and ')} ${scope.sources.length > 1 ? 'have' : 'has'} no column ${quote(name)}`,
        {hint: suggest(name, scope.columns.keys())},
      );
    else if (!scope.inAll.has(name))
      reporter.error(
        place,
        'GROUP_BY_NOT_IN_ALL',
        `${quote(name)} is not a column of every event type in \`from\``,
        {hint: 'derive it where it is missing, or group by something else'},
      );
    else if (conflict !== undefined)
      reporter.error(place, 'COLUMN_TYPES_DIFFER', `${quote(name)} is ${conflict}`, {
        hint: 'derive a column of one type in each event type',
      });
    else {
      const built = {name, column: columnName(name, column.type), type: column.type};
      if (reporter.claim(taken, built.column, 'a column of this query', place)) groupBy.push(built);
    }
  }
  return groupBy;
}

/** Measures with their columns, as far as they are right. */
export function buildMeasures(
  texts: Record<string, string>,
  path: Path,
  scope: Scope,
  taken: Map<string, string>,
  reporter: Reporter,
): Measure[] {
  const {measures, problems} = parseMeasures(new Map(Object.entries(texts)), scope.columns);
  for (const {measure, problem} of problems)
    reporter.problems([...path, measure], ownProblems(texts[measure]!, [problem], scope.broken));
  return measures.flatMap((measure) => {
    const column = columnName(measure.name, measure.type);
    const place = [...path, measure.name];
    const expr = argumentOf(measure);
    if (expr) checkConflicts(expr, measure.text, place, scope, reporter);
    const known = taken.get(column);
    if (known !== undefined) {
      const hint =
        column === measure.name
          ? 'give it another name'
          : `money is stored as <name>_cents; rename one of them`;
      reporter.error(
        place,
        'NAME_COLLISION',
        `${quote(measure.name)} would give the column ${column}, which is ${known}`,
        {onKey: true, hint},
      );
      return [];
    }
    taken.set(column, 'a column of this query');
    return [{...measure, column} as Measure];
  });
}

function argumentOf(measure: ParsedMeasure): TypedExpr | null {
  if (measure.fn === 'count') return measure.filter;
  return measure.fn === 'ratio' ? null : measure.arg;
}

/** Columns that every row has. */
export const fixedColumns = ['window_start', 'window_end', 'events', 'closed', 'deleted', 'version'] as const;

/** `off` and a duration of nothing: null. */
export const dedupMsOf = (config: number | 'off'): number | null =>
  config === 'off' || config === 0 ? null : config;

/** Fills in the domain's defaults. */
export function withDefaults(
  config: AggregationConfig,
  defaults: Defaults,
  built: {
    domain: string;
    name: string;
    from: string[];
    where: TypedExpr | null;
    window: WindowSpec;
    groupBy: Aggregation['groupBy'];
    measures: Measure[];
    sinks: string[];
  },
): Aggregation {
  const limits: LimitsConfig = config.limits ?? {};
  return {
    ...built,
    watermarkMs: config.watermark ?? defaults.watermarkMs,
    late: config.late ?? defaults.late,
    correctForMs: config.correct_for ?? defaults.correctForMs,
    dedupMs: config.dedup === undefined ? defaults.dedupMs : dedupMsOf(config.dedup),
    idleMs: config.idle ?? defaults.idleMs,
    emit: config.emit ?? defaults.emit,
    onTrimmed: config.on_trimmed ?? defaults.onTrimmed,
    limits: {
      groups: limits.groups ?? defaults.limits.groups,
      memoryBytes: limits.memory ?? defaults.limits.memoryBytes,
      stateDiskBytes: limits.state_disk ?? defaults.limits.stateDiskBytes,
    },
  };
}
