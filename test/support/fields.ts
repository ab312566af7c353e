/** Fields of event types as the configuration makes them. */
import type {ValueType} from '../../src/expr/types.ts';
import type {Field} from '../../src/model/types.ts';

/** An optional attribute. */
export const field = (name: string, type: ValueType, more: Partial<Field> = {}): Field => ({
  name,
  column: type === 'money' ? `${name}_cents` : name,
  role: 'attribute',
  type,
  required: false,
  aliases: [],
  ...more,
});
