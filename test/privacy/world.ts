/** A platform with personal data, and files that try to spread it. */
import {readdirSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {makeRoot} from '../support/cli.ts';

export const canaries = {
  email: 'canary.mail.7719@example.com',
  phone: '+49 170 7719 4242',
  note: 'canary-note-ünïcödé-7719',
};

export const key = 'a-key-for-tests-that-is-long-enough-4711';

export const platformYaml = `platform: shop
pii: {key: "\${secret:pii_key}"}
sinks:
  rows: {backend: file, file: {dir: .millrace/rows}}
defaults: {aggregates: rows, raw: rows, dead_letters: {budget: 100%}}
server: {port: 0}
`;

export const domainYaml = `domain: shop
event_types:
  - name: order
    key: email
    attributes:
      - {name: email, type: string, pii: hash}
      - {name: phone, type: string, pii: mask}
      - {name: note, type: string, pii: drop}
    dimensions: [country]
    metrics: [{name: amount, type: money}]
    derive:
      loud: upper(note)
    checks:
      amount_is_positive: amount > 0.00
      not_spam: loud <> 'SPAM'
      phone_differs: phone <> email
  - name: visit
    attributes:
      - {name: email, type: string, pii: hash}
aggregations:
  - name: per_email
    from: order
    window: {type: tumbling, size: 1h}
    group_by: [email, phone, country]
    measures: {orders: count(), revenue: sum(amount)}
  - name: buyers
    from: order
    window: {type: tumbling, size: 1h}
    group_by: [country]
    measures: {orders: count(), buyers: distinct(email), noted: count(note is not null)}
inputs:
  - {name: orders, event_type: order, from: ../../orders.csv, format: csv, map: {timestamp: at}}
`;

const {email, phone, note} = canaries;

export const ordersCsv = `at,email,phone,note,country,amount
2026-01-05T10:00:00Z,${email},${phone},${note},DE,10.00
2026-01-05T10:01:00Z,${email},${phone},${note},DE,5.00
2026-01-05T10:02:00Z,other@example.org,0301234567,,DE,1.00
2026-01-05T10:03:00Z,,,,FR,1.00
2026-01-05T10:04:00Z,${email},${phone},${note},DE,-1.00
2026-01-05T10:05:00Z,${email},${phone},${note},DE,${email}
2026-01-05T10:06:00Z,${email},${email},${note},DE,1.00
2026-01-05T10:07:00Z,${email},${phone},"${note},DE,1.00,${note}
2026-01-05T10:08:00Z,${email},${phone}
`;

export function makeWorld(files: Record<string, string> = {}): string {
  return makeRoot({
    '.env': `pii_key=${key}\n`,
    'config/platform.yaml': platformYaml,
    'config/domains/shop.yaml': domainYaml,
    'orders.csv': ordersCsv,
    ...files,
  });
}

/** What of the canaries stands in some bytes, in any way that we know of. */
export function leaksIn(bytes: Buffer): string[] {
  const forms = Object.entries(canaries).flatMap(([name, value]): [string, Buffer][] => [
    [name, Buffer.from(value)],
    [`${name} in capitals`, Buffer.from(value.toUpperCase())],
    [`${name} in UTF-16`, Buffer.from(value, 'utf16le')],
    [`${name} as JSON`, Buffer.from(JSON.stringify(value).slice(1, -1))],
    [`${name} in base64`, Buffer.from(Buffer.from(value.slice(0, 12)).toString('base64'))],
    [`the key of ${name}`, Buffer.from(key)],
  ]);
  return forms.filter(([, form]) => bytes.includes(form)).map(([name]) => name);
}

/** Every file below a directory that holds a canary. */
export function leaksBelow(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    const stat = statSync(path);
    if (stat.isDirectory()) return leaksBelow(path);
    return stat.isFile() ? leaksIn(readFileSync(path)).map((what) => `${path}: ${what}`) : [];
  });
}
