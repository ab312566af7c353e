/** Whether the databases say of every window what was sent, summed up beside the platform. */
import type {RealServers} from '../faults/real-servers.ts';
import type {Sender} from '../faults/sender.ts';

/** Minutes and colours of which a database does not say what was sent, by what it says. */
export async function differing(servers: RealServers, {windows}: Sender): Promise<string[]> {
  const columns = 'color, sum(sold), sum(revenue_cents) FROM shop.per_minute GROUP BY 1, 2';
  const answers = {
    ClickHouse: await servers.clickHouse(`SELECT toUnixTimestamp(window_start), ${columns}`),
    PostgreSQL: await servers.postgres.sql(`SELECT extract(epoch FROM window_start)::bigint, ${columns}`),
    'PostgreSQL, raw': await servers.postgres.sql(
      "SELECT extract(epoch FROM date_trunc('minute', timestamp))::bigint, color, count(*), sum(amount_cents) FROM shop.sale GROUP BY 1, 2",
    ),
  };
  const wanted = new Map([...windows].map(([key, sums]) => [key, String(sums)]));
  return Object.entries(answers).flatMap(([place, rows]) => {
    const found = new Map(rows.map(([start, color, ...sums]) => [`${start},${color}`, String(sums)]));
    return [...new Set([...wanted.keys(), ...found.keys()])]
      .filter((key) => found.get(key) !== wanted.get(key))
      .map((key) => `${place}: ${key} has ${found.get(key)}, wanted ${wanted.get(key)}`);
  });
}
