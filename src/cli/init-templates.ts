/** Domains that `init` writes: what happens in them, some rows of it, and how more can be made up. */

export type Like = 'purchases' | 'player_actions' | 'readings';
export type Source = 'sample' | 'generator' | 'http';

type Template = {
  /** As a question offers it. */
  says: string;
  /** Name of the domain that suits it. */
  domain: string;
  eventType: string;
  /** Event types and aggregations, as YAML. */
  body: string;
  /** Below `generate:`. */
  generate: string;
  /** Header of a sample file, and its n-th row; `draw(n)` is a number from 0 below n. */
  columns: string;
  row(n: number, draw: (below: number) => number): string;
};

const pick = (list: string[], draw: (below: number) => number): string => list[draw(list.length)]!;

export const templates: Record<Like, Template> = {
  purchases: {
    says: 'purchases in a shop',
    domain: 'shop',
    eventType: 'purchase',
    body: `event_types:
  - name: purchase
    attributes: [order_id, user_id]
    dimensions: [category, country]
    metrics:
      - {name: amount, type: money}        # exact, stored as amount_cents
      - {name: quantity, type: long}
    checks:
      quantity_is_positive: quantity > 0   # a failing event becomes a dead letter
`,
    generate: `  rate: 20/s
  keys: {user_id: {count: 500, zipf: 1.1}}
  values:
    category: [books, garden, toys, sports]
    country: {weights: {DE: 40, FR: 20, US: 30, BR: 10}}
    amount: {lognormal: [35.00, 0.8]}
    quantity: {weights: {1: 70, 2: 20, 3: 10}}
  faults: {late: {share: 1%, by: 30s..20m}, corrupt: 0.2%, duplicate: 0.5%}
`,
    columns: 'order_id,user_id,category,country,amount,quantity',
    row(n, draw) {
      // One is bad, to have a dead letter to look at.
      const amount = n === 250 ? 'much' : `${5 + draw(200)}.${String(draw(100)).padStart(2, '0')}`;
      const user = draw(120);
      const category = pick(['books', 'garden', 'toys', 'sports'], draw);
      return `o${1000 + n},u${user},${category},${pick(['DE', 'FR', 'US', 'BR'], draw)},${amount},${1 + draw(3)}`;
    },
  },
  player_actions: {
    says: 'what players do in a game',
    domain: 'games',
    eventType: 'player_action',
    body: `event_types:
  - name: player_action
    key: player_id                         # events of one player stay in order
    attributes: [player_id, action_type, {name: game_level, type: int}]
    dimensions: [platform, region]
    checks:
      level_is_possible: game_level is null or game_level between 1 and 100
`,
    generate: `  rate: 50/s
  keys: {player_id: {count: 2000, zipf: 1.0}}
  values:
    action_type: {weights: {move: 60, fight: 25, trade: 10, level_up: 5}}
    game_level: {uniform: [1, 40]}
    platform: {weights: {mobile: 50, pc: 30, console: 20}}
    region: [eu, us, asia]
  faults: {late: {share: 1%, by: 30s..20m}, corrupt: 0.2%, duplicate: 0.5%}
`,
    columns: 'player_id,action_type,game_level,platform,region',
    row(n, draw) {
      const level = n === 250 ? 900 : 1 + draw(40);
      const player = draw(150);
      const action = pick(['move', 'move', 'move', 'fight', 'fight', 'trade', 'level_up'], draw);
      return `p${player},${action},${level},${pick(['mobile', 'pc', 'console'], draw)},${pick(['eu', 'us', 'asia'], draw)}`;
    },
  },
  readings: {
    says: 'readings of sensors',
    domain: 'sensors',
    eventType: 'reading',
    body: `event_types:
  - name: reading
    key: device_id
    attributes: [device_id]
    dimensions: [site, kind]
    metrics:
      - {name: value, type: double}
    checks:
      value_is_possible: value between -273.0 and 1000.0
`,
    generate: `  rate: 50/s
  keys: {device_id: {count: 200}}
  values:
    site: [north, south, west]
    kind: [temperature, humidity]
    value: {normal: [21.0, 4.0]}
  faults: {late: {share: 1%, by: 30s..20m}, corrupt: 0.2%, duplicate: 0.5%}
`,
    columns: 'device_id,site,kind,value',
    row(n, draw) {
      const value = n === 250 ? 'hot' : (12 + draw(180) / 10).toFixed(1);
      const device = draw(40);
      return `d${device},${pick(['north', 'south', 'west'], draw)},${pick(['temperature', 'humidity'], draw)},${value}`;
    },
  },
};

const aggregations: Record<Like, string> = {
  purchases: `aggregations:
  - name: revenue_per_hour
    from: purchase
    window: {type: tumbling, size: 1h}
    group_by: [category, country]
    measures:
      orders: count()
      revenue: sum(amount)
      average: avg(amount)
      buyers: distinct(user_id)
  - name: orders_per_day
    from: purchase
    window: {type: calendar, unit: day, timezone: Europe/Berlin}
    group_by: [country]
    measures:
      orders: count()
      large: count(amount >= 100.00)
      large_share: large / orders
`,
  player_actions: `aggregations:
  - name: actions_per_minute
    from: player_action
    window: {type: tumbling, size: 1m}
    group_by: [action_type, platform]
    measures:
      actions: count()
      players: distinct(player_id)
  - name: visits
    from: player_action
    window: {type: session, gap: 30m}
    group_by: [player_id]
    measures:
      actions: count()
      highest_level: max(game_level)
`,
  readings: `aggregations:
  - name: value_per_minute
    from: reading
    window: {type: tumbling, size: 1m}
    group_by: [site, kind]
    measures:
      readings: count()
      average: avg(value)
      highest: max(value)
      p95: "quantile(value, 0.95)"
  - name: devices_per_hour
    from: reading
    window: {type: sliding, size: 1h, slide: 10m}
    group_by: [site]
    measures:
      devices: distinct(device_id)
`,
};

/** The domain file of a template. */
export function domainText(domain: string, like: Like, source: Source): string {
  const {body, eventType, generate} = templates[like];
  const input = `inputs:\n  - {name: ${eventType}s, event_type: ${eventType}, from: ../../data/${eventType}s.csv, format: csv}\n`;
  const made = `generate:                                  # made-up events, the same ones for the same seed\n  seed: 42\n${generate}`;
  return `domain: ${domain}\n${body}${source === 'sample' ? input : ''}${aggregations[like]}${source === 'generator' ? made : ''}`;
}

/** 500 events over two days, the same ones every time. */
export function sampleText(like: Like): string {
  const {columns, row} = templates[like];
  let state = 42;
  const draw = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const startMs = Date.UTC(2026, 0, 5);
  const lines = [`timestamp,${columns}`];
  for (let n = 0; n < 500; n++) {
    const time = new Date(startMs + Math.floor((n * 48 * 3_600_000) / 500)).toISOString();
    lines.push(`${time},${row(n, draw)}`);
  }
  return `${lines.join('\n')}\n`;
}
