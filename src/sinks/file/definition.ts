import type {Column, Table} from '../../model/types.ts';
import {tableChange} from '../evolve.ts';

/**
 * The definition that reads what was written by `existing` and what will be written as `table`: renamed columns with the names
 * that they had as `aliases`, those that are not wanted any more at the end.
 * @returns `definition`: undefined when the one that exists serves; `differences`: what cannot be read by one definition
 */
export function changedDefinition(
  table: Table,
  existing: Table | undefined,
): {differences: string[]; definition?: Table} {
  if (!existing) return {differences: [], definition: {...table, columns: table.columns.map(withoutAliases)}};
  const {differences, steps} = tableChange(table, existing, ({type}) => type);
  const formerly = new Map(existing.columns.flatMap(({aliases = []}) => aliases.map((name) => [name, true])));
  const taken = steps.flatMap((step) =>
    step.do === 'add' && formerly.has(step.column.name)
      ? [`column ${step.column.name} is what lines of before call another column`]
      : [],
  );
  if (differences.length + taken.length > 0) return {differences: [...differences, ...taken]};
  const old = new Map(existing.columns.map((column) => [column.name, column]));
  const renamed = new Map(
    steps.flatMap((step) => (step.do === 'rename' ? [[step.column.name, step.from] as const] : [])),
  );
  const wanted = table.columns.map((column): Column => {
    const from = renamed.get(column.name);
    const was = old.get(from ?? column.name);
    const aliases = [...(from === undefined ? [] : [from]), ...(was?.aliases ?? [])];
    return {
      ...withoutAliases(column),
      nullable: column.nullable || was?.nullable === true,
      ...(aliases.length > 0 ? {aliases} : {}),
    };
  });
  const used = new Set([...wanted.map(({name}) => name), ...renamed.values()]);
  const rest = existing.columns.filter(({name}) => !used.has(name));
  const definition = {
    ...table,
    columns: [...wanted, ...rest.map((column) => ({...column, nullable: true}))],
  };
  return JSON.stringify(definition) === JSON.stringify(existing) ? {differences} : {differences, definition};
}

/** What the configuration calls aliases says nothing of the lines that are there. */
function withoutAliases({aliases: _, ...column}: Column): Column {
  return column;
}

/** Under which name an object of a line or segment holds a column: its own, else one that it had; undefined when it lacks it. */
export const storedName = ({name, aliases = []}: Column, object: object): string | undefined =>
  Object.hasOwn(object, name) ? name : aliases.find((alias) => Object.hasOwn(object, alias));
