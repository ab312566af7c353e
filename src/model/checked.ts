import {columnsOf} from '../expr/walk.ts';
import type {EventType} from './types.ts';

/** What of an event type its checks are computed from. */
export type CheckedType = Pick<EventType, 'topic' | 'fields' | 'derive' | 'checks'>;

/**
 * What an event type's checks look at, directly or through derived columns: the names, and the derived columns among them in the
 * order in which they are computed.
 */
export function checkedColumns({checks, derive}: Pick<CheckedType, 'checks' | 'derive'>): {
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

/** The event type as its checks need it. */
export function checkedType(eventType: EventType): CheckedType {
  const {topic, fields, checks} = eventType;
  return {topic, fields, derive: checkedColumns(eventType).derived, checks};
}
