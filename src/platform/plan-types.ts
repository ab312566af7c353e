/** What a change of the configuration does, from harmless to harmful; a change has the highest class of its parts. */
export const changeClasses = ['safe', 'revision', 'breaking', 'destructive'] as const;
export type ChangeClass = (typeof changeClasses)[number];

/** One thing that differs within a change. */
export type ChangeDetail = {
  class: ChangeClass;
  /** As in YAML: `measures.revenue`, `window`, `attributes.coupon`. */
  what: string;
  /** As people read it; null: it was not there, or is not there any more. */
  before: string | null;
  after: string | null;
  /** What follows from it, a sentence without a full stop. */
  effect?: string;
};

export type ChangeKind =
  | 'domain'
  | 'event type'
  | 'query'
  | 'lookup'
  | 'input'
  | 'sink'
  | 'log'
  | 'engine'
  | 'server'
  | 'platform';

/** How much is read to fill a revision, and how long it takes at the rate that was measured. */
export type Refill = {
  events: number;
  /** Of records in the log, estimated from a sample. */
  bytes: number;
  seconds: number;
  eventsPerSecond: number;
  /** Where the rate is from: the last refill of this query, or a sample of the log read and aggregated just now. */
  measured: 'refill' | 'sample' | 'none';
  /** Records that the log no longer has, so that a revision filled from it lacks them. */
  trimmed: number;
};

/** One change: something of the configuration against what runs. JSON-serialisable. */
export type Change = {
  class: ChangeClass;
  kind: ChangeKind;
  action: 'add' | 'remove' | 'change' | 'rename';
  /** `shop.purchase`, `analytics`. */
  name: string;
  /** Its name before, of a rename. */
  from?: string;
  place?: {file: string; line: number};
  details: ChangeDetail[];
  /** Who reads what breaks. */
  consumers: string[];
  /** What is no longer there, or no longer kept up, afterwards. */
  lost: string[];
  refill?: Refill;
  /** Why it cannot be applied at all, with the way out. */
  refused?: {reasons: string[]; hint: string};
  /** A running process takes it over only when it is started again. */
  restart: boolean;
};

/** The configuration against what runs. */
export type ChangePlan = {
  /** When what runs was applied, epoch ms; null: nothing ran here yet. */
  appliedMs: number | null;
  changes: Change[];
};

/** The highest class of some. */
export const highest = (classes: ChangeClass[]): ChangeClass =>
  changeClasses[Math.max(0, ...classes.map((each) => changeClasses.indexOf(each)))]!;
