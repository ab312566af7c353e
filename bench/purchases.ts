/** Purchases of the benches: drawn by lot, or counted through. Those of a bench stay as they are, or its figures could not be compared with earlier ones. */
import type {EventType, Field} from '../src/model/types.ts';
import {uuid5Of} from '../src/schema/uuid5.ts';
import {field as plainField} from '../test/support/fields.ts';

/** mulberry32: the same events in every run. @returns uniform in [0, 1) */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const categories =
  'electronics fashion grocery home garden toys beauty sports books automotive jewelry pets'.split(' ');
export const countries =
  'US GB DE FR IT ES NL BE SE NO DK FI PL CZ AT CH PT IE GR HU RO BG CA MX BR JP KR IN AU NZ'.split(' ');
export const devices = ['mobile', 'desktop', 'tablet'];

/** An id as of version 7. @param below a random integer below so many */
export function randomId(below: (n: number) => number): string {
  const hex = (digits: number) =>
    below(16 ** digits)
      .toString(16)
      .padStart(digits, '0');
  return `${hex(8)}-${hex(4)}-7${hex(3)}-8${hex(3)}-${hex(6)}${hex(6)}`;
}

const field = (name: string, type: Field['type'], role: Field['role'], required = false): Field =>
  plainField(name, type, {role, required});

/** Eight fields, about 100 bytes. */
export const purchaseType: EventType = {
  domain: 'ecommerce',
  name: 'purchase',
  topic: 'ecommerce.purchase',
  key: 'user_id',
  fields: [
    field('event_id', 'string', 'id', true),
    field('timestamp', 'timestamp', 'time', true),
    ...['user_id', 'product_id', 'category', 'country', 'device'].map((name) =>
      field(name, 'string', 'dimension'),
    ),
    field('amount', 'money', 'metric', true),
  ],
  derive: [],
  enrich: [],
  checks: [],
};

const ids = uuid5Of('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'bench/');

/** The purchase of a number: one event in ten milliseconds, one country in twenty is missing. */
export const purchaseOf = (i: number) => ({
  event_id: ids.of(i),
  timestamp: 1767225600000 + i * 10,
  user_id: `user-${(i * 7919) % 50000}`,
  product_id: `product-${(i * 31) % 2000}`,
  category: categories[i % 6]!,
  country: i % 20 === 0 ? null : ['US', 'GB', 'DE', 'FR', 'IT', 'ES', 'NL', 'BR'][i % 8]!,
  device: i % 3 === 0 ? 'mobile' : 'desktop',
  amount: ((i * 977) % 500000) / 100,
});
