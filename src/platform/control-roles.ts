/** Several processes of one platform, as one. */
import {type Role, roles} from '../model/roles.ts';
import type {Ledger} from '../observe/ledger.ts';
import type {Control} from './control.ts';
import type {ReplayLine, ReplayRequest, ReplayTotals} from './replay-types.ts';
import type {SpoolStatus} from './spool.ts';
import type {PlatformStatus, ProcessStatus} from './status.ts';

export type RoleControl = {roles: readonly Role[]; control: Control};

/** Who answers what; the first role that runs. */
const answerers: [path: RegExp, roles: Role[]][] = [
  [/^\/v1\/(ingest|generate)/, ['ingest']],
  [/^\/v1\/query/, ['sinks', 'engine']],
  [/./, ['engine', 'sinks', 'ingest']],
];

/** Status and ledger are those of all processes together; every other question goes to the process whose work it is. */
export function controlOfRoles(processes: readonly RoleControl[]): Control {
  const of = (path: string): Control => {
    const [, wanted] = answerers.find(([pattern]) => pattern.test(path))!;
    const found = wanted.map((role) => processes.find(({roles}) => roles.includes(role))).find(Boolean);
    return (found ?? processes[0]!).control;
  };
  const all = <T>(path: string): Promise<T[]> =>
    Promise.all(processes.map(({control}) => control.get<T>(path)));
  return {
    async get<T>(path: string, params?: Record<string, string | number | undefined>): Promise<T> {
      if (path === '/v1/status') return statusOfAll(processes, await all<PlatformStatus>(path)) as T;
      if (path === '/v1/ledger') return ledgerOfAll(await all<Ledger>(path)) as T;
      return of(path).get<T>(path, params);
    },
    async post<T>(path: string, body: Record<string, unknown>): Promise<T> {
      if (path !== '/v1/resume') return of(path).post<T>(path, body);
      // What stopped may be a query, an input or a delivery.
      const answers = await Promise.allSettled(processes.map(({control}) => control.post<T>(path, body)));
      const done = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
      // One process runs the query, another one its delivery: what was started again counts, not what ran already.
      const found = done.find((answer) => !(answer as {ran?: true}).ran) ?? done[0];
      if (found !== undefined) return found;
      throw (answers[0] as PromiseRejectedResult).reason;
    },
    lines: <T>(
      path: string,
      params: Record<string, string | number | undefined>,
      signal?: AbortSignal,
      body?: Record<string, unknown>,
    ) =>
      path === '/v1/replay' && body
        ? (replayOfAll(processes, body as ReplayRequest, signal) as AsyncGenerator<T>)
        : of(path).lines<T>(path, params, signal, body),
  };
}

/** Each process replays the letters that are its work, one after another; the first one answers for those that are nobody's. */
async function* replayOfAll(
  processes: readonly RoleControl[],
  request: ReplayRequest,
  signal?: AbortSignal,
): AsyncGenerator<ReplayLine> {
  const totals: ReplayTotals = {run: null, dry_run: request.dryRun, selected: 0, outcomes: {}};
  let absent = roles.filter((role) => !processes.some((process) => process.roles.includes(role)));
  const ordered = roles.flatMap((role) => processes.find((process) => process.roles.includes(role)) ?? []);
  for (const {control} of new Set(ordered)) {
    const limit = request.limit === null ? null : request.limit - totals.selected;
    if (limit !== null && limit <= 0) break;
    for await (const line of control.lines<ReplayLine>('/v1/replay', {}, signal, {
      ...request,
      limit,
      absent,
    })) {
      if ('letter' in line) {
        yield line;
        continue;
      }
      totals.run ??= line.run;
      totals.selected += line.selected;
      for (const [outcome, count] of Object.entries(line.outcomes) as [keyof typeof line.outcomes, number][])
        totals.outcomes[outcome] = (totals.outcomes[outcome] ?? 0) + count;
    }
    absent = [];
  }
  yield totals;
}

/** What waits in the outboxes of all processes together; the reason is that of the first that has one. */
function spoolOfAll(parts: PlatformStatus[]): PlatformStatus['spool'] {
  const spools = parts.flatMap(({spool}) => spool ?? []);
  if (spools.length === 0) return undefined;
  const sum = (value: (spool: SpoolStatus) => number) =>
    spools.reduce((total, each) => total + value(each), 0);
  const message = spools.find((spool) => spool.message !== undefined)?.message;
  return {
    bytes: sum(({bytes}) => bytes),
    records: sum(({records}) => records),
    limitBytes: sum(({limitBytes}) => limitBytes),
    isSpooling: spools.some(({isSpooling}) => isSpooling),
    ...(message === undefined ? {} : {message}),
  };
}

