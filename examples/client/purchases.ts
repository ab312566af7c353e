/** Sends a thousand purchases and tells what became of them: `node purchases.ts <url> <token>`. */
import {Client, type Verdict} from './client.ts';

/** The event types of the domain, as `config/domains/shop.yaml` has them. */
type Events = {
  'shop.purchase': {
    event_id?: string;
    timestamp?: string | number;
    order_id?: string;
    user_id?: string;
    category?: string;
    country?: string;
    amount: number | string;
    quantity: number;
  };
};

const [url = 'http://127.0.0.1:4000', token = process.env.MILLRACE_TOKEN ?? ''] = process.argv.slice(2);
const client = new Client<Events>({url, token});
const verdicts: Promise<Verdict>[] = [];
for (let order = 0; order < 1000; order++)
  verdicts.push(
    client.send('shop.purchase', {
      order_id: `o-${order}`,
      user_id: `u-${order % 50}`,
      category: 'books',
      country: 'DE',
      amount: (order % 100) + 0.99,
      quantity: 1,
    }),
  );
await client.flush();
const counts: Record<string, number> = {};
for (const {status} of await Promise.all(verdicts)) counts[status] = (counts[status] ?? 0) + 1;
console.log(JSON.stringify(counts));
