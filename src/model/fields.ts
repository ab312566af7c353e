import type {Path} from '../config/diagnostics.ts';
import {reservedNames} from '../config/names.ts';
import {quote} from '../config/nodes.ts';
import type {ValueType} from '../expr/types.ts';
import type {EventTypeConfig, FieldConfig} from './config.ts';
import type {Reporter} from './reporter.ts';
import type {Field, FieldRole, PiiKind} from './types.ts';

/** Name of the column that holds a value of this name and type: money is in cents. */
export const columnName = (name: string, type: ValueType): string =>
  type === 'money' ? `${name}_cents` : name;

const groups = [
  ['attributes', 'attribute'],
  ['dimensions', 'dimension'],
  ['metrics', 'metric'],
] as const;

/**
 * Logged fields of an event type, in Avro order, as far as they are right. `broken` gets the names of those that are not.
 */
export function buildFields(
  config: EventTypeConfig,
  path: Path,
  reporter: Reporter,
  broken: Set<string>,
): Field[] {
  const fields: Field[] = [
    {name: 'event_id', column: 'event_id', role: 'id', type: 'string', required: true, aliases: []},
    {name: 'timestamp', column: 'timestamp', role: 'time', type: 'timestamp', required: true, aliases: []},
  ];
  const names = new Map<string, string>();
  const columns = new Map<string, string>(fields.map(({name}) => [name, `the column of ${name}`]));
  for (const [key, role] of groups)
    for (const [index, field] of (config[key] ?? []).entries()) {
      const place = [...path, key, index];
      const built = field && buildField(field, role, place, reporter, names);
      if (built && claimColumn(built, place, reporter, columns)) fields.push(built);
      else if (field?.name !== undefined && !fields.some(({name}) => name === field.name))
        broken.add(field.name);
    }
  checkAliases(fields, config, path, reporter);
  return fields;
}

function buildField(
  config: FieldConfig,
  role: FieldRole,
  path: Path,
  reporter: Reporter,
  names: Map<string, string>,
): Field | undefined {
  const {name, type} = config;
  if (name === undefined) return undefined;
  const namePath = [...path, 'name'];
  if (isOfEveryEvent(name)) {
    reporter.error(namePath, 'NAME_RESERVED', `every event has ${quote(name)}: leave it out`, {
      hint: `${everyEvent[name]} of an input names the column of the file`,
    });
    return undefined;
  }
  if (!isFree(name, namePath, reporter)) return undefined;
  if (!reporter.claim(names, name, `a field of this event type`, namePath)) return undefined;
  if (type === undefined) return undefined;
  const symbols = checkSymbols(config, path, reporter);
  const pii = checkPii(config, role, path, reporter);
  return {
    name,
    column: columnName(name, type),
    role,
    type,
    ...(symbols ? {symbols} : {}),
    required: config.required ?? role === 'metric',
    aliases: (config.aliases ?? []).filter((alias) => alias !== undefined),
    ...(config.doc === undefined ? {} : {doc: config.doc}),
    ...(pii === undefined ? {} : {pii}),
  };
}

/** Only what may be NULL can be forgotten, and only text can hold what stands for a value. */
function checkPii(config: FieldConfig, role: FieldRole, path: Path, reporter: Reporter): PiiKind | undefined {
  const {name, type, required, pii} = config;
  if (pii === undefined) return undefined;
  const refuse = (message: string, hint: string) =>
    reporter.error([...path, 'pii'], 'PII_NOT_HERE', message, {onKey: true, hint});
  if (role !== 'attribute')
    refuse(`a ${role} cannot be protected`, `make ${name} an attribute of type string`);
  else if (type !== 'string') refuse(`${type} cannot be protected`, 'use type: string');
  else if (required === true)
    refuse(
      'what can be forgotten cannot be required: it reads NULL then',
      `leave out required: true, and refuse events without it by a check: has_${name}: ${name} is not null`,
    );
  else return pii;
  return undefined;
}

/** Fields that nobody declares, and the key of an input that says where they come from. */
const everyEvent = {timestamp: 'inputs[].timestamp', event_id: 'inputs[].map.event_id'} as const;

const isOfEveryEvent = (name: string): name is keyof typeof everyEvent => Object.hasOwn(everyEvent, name);

/** Whether a name of the user's is none of Millrace's; reports it otherwise. */
export function isFree(name: string, path: Path, reporter: Reporter, onKey = false): boolean {
  if (!reservedNames.has(name)) return true;
  reporter.error(path, 'NAME_RESERVED', `${quote(name)} is a name that Millrace uses itself`, {
    onKey,
    hint: `for example ${name}_value`,
  });
  return false;
}

function claimColumn(field: Field, path: Path, reporter: Reporter, columns: Map<string, string>): boolean {
  const known = columns.get(field.column);
  if (known === undefined) {
    columns.set(field.column, `the column of ${field.name}`);
    return true;
  }
  reporter.error(
    [...path, 'name'],
    'NAME_COLLISION',
    `${quote(field.name)} would give the column ${field.column}, which is ${known}`,
    {
      hint: 'money is stored as <name>_cents; rename one of them',
    },
  );
  return false;
}

function checkSymbols(config: FieldConfig, path: Path, reporter: Reporter): string[] | undefined {
  const {type, symbols} = config;
  if (type !== 'enum') {
    if (symbols)
      reporter.error([...path, 'symbols'], 'ENUM_SYMBOLS', `${type} has no symbols`, {
        onKey: true,
        hint: 'write type: enum',
      });
    return undefined;
  }
  if (!symbols || symbols.length === 0) {
    reporter.error(path, 'ENUM_SYMBOLS', 'an enum needs symbols', {hint: 'add symbols: [first, second]'});
    return [];
  }
  const taken = new Map<string, string>();
  for (const [index, symbol] of symbols.entries()) {
    if (symbol === undefined) continue;
    const place = [...path, 'symbols', index];
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(symbol))
      reporter.error(place, 'ENUM_SYMBOLS', `${quote(symbol)} is no symbol`, {
        hint: 'a letter or _, then letters, digits and _ (a rule of Avro); or use type: string',
      });
    reporter.claim(taken, symbol, 'a symbol of this enum', place);
  }
  return symbols.filter((symbol) => symbol !== undefined);
}

/** An alias says what a field was called before; one that another field has now, or had before, would be ambiguous. */
function checkAliases(fields: Field[], config: EventTypeConfig, path: Path, reporter: Reporter): void {
  const taken = new Map(fields.map(({name}) => [name, 'a field of this event type']));
  for (const [key] of groups)
    for (const [index, field] of (config[key] ?? []).entries())
      for (const [at, alias] of (field?.aliases ?? []).entries())
        if (alias !== undefined)
          reporter.claim(taken, alias, 'an alias in this event type', [...path, key, index, 'aliases', at]);
}
