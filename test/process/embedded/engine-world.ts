/** The domain, queries and events of the engine's tests. */

import {field} from '../../support/fields.ts';
import {eventType, type Logged, planOf} from './kernel-world.ts';
import {minute} from './rig.ts';

export const purchase = eventType('purchase', [
  field('user', 'string'),
  field('country', 'string', {role: 'dimension'}),
  field('amount', 'money', {role: 'metric', required: true}),
]);
export const view = eventType('view', [
  field('user', 'string'),
  field('country', 'string', {role: 'dimension'}),
]);

const measures = {orders: 'count()', revenue: 'sum(amount)', average: 'avg(amount)', most: 'max(amount)'};
export const tumbling = planOf([purchase], {name: 'tumbling', groupBy: ['country'], measures});
export const sliding = planOf([purchase], {
  name: 'sliding',
  groupBy: ['country'],
  measures,
  window: {type: 'sliding', sizeMs: 5 * minute, slideMs: minute},
  watermarkMs: minute,
  correctForMs: 4 * minute,
});
const daily = planOf([purchase, view], {
  name: 'daily',
  groupBy: ['country'],
  measures: {
    views: "count(event_type = 'view')",
    orders: "count(event_type = 'purchase')",
    rate: 'orders / views',
  },
  window: {type: 'calendar', unit: 'day', timezone: 'America/New_York'},
});
export const sessions = planOf([purchase, view], {
  name: 'sessions',
  groupBy: ['user'],
  measures: {pages: 'count()'},
  window: {type: 'session', gapMs: minute},
});
/** Nothing is corrected: late events go to their topic. */
export const strict = planOf([purchase], {name: 'strict', groupBy: ['country'], measures, late: 'topic'});
export const all = [tumbling, sliding, daily, sessions];

/** Seeded, without anything to remember. */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export const day = Date.UTC(2026, 2, 8, 4);

/** Events whose times wander, now and then far back, over the partitions. */
export function events(count: number, seed: number, partitions: number, fromMs = day): Logged[] {
  const next = random(seed);
  return Array.from({length: count}, (_, index) => {
    const late = next(20) === 0 ? next(12) * minute : next(30_000);
    const type = next(3) === 0 ? view : purchase;
    return {
      type,
      partition: next(partitions),
      values: {
        event_id: `${seed}-${index}`,
        timestamp: Math.max(fromMs + index * 3_000 - late, 0),
        user: `u${next(7)}`,
        country: [null, '', 'US', 'DE', 'BR'][next(5)]!,
        ...(type === purchase ? {amount: next(100_000)} : {}),
      },
    };
  });
}
