import type {ValueType} from '../expr/types.ts';
import type {Compatibility, Late, OnTrimmed, PiiKind} from './types.ts';

/**
 * Values as `src/config/` reads them by the specifications in `src/config/specs/`. Whatever was mistaken is undefined, so that
 * the model can be built as far as it goes and every mistake is told in one run.
 */
export type Known<T> = {[K in keyof T]?: T[K] | undefined};

export type FieldConfig = Known<{
  name: string;
  type: ValueType;
  required: boolean;
  symbols: (string | undefined)[];
  doc: string;
  aliases: (string | undefined)[];
  pii: PiiKind;
}>;

export type EventTypeConfig = Known<{
  name: string;
  key: string;
  attributes: (FieldConfig | undefined)[];
  dimensions: (FieldConfig | undefined)[];
  metrics: (FieldConfig | undefined)[];
  derive: Record<string, string>;
  enrich: (Known<{lookup: string; on: string; take: Record<string, string>}> | undefined)[];
  checks: Record<string, string>;
  transform: Known<{module: string; timeout: number; outputs: number}>;
}>;

export type LookupConfig = Known<{
  name: string;
  key: Known<{name: string; type: ValueType}>;
  columns: Record<string, ValueType>;
  from: {csv?: string; sink?: string; table?: string; query?: string};
  null: (string | undefined)[];
  refresh: number;
}>;

export type WindowConfig = Known<{
  type: 'tumbling' | 'sliding' | 'session' | 'calendar';
  size: number;
  slide: number;
  gap: number;
  unit: 'day' | 'week' | 'month';
  timezone: string;
}>;

export type LimitsConfig = Known<{groups: number; memory: number; state_disk: number}>;
export type LatenessConfig = Known<{
  watermark: number;
  late: Late;
  correct_for: number;
  dedup: number | 'off';
  idle: number;
  emit: 'change' | 'close';
  on_trimmed: OnTrimmed;
}>;

export type AggregationConfig = LatenessConfig &
  Known<{
    name: string;
    from: (string | undefined)[];
    where: string;
    window: WindowConfig;
    group_by: (string | undefined)[];
    measures: Record<string, string>;
    sinks: (string | undefined)[];
    limits: LimitsConfig;
  }>;

export type InputConfig = Known<{
  name: string;
  event_type: string;
  from: string;
  format: 'csv' | 'jsonl';
  rate: number;
  null: (string | undefined)[];
  timestamp: string;
  timestamp_format: string;
  timezone: string;
  order_by: 'timestamp' | 'none';
  map: Record<string, string>;
}>;

type ShiftConfig = Known<{share: number; by: string}>;

/** Section `generate:`; `values` and `pause` as they are written. */
export type GenerateConfig = Known<{
  seed: number;
  start: string;
  rate: Known<{
    base: number;
    daily: Known<{low: number; peak: string}>;
    bursts: Known<{every: number; for: number; times: number}>;
  }>;
  keys: Record<string, Known<{count: number; zipf: number; pattern: string}>>;
  sessions: Known<{
    entity: string;
    id: string;
    start: string;
    steps: Record<string, Record<string, number>>;
    pause: unknown;
    open_max: number;
  }>;
  mix: Record<string, number>;
  values: Record<string, unknown>;
  faults: Known<{
    late: ShiftConfig;
    out_of_order: ShiftConfig;
    duplicate: number;
    corrupt: number;
    schema_drift: number;
  }>;
}>;

export type DefaultsConfig = LatenessConfig &
  Known<{
    future_max: number;
    compatibility: Compatibility;
    aggregates: string;
    raw: string;
    dead_letters: Known<{budget: number; after: number; retention: number}>;
    limits: LimitsConfig;
  }>;

export type DomainConfig = Known<{
  domain: string;
  event_types: (EventTypeConfig | undefined)[];
  lookups: (LookupConfig | undefined)[];
  aggregations: (AggregationConfig | undefined)[];
  inputs: (InputConfig | undefined)[];
  generate: GenerateConfig;
}>;
