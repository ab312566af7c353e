/** Generators of the domains, as the platform sees them. */
import {lookupsOf} from '../generate/fields.ts';
import type {LookupRows} from '../generate/types.ts';
import {plainGenerate} from '../model/generate.ts';
import type {Domain, Generate, Platform} from '../model/types.ts';
import type {LookupSnapshot} from '../process/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {GenerateChange, GenerateStart, GeneratorStatus} from './generate-types.ts';
import type {IngestThread} from './ingest-thread.ts';
import type {LookupStore} from './lookups.ts';

/** What a caller may ask for; everything else comes from the configuration. */
export type GenerateRequest = {
  seed?: number;
  perSecond?: number;
  fast?: boolean;
  /** So many more events. */
  count?: number;
  /** Until there are so many in all. */
  untilN?: number;
  /** ms of event time. */
  forMs?: number;
  /** Event time of the first event, epoch ms. */
  startMs?: number;
};

export type GeneratorHost = {
  /** Starts those of the domains that have a `generate:`. */
  startAll(): Promise<void>;
  start(domain: string, request: GenerateRequest, change?: GenerateChange): Promise<GeneratorStatus>;
  change(domain: string, change: GenerateChange): Promise<GeneratorStatus>;
  stop(domain: string): Promise<void>;
  status(): GeneratorStatus[];
  /** Asks the thread. */
  refresh(): Promise<GeneratorStatus[]>;
};

/** Where event time begins when nobody says so and it does not run with the clock, epoch ms. */
export const plainStartMs = Date.UTC(2025, 0, 1);

export function createGeneratorHost(
  {domains}: Platform,
  thread: IngestThread,
  lookups: LookupStore,
  telemetry: Telemetry,
): GeneratorHost {
  let known: GeneratorStatus[] = [];
  const refresh = async () => {
    known = await thread.generators();
    for (const {domain, state, ratePerSecond, openSessions, behindMs} of known)
      telemetry.emit('GeneratorObserved', {
        domain,
        running: state === 'running',
        ratePerSecond,
        openSessions,
        behindSeconds: behindMs / 1000,
      });
    return known;
  };
  const start: GeneratorHost['start'] = async (name, request, change = {}) => {
    const domain = domains.find((each) => each.name === name)!;
    const status = await thread.generate(name, {
      kind: 'start',
      start: {...(await startOf(domain, request, lookups)), change},
    });
    await refresh();
    return status!;
  };
  return {
    async startAll() {
      for (const {name, generate} of domains) if (generate) await start(name, {});
    },
    start,
    async change(name, change) {
      const status = await thread.generate(name, {kind: 'change', change});
      await refresh();
      return status!;
    },
    async stop(name) {
      await thread.generate(name, {kind: 'stop'});
    },
    status: () => known,
    refresh,
  };
}

/** The section of a domain, or what stands for it, with what was asked for. */
export function generateOf({generate}: Domain, {seed, perSecond}: GenerateRequest): Generate {
  const section = generate ?? plainGenerate;
  return {
    ...section,
    seed: seed ?? section.seed,
    rate: {...section.rate, perSecond: perSecond ?? section.rate.perSecond},
  };
}

export async function startOf(
  domain: Domain,
  request: GenerateRequest,
  lookups: LookupStore,
): Promise<GenerateStart> {
  const generate = generateOf(domain, request);
  const {fast = false, count = null, untilN = null, forMs = null, startMs} = request;
  return {
    generate,
    lookups: await lookupRows(domain, generate, lookups),
    fast,
    count,
    untilN,
    forMs,
    change: {},
    startMs: startMs ?? (fast ? plainStartMs : null),
  };
}

/** The lookups that generated values refer to, as their files are now. @throws LOOKUP_INVALID */
export async function lookupRows(
  domain: Domain,
  generate: Generate,
  lookups: LookupStore,
): Promise<LookupRows[]> {
  const rows: LookupRows[] = [];
  for (const name of lookupsOf(domain, generate)) {
    const snapshot = await lookups.get(domain.lookups.find((each) => each.name === name)!, null);
    if (snapshot) rows.push(rowsOf(snapshot));
  }
  return rows;
}

function rowsOf({name, id, columns, rows}: LookupSnapshot): LookupRows {
  const keys = [...rows.keys()];
  const values = [...rows.values()];
  return {
    name,
    id,
    keys,
    columns: Object.fromEntries(columns.map((column, index) => [column, values.map((row) => row[index]!)])),
  };
}
