/** What several benches share: the purchase domain, a platform in a directory of its own, ready-made batches, figures. */
import {execFileSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {cpus, loadavg, tmpdir} from 'node:os';
import {join} from 'node:path';
import {partitionOf} from '../src/log/partition.ts';
import {loadPlatform} from '../src/model/load.ts';
import {type RunningPlatform, startPlatform} from '../src/platform/runtime.ts';
import {compileEncoder} from '../src/schema/encode.ts';
import {openEmbeddedRegistry} from '../src/schema/registry.ts';
import type {AvroRecord} from '../src/schema/types.ts';
import {sinks} from '../src/sinks/registry.ts';
import type {SinkSpec} from '../src/sinks/types.ts';
import {categories, countries, createRandom, devices, randomId} from './purchases.ts';

/** Eight fields, about 90 bytes; job A of the comparisons: tumbling minute, 2 dimensions, 4 measures. */
export const purchaseYaml = `domain: ecommerce
event_types:
  - name: purchase
    key: category
    attributes: [user_id, product_id]
    dimensions: [category, country, device]
    metrics:
      - {name: amount, type: money}
aggregations:
  - name: revenue_per_minute
    from: purchase
    window: {type: tumbling, size: 1m}
    group_by: [category, country]
    measures:
      orders: count()
      revenue: sum(amount)
      average: avg(amount)
      largest: max(amount)
`;
export const purchaseTopic = 'ecommerce.purchase';
export const partitions = 4;

/** Starts a platform on a new directory that holds `files` below `config/`; raw events off, any free port. */
export async function startOn(
  files: Record<string, string>,
): Promise<{running: RunningPlatform; root: string; remove(): void}> {
  const root = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  for (const [path, text] of Object.entries({
    'platform.yaml': 'platform: bench\ndefaults: {raw: none}\n',
    ...files,
  })) {
    mkdirSync(join(root, 'config', path, '..'), {recursive: true});
    writeFileSync(join(root, 'config', path), text);
  }
  const running = await startFrom(root);
  return {running, root, remove: () => rmSync(root, {recursive: true, force: true})};
}

/** Starts the platform whose `config/` is in `root`; its inputs wait. */
export async function startFrom(root: string): Promise<RunningPlatform> {
  const sinkSpecs: Record<string, SinkSpec> = sinks;
  const loaded = await loadPlatform({from: root, env: 'dev', variables: {}, sinkSpecs});
  if (!loaded.ok) throw new Error(loaded.diagnostics.map(({message}) => message).join('\n'));
  return startPlatform(loaded.platform, {inputs: false, port: 0});
}

/** The newest schema of a topic, as the platform registered it. */
export async function schemaOf(running: RunningPlatform, topic: string) {
  const registry = openEmbeddedRegistry(running.dirs.registry.dir);
  try {
    const newest = (await registry.versions(`${topic}-value`)).at(-1);
    if (!newest) throw new Error(`no schema of ${topic}`);
    return {id: newest.id, schema: newest.schema as AvroRecord};
  } finally {
    registry.close();
  }
}

export type Purchase = {timestampMs: number; category: string; country: string; amountCents: number};

/** Makes purchases and writes them, in the order of the schema's fields, as records of a batch. */
export function createPurchases({id, schema}: {id: number; schema: AvroRecord}, seed = 1) {
  const random = createRandom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const encoder = compileEncoder(schema, id);
  const row: (string | number)[] = [];
  return {
    next: (timestampMs: number): Purchase => ({
      timestampMs,
      category: categories[below(12)]!,
      country: countries[Math.floor(random() ** 2 * 30)]!,
      amountCents: Math.round(Math.exp(8 + 2.2 * (random() + random() + random() - 1.5))),
    }),
    /** Writes a record into `to` at `at`. @returns its end; negative when it does not fit */
    write({timestampMs, category, country, amountCents}: Purchase, to: Uint8Array, at: number): number {
      row[0] = randomId(below);
      row[1] = timestampMs;
      row[2] = `u_${below(1_000_000)}`;
      row[3] = `p_${below(5_614)}`;
      row[4] = category;
      row[5] = country;
      row[6] = devices[below(3)]!;
      row[7] = amountCents;
      return encoder.encodeRecord(row, to, at);
    },
    partitionOf: ({category}: Purchase) => partitionOf(category, '', partitions),
  };
}

export const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
/** Value below which a share of the values lies. */
export const quantile = (sorted: ArrayLike<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
export const range = (values: number[], digits = 0): string =>
  `${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)}`;

/** Machine, load and revision: what a figure is worth nothing without. */
export function machine(): string {
  const revision = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {encoding: 'utf8'}).trim();
  return `${cpus().length} x ${cpus()[0]?.model}, node ${process.version}, revision ${revision}, load ${loadavg()
    .map((value) => value.toFixed(1))
    .join(' ')}`;
}

/** This process and all that descend from it, by process id. Linux. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = statOf(Number(name))?.parent;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree = [root];
  for (let at = 0; at < tree.length; at++) tree.push(...(children.get(tree[at]!) ?? []));
  return tree;
}

function statOf(pid: number): {parent: number; cpuTicks: number} | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return {parent: Number(fields[1]), cpuTicks: Number(fields[11]) + Number(fields[12])};
  } catch {
    return undefined;
  }
}

/** CPU seconds that a process tree has used so far. */
export const cpuSecondsOf = (root: number): number =>
  processTree(root).reduce((sum, pid) => sum + (statOf(pid)?.cpuTicks ?? 0), 0) / 100;
