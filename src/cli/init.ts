import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join, relative, resolve} from 'node:path';
import {PlatformError} from '../errors.ts';
import {invocation} from '../invocation.ts';
import type {CommandBody} from './command.ts';
import {printJson} from './output.ts';

/** Writes a platform that runs: one domain, one input file, two queries. */
export const run: CommandBody = async ({args, options, io}) => {
  const root = resolve(io.cwd, args[0] ?? '.');
  const domain = String(options.domain ?? 'shop');
  if (
    !/^[A-Za-z][A-Za-z0-9_]{0,47}$/.test(domain) ||
    domain.includes('__') ||
    ['agg', 'dlq', 'late', 'replay'].includes(domain)
  )
    throw new PlatformError('USAGE', `"${domain}" cannot name a domain`, {
      hint: 'letters, digits and single underscores, beginning with a letter; agg, dlq, late and replay are reserved',
    });
  if (existsSync(join(root, 'config')) && !options.force)
    throw new PlatformError('USAGE', `${join(root, 'config')} is there already`, {
      hint: 'choose another directory, or --force to write into it (files of the same name are replaced)',
    });
  const files = templates(domain);
  const written = Object.keys(files);
  if (!options.dryRun)
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), {recursive: true});
      writeFileSync(join(root, path), text);
    }
  if (options.json) {
    printJson(io, {root, files: written, dryRun: options.dryRun === true});
    return 0;
  }
  const cd = relative(io.cwd, root);
  io.stderr.write(
    `${options.dryRun ? 'would write' : 'wrote'} in ${root}:\n${written.map((path) => `  ${path}\n`).join('')}`,
  );
  const start = invocation(root);
  io.stderr.write(`next:\n${cd ? `  cd ${cd}\n` : ''}  ${start} validate\n  ${start} run\n`);
  return 0;
};

function templates(domain: string): Record<string, string> {
  return {
    'config/platform.yaml': `# The platform. Every section is optional; "millrace explain config" shows the defaults.
platform: ${domain}
defaults: {watermark: 10m}     # how long events may be out of order
`,
    [`config/domains/${domain}.yaml`]: `domain: ${domain}
event_types:
  - name: purchase
    attributes: [order_id, user_id]
    dimensions: [category, country]
    metrics:
      - {name: amount, type: money}        # exact, stored as amount_cents
      - {name: quantity, type: long}
    checks:
      quantity_is_positive: quantity > 0   # a failing event becomes a dead letter
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, format: csv}
aggregations:
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
    'data/purchases.csv': samplePurchases(),
    '.gitignore': '.millrace/\n.env\n',
  };
}

/** 500 purchases over two days, the same ones every time; one of them is bad, to have a dead letter to look at. */
function samplePurchases(): string {
  const categories = ['books', 'garden', 'toys', 'sports'];
  const countries = ['DE', 'FR', 'US', 'BR'];
  let state = 42;
  const next = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const startMs = Date.UTC(2026, 0, 5);
  const lines = ['timestamp,order_id,user_id,category,country,amount,quantity'];
  for (let row = 0; row < 500; row++) {
    const time = new Date(startMs + Math.floor((row * 48 * 3_600_000) / 500)).toISOString();
    const amount = row === 250 ? 'much' : `${5 + next(200)}.${String(next(100)).padStart(2, '0')}`;
    lines.push(
      `${time},o${1000 + row},u${next(120)},${categories[next(4)]},${countries[next(4)]},${amount},${1 + next(3)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}
