import type {ValueType} from '../expr/types.ts';
import type {Column, Table} from '../model/types.ts';

/** A column as its database has it. */
export type Found = {
  name: string;
  /** As the database spells it. */
  type: string;
  nullable: boolean;
  /** Filled by the database when a row does not name it. */
  hasDefault?: boolean;
};

/** Columns and key of a physical table. */
export type Definition = {columns: Found[]; key: string[]};

/** One alteration. Each leaves a table from which the rest follows, so a crash between two of them is gone on with. */
export type Step =
  | {do: 'rename'; from: string; column: Column}
  /** Rows that are there keep their values, in the wider type. */
  | {do: 'widen'; column: Column; nullable: boolean}
  /** The column may be NULL from now on. */
  | {do: 'relax'; name: string}
  /** Rows that are there read NULL. */
  | {do: 'add'; column: Column};

export type TableChange = {
  /** What stands in the way, in words; empty when the steps are all that it takes. */
  differences: string[];
  /** In this order; empty when something stands in the way. */
  steps: Step[];
};

/** Types whose every value the wider one takes, as Avro promotes them. */
const narrower: Partial<Record<ValueType, ValueType[]>> = {long: ['int'], double: ['int', 'long']};

/**
 * How a table that exists becomes `table`. Only tables of raw events change in place: a row of a query says something of every
 * event in it, so rows without a new measure would be wrong and not just incomplete. A column that is not wanted any more
 * stays, and reads NULL in new rows; one that may be NULL stays so.
 * @param spell a column's type as the database spells it
 */
export function tableChange(
  table: Table,
  existing: Definition,
  spell: (column: Column) => string,
): TableChange {
  if (table.kind !== 'raw') return {differences: differencesOf(table, existing, spell), steps: []};
  const has = new Map(existing.columns.map((column) => [column.name, column]));
  const wants = new Set(table.columns.map(({name}) => name));
  const differences: string[] = [];
  const steps: Record<Step['do'], Step[]> = {rename: [], widen: [], relax: [], add: []};
  const used = new Set<string>();
  for (const column of table.columns) {
    const {name} = column;
    const from = has.has(name)
      ? name
      : column.aliases?.find(
          (alias) => has.has(alias) && !wants.has(alias) && !used.has(alias) && !isKey(alias),
        );
    if (from === undefined) {
      if (column.nullable && !table.key.includes(name)) steps.add.push({do: 'add', column});
      else differences.push(`column ${name} ${spell(column)} is missing`);
      continue;
    }
    used.add(from);
    const found = has.get(from)!;
    const type = spell(column);
    const widens = (narrower[column.type] ?? []).some(
      (each) => spell({...column, type: each}) === found.type,
    );
    if (found.type !== type && !(widens && !table.key.includes(name))) {
      differences.push(`column ${from} is ${found.type} instead of ${type}`);
      continue;
    }
    if (from !== name) steps.rename.push({do: 'rename', from, column});
    if (found.type !== type)
      steps.widen.push({do: 'widen', column, nullable: found.nullable || column.nullable});
    if (column.nullable && !found.nullable) steps.relax.push({do: 'relax', name});
  }
  for (const {name, nullable, hasDefault} of existing.columns)
    if (!used.has(name) && !nullable && !hasDefault && !isKey(name)) steps.relax.push({do: 'relax', name});
  if (existing.key.join() !== table.key.join()) differences.push(keyDifference(table, existing));
  if (differences.length > 0) return {differences, steps: []};
  return {differences, steps: [...steps.rename, ...steps.widen, ...steps.relax, ...steps.add]};

  function isKey(name: string): boolean {
    return existing.key.includes(name);
  }
}

const keyDifference = (table: Table, existing: Definition): string =>
  `the key is (${existing.key.join(', ')}) instead of (${table.key.join(', ')})`;

/** What differs between the columns and key that exist and those that are wanted; empty when nothing does. */
function differencesOf(table: Table, existing: Definition, spell: (column: Column) => string): string[] {
  const found: string[] = [];
  const has = new Map(existing.columns.map(({name, type}) => [name, type]));
  const wants = new Map(table.columns.map((column) => [column.name, spell(column)]));
  for (const [name, type] of wants) {
    if (!has.has(name)) found.push(`column ${name} ${type} is missing`);
    else if (has.get(name) !== type) found.push(`column ${name} is ${has.get(name)} instead of ${type}`);
  }
  for (const name of has.keys())
    if (!wants.has(name)) found.push(`column ${name} is not in the configuration`);
  if (found.length === 0 && existing.key.join() !== table.key.join())
    found.push(keyDifference(table, existing));
  return found;
}
