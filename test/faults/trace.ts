/** What a traced process did to its files, from strace's lines. */
import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';

/** One step, in the order in which the calls began; a sync counts from its end. Paths are absolute. */
export type DiskStep =
  | {kind: 'open'; path: string; create: boolean; truncate: boolean}
  | {kind: 'write'; path: string; at: number; bytes: Buffer}
  | {kind: 'truncate'; path: string; length: number}
  | {kind: 'sync'; path: string}
  | {kind: 'rename'; path: string; to: string}
  | {kind: 'unlink'; path: string}
  | {kind: 'mkdir'; path: string}
  /** A line on standard output. */
  | {kind: 'told'; text: string};

const calls =
  'openat,pwrite64,write,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,ftruncate,unlink,unlinkat,mkdir';

/**
 * Runs a program to its end under strace. Writes must have a position (pwrite64); a plain write to a file under `root`, and
 * calls that this does not know, throw.
 */
export function traceSteps(command: string[], root: string, traceFile: string): DiskStep[] {
  const options = ['-f', '-qq', '-y', '-xx', '-s', '4000000', '-o', traceFile, '-e', `trace=${calls}`];
  const {status, stderr} = spawnSync('strace', [...options, ...command], {encoding: 'utf8'});
  if (status !== 0) throw new Error(`the traced process ended with ${status}: ${stderr}`);
  const steps: DiskStep[] = [];
  /** Calls that another thread interrupted, by thread. */
  const begun = new Map<string, string>();
  for (const line of readFileSync(traceFile, 'latin1').split('\n')) {
    const [, thread, rest] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (thread === undefined || rest === undefined) continue;
    const unfinished = / <unfinished \.\.\.>$/.exec(rest);
    if (unfinished) {
      begun.set(thread, rest.slice(0, unfinished.index));
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>/.exec(rest);
    const whole = resumed ? begun.get(thread)! + rest.slice(resumed[0].length) : rest;
    const step = stepOf(whole, root);
    if (step) steps.push(step);
  }
  return steps;
}

const unhex = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex');
const hex = '"((?:\\\\x[0-9a-f]{2})*)"';
const file = '\\d+<((?:\\\\x[0-9a-f]{2})*)>';

function stepOf(text: string, root: string): DiskStep | undefined {
  if (/ = -1 /.test(text.slice(-200))) return undefined;
  const name = text.slice(0, text.indexOf('('));
  const match = (pattern: string): string[] => {
    const found = new RegExp(`^${name}\\(${pattern}`).exec(text);
    if (!found) throw new Error(`a call that is not understood: ${text.slice(0, 300)}`);
    return found.slice(1);
  };
  const pathOf = (encoded: string): string => unhex(encoded).toString();
  const inside = (path: string): boolean => path.startsWith(root);
  switch (name) {
    case 'openat': {
      const [path, flags] = match(`[^,]*, ${hex}, ([A-Z_|]+)`);
      const [create, truncate] = [flags!.includes('O_CREAT'), flags!.includes('O_TRUNC')];
      return inside(pathOf(path!)) && (create || truncate)
        ? {kind: 'open', path: pathOf(path!), create, truncate}
        : undefined;
    }
    case 'pwrite64': {
      const [path, bytes, at] = match(`${file}, ${hex}, \\d+, (\\d+)`);
      return inside(pathOf(path!))
        ? {kind: 'write', path: pathOf(path!), at: Number(at), bytes: unhex(bytes!)}
        : undefined;
    }
    case 'write': {
      const [path, bytes] = match(`${file}, ${hex}`);
      // The lock tells who holds it; it is no part of an image.
      if (inside(pathOf(path!)) && !/lock/.test(pathOf(path!)))
        throw new Error(`a write without a position to ${pathOf(path!)}`);
      return text.startsWith('write(1<') ? {kind: 'told', text: unhex(bytes!).toString()} : undefined;
    }
    case 'ftruncate': {
      const [path, length] = match(`${file}, (\\d+)`);
      return inside(pathOf(path!))
        ? {kind: 'truncate', path: pathOf(path!), length: Number(length)}
        : undefined;
    }
    case 'fsync':
    case 'fdatasync': {
      const path = pathOf(match(file)[0]!);
      return inside(path) ? {kind: 'sync', path} : undefined;
    }
    case 'rename': {
      const [path, to] = match(`${hex}, ${hex}`);
      return inside(pathOf(path!)) ? {kind: 'rename', path: pathOf(path!), to: pathOf(to!)} : undefined;
    }
    case 'unlink':
    case 'mkdir': {
      const path = pathOf(match(hex)[0]!);
      return inside(path) ? {kind: name, path} : undefined;
    }
    default:
      // Written to elsewhere: pipes between threads, say.
      if (text.includes(Buffer.from(root).toString('hex').replaceAll(/../g, '\\x$&')))
        throw new Error(`a call that is not understood: ${text.slice(0, 300)}`);
      return undefined;
  }
}
