import type {Place} from '../config/source.ts';
import type {Value, ValueType} from '../expr/types.ts';
import type {Domain, EventType} from '../model/types.ts';
import type {Ledger} from '../observe/ledger.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';

/** A file of `config/tests/`: what a team expects of one of its domains. */
export type Suite = {
  /** As shown: relative to the platform's root. */
  file: string;
  /** Absolute path. */
  path: string;
  domain: Domain;
  plans: QueryPlan[];
  scenarios: Scenario[];
};

export type Scenario = {
  name: string;
  /** Where it begins in its file, from 1. */
  line: number;
  /** Partitions of every topic. */
  partitions: number;
  /** CSV text of lookups that are given here instead of the domain's files, by name. */
  lookups: Map<string, string>;
  steps: ScenarioStep[];
  /** `snapshot`: what was accepted before, in a file of its own. */
  expect: Expectation | 'snapshot';
};

export type ScenarioStep =
  /** Arrives; `text` is JSON as a sender would write it. `atMs`: when, epoch ms; else when it happened, or later. */
  | {
      kind: 'event';
      eventType: EventType;
      text: string;
      timeMs: number | null;
      atMs: number | null;
      line: number;
    }
  /** Time of every partition moves on to `toMs`, so that windows close. */
  | {kind: 'advance'; toMs: number}
  /** The clock goes on and nothing arrives. */
  | {kind: 'wait'; ms: number}
  /** The process dies and starts again from log and checkpoints. */
  | {kind: 'restart'};

/** Only what is named is compared; of a query that is named every row must be there, and no other. */
export type Expectation = {
  rows: Map<string, ExpectedRow[]>;
  deadLetters: ExpectedFields[] | undefined;
  late: ExpectedFields[] | undefined;
  ledger: ExpectedFields[] | undefined;
};

export type ExpectedRow = {place: Place; cells: ExpectedCell[]};
/** `name` as it was written; `column` and `value` as the table has them. */
export type ExpectedCell = {name: string; column: string; type: ValueType; value: Value};
/** Fields of a dead letter, a late event or a line of the ledger, as text or number. */
export type ExpectedFields = {place: Place; fields: Record<string, string | number>};

/** What came out of a scenario. */
export type Outcome = {
  /** By query: the newest version of every row that is not deleted, by column, in the order of keys. */
  rows: Map<string, Record<string, Value>[]>;
  deadLetters: Record<string, string | number>[];
  late: Record<string, string | number>[];
  ledger: Ledger;
};
