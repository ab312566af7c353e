/** What is in the sinks of a fault run, read without the product's own readers. */
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';

/** A row by column, as JSON has it. */
export type Line = Record<string, string | number | boolean | null>;

/** What is in the sinks; problems that show in a sink alone are added to the list. */
export type SinkReader = {
  /** How many sinks a query has. */
  count(query: string): number;
  /** Of the sink number `sink`: the truth of a query, by key. */
  latest(query: string, sink: number, problems: string[]): Promise<Line[]>;
  raw(table: string): Promise<Line[]>;
};

const lines = (path: string): Line[] => {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  // A line without its end was never acknowledged.
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
};

/**
 * The `file` sinks, whose changelogs are reduced here by hand. Within an undisturbed run two rows of one version are the same.
 * After a kill the partitions may be read in another order, so that as many events of a window are other ones; that is gone
 * with the next event, since the last version counts all of them.
 */
export function fileSinks(root: string, undisturbed = false): SinkReader {
  const home = (sink: number) => join(root, '.millrace', sink === 0 ? 'rows' : 'copies', 'shop');
  return {
    count: (query) => (query === 'per_hour' ? 2 : 1),
    raw: async (table) => lines(join(home(0), `${table}.jsonl`)),
    async latest(query, sink, problems) {
      const latest = new Map<string, Line>();
      const versions = new Map<string, string>();
      for (const line of lines(join(home(sink), `${query}__r1.jsonl`))) {
        const key = keyOf(query, line);
        const version = BigInt(line.version as string | number);
        const text = JSON.stringify(line);
        const before = versions.get(`${key} ${version}`);
        if (undisturbed && before !== undefined && before !== text)
          problems.push(`rows: ${query} ${key} has two rows of version ${version}: ${before} and ${text}`);
        versions.set(`${key} ${version}`, text);
        const wanted = 2n * BigInt(line.events as number) + (line.closed ? 1n : 0n);
        if (!line.deleted && version !== wanted)
          problems.push(`rows: ${query} ${key} has version ${version}: ${text}`);
        const known = latest.get(key);
        if (!known || BigInt(known.version as number) < version) latest.set(key, line);
      }
      if (latest.size === 0) problems.push(`rows: ${query} has none`);
      return [...latest.values()].filter(({deleted}) => !deleted);
    },
  };
}

const dimensions: Record<string, string[]> = {
  per_hour: ['country'],
  sliding: ['country', 'device'],
  visits: ['user_id'],
  per_day: ['country'],
  strict: ['device'],
  scores: ['country'],
  brands: ['brand'],
  labels: ['label'],
};

/** The key of a query's row: start of its window and dimensions. */
export const keyOf = (query: string, line: Line): string =>
  [line.window_start, ...dimensions[query]!.map((name) => line[name])]
    .map((value) => String(value))
    .join(' ');
