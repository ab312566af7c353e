import type {Transform} from './shop.d.ts';

const regions = new Map([
  ['DE', 'EMEA'],
  ['FR', 'EMEA'],
  ['US', 'AMER'],
]);

type Item = {product: string; price: number | string; quantity: number};

/** A basket becomes its lines; the region comes from the country. */
const basket: Transform<'line'> = (event, {reject}) => {
  const country = event.country?.toUpperCase() ?? null;
  const region = country === null ? null : regions.get(country);
  if (region === undefined) return reject('COUNTRY_UNKNOWN', `no region has the country ${country}`);
  if (!Array.isArray(event.items)) return reject('NO_ITEMS', 'a basket has a list of items');
  return event.items.map(({product, price, quantity}: Item) => ({
    ...event,
    country,
    region,
    product_id: product,
    price,
    quantity,
  }));
};

export default basket;
