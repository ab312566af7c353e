import {columnsOf} from '../expr/walk.ts';
import type {EventType} from './types.ts';

/**
 * What an event type's checks look at, directly or through derived columns: the names, and the derived columns among them in the
 * order in which they are computed.
 */
export function checkedColumns({checks, derive}: EventType): {
  wanted: ReadonlySet<string>;
  derived: EventType['derive'];
} {
  const wanted = new Set(checks.flatMap(({expr}) => [...columnsOf(expr)]));
  const derived = derive
    .toReversed()
    .filter(({name, expr}) => {
      if (!wanted.has(name)) return false;
      for (const column of columnsOf(expr)) wanted.add(column);
      return true;
    })
    .toReversed();
  return {wanted, derived};
}
