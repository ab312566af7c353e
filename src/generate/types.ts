import type {Value} from '../expr/types.ts';
import type {Distribution} from '../model/types.ts';

/** Rows of a lookup, as far as the generator needs them: keys in the order of the file, columns beside them. */
export type LookupRows = {name: string; id: string; keys: Value[]; columns: Record<string, Value[]>};

export type Scope = 'event' | 'session' | 'entity';

/** A piece of a text: fixed, a number with at least `width` digits, random digits or letters. */
export type TextPart = {kind: 'fixed'; text: string} | {kind: 'number'} | {kind: 'digit'} | {kind: 'letter'};

/**
 * Where a field's values come from. `table`: an index into values; its index is the session's entity, a draw, or that of another
 * field (`sameAs`). `number`: a number in the unit of its column (money: cents). `text`: pieces around the number of the event
 * (`event`), of the session (`session`) or a key (`key`). `last`: the value of another event type's field in `memory`, else
 * what `own` draws.
 */
export type Source = {nullShare: number; scope: Scope} & (
  | {kind: 'table'; values: Value[]; weights: ArrayLike<number> | null; of: 'draw' | 'entity'}
  | {kind: 'related'; values: Value[]; sameAs: number}
  | {
      kind: 'number';
      distribution: Distribution;
      min: number | null;
      max: number | null;
      scale: number;
      integer: boolean;
    }
  | {kind: 'counter'; of: 'event' | 'session'}
  /** `width`: digits of the text; 0: the key is a number. */
  | {
      kind: 'key';
      count: number;
      weights: ArrayLike<number> | null;
      of: 'draw' | 'entity';
      prefix: string;
      suffix: string;
      width: number;
    }
  | {kind: 'text'; parts: TextPart[]; of: 'event' | 'session'}
  | {kind: 'uuid'}
  | {kind: 'time'}
  | {kind: 'date'}
);

/** A field of an event type with its source. `remember`: place of its values in the sessions' memory; `recall`: place to take it from. */
export type FieldPlan = {
  name: string;
  source: Source;
  /** Number of its first draw. The same in every event type for what is drawn per session or entity. */
  draw: number;
  remember: number | null;
  recall: number | null;
};
