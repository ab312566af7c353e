import type {ValueType} from '../expr/types.ts';
import type {Flat} from './flat.ts';
import type {AvroRecord} from './types.ts';

/** Column types -> writer's kinds that can be read as them, promotions of the specification included. */
export const readable: Record<ValueType, readonly Flat['kind'][]> = {
  string: ['string', 'bytes'],
  uuid: ['string'],
  enum: ['enum'],
  boolean: ['boolean'],
  int: ['int'],
  date: ['int'],
  long: ['int', 'long'],
  money: ['int', 'long'],
  timestamp: ['int', 'long'],
  double: ['int', 'long', 'float', 'double'],
};

/** Index of a writer's field for a column: its name, else one of its aliases; -1 when there is none. Names are Avro's. */
export function fieldIndexOf(
  schema: AvroRecord,
  {column, aliases}: {column: string; aliases: readonly string[]},
): number {
  for (const name of [column, ...aliases]) {
    const index = schema.fields.findIndex((field) => field.name === name);
    if (index >= 0) return index;
  }
  return -1;
}

/** Avro names that older writers may have used. */
export const avroAliases = ({
  type,
  aliases,
}: {
  type: ValueType;
  aliases: readonly string[];
}): readonly string[] => (type === 'money' ? aliases.map((alias) => `${alias}_cents`) : aliases);

/**
 * Why no value of a writer's field can be read as the column's type; undefined when they can. @param index of the writer's field, -1: none
 */
export function unreadable(
  {column, type, required}: {column: string; type: ValueType; required: boolean},
  index: number,
  branches: readonly Flat[],
  schemaId: number,
): string | undefined {
  if (index < 0)
    return required ? `field ${column} is required, and schema ${schemaId} does not have it` : undefined;
  const kinds = branches.filter(({kind}) => kind !== 'null').map(({kind}) => kind);
  if (kinds.every((kind) => readable[type].includes(kind))) return undefined;
  return `field ${column} was written as ${kinds.join(' or ')} and cannot be read as ${type}`;
}