/** The registry as the process sees it that needs a person most, with what all of them wait for. */
function registryOfAll(parts: PlatformStatus[]): PlatformStatus['registry'] {
  const seen = parts.flatMap(({registry}) => registry ?? []);
  const worst = (['refused', 'down', 'running'] as const).flatMap((state) =>
    seen.filter((registry) => registry.state === state),
  )[0];
  const sum = (field: 'pending' | 'wanted') => seen.reduce((total, each) => total + each[field], 0);
  return worst && {...worst, pending: sum('pending'), wanted: sum('wanted')};
}

const processOf = (
  roles: readonly Role[],
  {pid, url, startedMs, phase, spool, registry, standby, sinkLeases, checkpointsWait}: PlatformStatus,
): ProcessStatus => ({
  roles,
  pid,
  url,
  startedMs,
  phase,
  ...(spool ? {spool} : {}),
  ...(registry ? {registry} : {}),
  ...(standby === undefined ? {} : {standby}),
  ...(sinkLeases === undefined ? {} : {sinkLeases}),
  ...(checkpointsWait === undefined ? {} : {checkpointsWait}),
});

/** @param all one for each process; one that stands by has no figures yet */
function statusOfAll(processes: readonly RoleControl[], all: PlatformStatus[]): PlatformStatus {
  const told = processes.map(({roles}, index) => ({roles, part: all[index]!}));
  const own = told.filter(({part}) => part.totals !== undefined);
  const parts = own.map(({part}) => part);
  if (parts.length === 0) return all[0]!;
  const [first] = parts;
  const spool = spoolOfAll(parts);
  const registry = registryOfAll(parts);
  const standby = parts.find((part) => part.standby !== undefined)?.standby;
  const sinkLeases = parts.flatMap((part) => part.sinkLeases ?? []);
  const checkpointsWait = parts.find((part) => part.checkpointsWait !== undefined)?.checkpointsWait;
  const phases = ['stopped', 'draining', 'starting', 'running'] as const;
  const sum = (value: (totals: PlatformStatus['totals']) => number) =>
    parts.reduce((total, {totals}) => total + value(totals), 0);
  return {
    ...first!,
    ...(spool ? {spool} : {}),
    ...(registry ? {registry} : {}),
    processes: own.map(({roles, part}) => processOf(roles, part)),
    startedMs: Math.min(...parts.map(({startedMs}) => startedMs)),
    phase: phases.find((phase) => parts.some((part) => part.phase === phase))!,
    inputs: parts.flatMap(({inputs}) => inputs),
    generators: parts.flatMap(({generators}) => generators),
    queries: parts.flatMap(({queries}) => queries),
    startingQueries: parts.flatMap(({startingQueries}) => startingQueries),
    deliveries: parts.flatMap(({deliveries}) => deliveries),
    rows: parts.flatMap(({rows}) => rows),
    raw: parts.flatMap(({raw}) => raw),
    events: parts.flatMap(({events}) => events),
    ...(standby === undefined ? {} : {standby}),
    ...(sinkLeases.length === 0 ? {} : {sinkLeases}),
    ...(checkpointsWait === undefined ? {} : {checkpointsWait}),
    totals: {
      received: sum(({received}) => received),
      appended: sum(({appended}) => appended),
      duplicate: sum(({duplicate}) => duplicate),
      rejected: sum(({rejected}) => rejected),
      rowsWritten: sum(({rowsWritten}) => rowsWritten),
      late: sum(({late}) => late),
      dead: sum(({dead}) => dead),
      ledgerBalanced: parts.every(({totals}) => totals.ledgerBalanced),
    },
  };
}

/** The books of several processes as one. */
export const ledgerOfAll = (parts: Ledger[]): Ledger => ({
  ingest: parts.flatMap(({ingest}) => ingest),
  transform: parts.flatMap(({transform}) => transform),
  query: parts.flatMap(({query}) => query),
  delivery: parts.flatMap(({delivery}) => delivery),
  balanced: parts.every(({balanced}) => balanced),
});
