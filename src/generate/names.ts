/** What a field probably holds, by its name: for domains that say nothing about it. */
import type {Distribution} from '../model/types.ts';

type Weighted = readonly (readonly [value: string, weight: number])[];

const evenly = (text: string): Weighted => text.split(' ').map((value) => [value, 1] as const);

/** Ends of field names -> texts. The longest that fits decides. */
const texts: Record<string, Weighted> = {
  country: [
    ['US', 40],
    ['DE', 15],
    ['GB', 12],
    ['FR', 10],
    ['BR', 8],
    ['IN', 8],
    ['JP', 7],
  ],
  region: evenly('north south east west'),
  city: evenly('Berlin London Paris Tokyo Austin Lyon Osaka Leeds'),
  device: [
    ['mobile', 60],
    ['desktop', 32],
    ['tablet', 8],
  ],
  platform: [
    ['android', 40],
    ['ios', 30],
    ['windows', 20],
    ['console', 10],
  ],
  os: evenly('android ios windows macos linux'),
  browser: [
    ['chrome', 62],
    ['safari', 22],
    ['firefox', 9],
    ['edge', 7],
  ],
  language: evenly('en de fr pt ja es'),
  currency: evenly('USD EUR GBP JPY BRL'),
  category: evenly('electronics fashion grocery home garden toys beauty sports books'),
  channel: evenly('organic paid email social direct'),
  source: evenly('organic paid email social direct'),
  referrer: evenly('search social mail none'),
  payment: evenly('card paypal invoice transfer'),
  plan: evenly('free basic pro team'),
  page: evenly('/ /search /product /cart /checkout /account /help'),
  path: evenly('/ /search /product /cart /checkout /account /help'),
  url: evenly('/ /search /product /cart /checkout /account /help'),
  method: evenly('GET GET GET POST PUT DELETE'),
  status: [
    ['ok', 90],
    ['failed', 7],
    ['pending', 3],
  ],
  level: evenly('1 2 3 4 5 6 7 8 9 10'),
  gender: evenly('f m x'),
  color: evenly('red green blue black white'),
  size: evenly('S M L XL'),
  type: evenly('a b c d'),
  version: evenly('1.0 1.1 1.2 2.0'),
  coupon: [
    ['WELCOME', 6],
    ['SPRING', 3],
    ['FRIENDS', 1],
  ],
};

/** Ends of field names -> numbers, in the field's unit. */
const numbers: Record<string, Distribution> = {
  quantity: {kind: 'lognormal', median: 1.4, sigma: 0.6},
  count: {kind: 'lognormal', median: 3, sigma: 0.8},
  items: {kind: 'lognormal', median: 2, sigma: 0.6},
  amount: {kind: 'lognormal', median: 35, sigma: 0.8},
  price: {kind: 'lognormal', median: 20, sigma: 0.9},
  total: {kind: 'lognormal', median: 60, sigma: 0.8},
  cost: {kind: 'lognormal', median: 12, sigma: 0.9},
  fee: {kind: 'lognormal', median: 3, sigma: 0.5},
  balance: {kind: 'normal', mean: 500, deviation: 200},
  age: {kind: 'normal', mean: 38, deviation: 12},
  score: {kind: 'uniform', from: 0, to: 100},
  percent: {kind: 'uniform', from: 0, to: 100},
  share: {kind: 'uniform', from: 0, to: 1},
  rating: {kind: 'uniform', from: 1, to: 5},
  latency: {kind: 'lognormal', median: 80, sigma: 0.9},
  duration: {kind: 'lognormal', median: 30, sigma: 1},
  ms: {kind: 'lognormal', median: 120, sigma: 0.9},
  seconds: {kind: 'lognormal', median: 30, sigma: 1},
  bytes: {kind: 'lognormal', median: 4000, sigma: 1.2},
  temperature: {kind: 'normal', mean: 20, deviation: 6},
  humidity: {kind: 'normal', mean: 55, deviation: 12},
  pressure: {kind: 'normal', mean: 1013, deviation: 8},
  speed: {kind: 'normal', mean: 50, deviation: 15},
  distance: {kind: 'lognormal', median: 12, sigma: 0.9},
  lat: {kind: 'uniform', from: -60, to: 70},
  latitude: {kind: 'uniform', from: -60, to: 70},
  lon: {kind: 'uniform', from: -180, to: 180},
  longitude: {kind: 'uniform', from: -180, to: 180},
};

/** Things of which every event has its own: `order_id`. */
const ownIds = new Set(
  'order transaction payment invoice request trace span message event booking ticket'.split(' '),
);

function byEnd<T>(table: Record<string, T>, name: string): T | undefined {
  const words = name.toLowerCase().split('_');
  for (let from = 0; from < words.length; from++) {
    const end = words.slice(from).join('_');
    if (Object.hasOwn(table, end)) return table[end];
  }
  return undefined;
}

/** Texts of a field that has no values in the configuration; undefined when its name says nothing. */
export const textsFor = (name: string): Weighted | undefined => byEnd(texts, name);

/** Numbers of a field, never below 0 unless the name says so. */
export const numbersFor = (name: string): Distribution | undefined => byEnd(numbers, name);

/** `order` of `order_id`; undefined when the name is no id. */
export const idStem = (name: string): string | undefined =>
  /^(.+)_(?:id|key|no|uuid)$/i.exec(name)?.[1]?.toLowerCase() ??
  (name.toLowerCase() === 'id' ? 'id' : undefined);

/** Whether an id is one of those that every event has its own of. */
export const isOwnId = (stem: string): boolean => ownIds.has(stem) || stem === 'id';
