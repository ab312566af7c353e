/**
 * The events of a domain, one after the other. Every event is a function of (configuration, seed, its number) and of what was changed
 * on the way (rate, faults, skipped time), each at a number; so a generator that begins again from the same changes makes the same.
 */
import {createHash} from 'node:crypto';
import type {Value} from '../expr/types.ts';
import {type Partitions, partitionsOf} from '../log/partition.ts';
import type {Domain, Generate, GenerateFaults} from '../model/types.ts';
import {type Alias, aliasOf} from './distributions.ts';
import {decideFaults, type Fault, type FaultDecider} from './faults.ts';
import {planFields} from './fields.ts';
import {idPrefix} from './ids.ts';
import {draws, hash, keyA, keyB, keysOf} from './random.ts';
import {EventClock, rateCurve} from './rate.ts';
import {type SavedSessions, Sessions} from './sessions.ts';
import {compileShape, type Made, type Shape} from './shape.ts';
import type {LookupRows} from './types.ts';

/** Something that holds from the event `at` on. `skipMs`: event time that is left out before it. */
export type Change = {at: number; perSecond?: number; faults?: GenerateFaults; skipMs?: number};

/** Everything that an event depends on beside the configuration: enough to go on, or to begin again. */
export type Saved = {
  n: number;
  originMs: number;
  elapsedMs: number;
  perSecond: number;
  faults: GenerateFaults;
  sessions: SavedSessions | null;
};

export type GeneratorOptions = {
  domain: Domain;
  generate: Generate;
  lookups: ReadonlyMap<string, LookupRows>;
  /** Topic -> id of its schema. */
  schemaIds: Readonly<Record<string, number>>;
  partitions: Partitions;
  /** Tells generators of one configuration apart, in the ids of their events. */
  run: number;
};

/** Version of how events follow from a configuration: another one makes other events. */
const algorithm = 1;

/** What decides the events, except what may be changed on the way (rate, faults, start). Two generators with the same make the same. */
export function generatorFingerprint(
  {name, eventTypes}: Domain,
  generate: Generate,
  lookups: ReadonlyMap<string, LookupRows>,
): string {
  const {startMs: _, faults: __, rate, ...rest} = generate;
  const types = eventTypes.map(({name: type, key, fields}) => [
    type,
    key,
    fields.map((field) => [field.name, field.type, field.required, field.symbols ?? null]),
  ]);
  const decides = [
    algorithm,
    name,
    types,
    rest,
    rate.daily,
    rate.bursts,
    [...lookups.values()].map(({id}) => id),
  ];
  return createHash('sha256').update(JSON.stringify(decides)).digest('hex').slice(0, 32);
}

export class Generator {
  readonly shapes: readonly Shape[];
  /** The event that `next` decided: index of its type, what it is made of, its event time (whole epoch ms, faults included). */
  type = 0;
  readonly made: Made = {n: 0, t: 0, entity: 0, session: 0, slot: 0, a: 0, b: 0};
  timeMs = 0;
  fault: Fault = 'none';
  duplicate = false;
  /** Events per second and faults that are in effect. */
  perSecond: number;
  faults: GenerateFaults;
  /** Number of the next event. */
  n = 0;
  readonly #generate: Generate;
  readonly #clock: EventClock;
  readonly #sessions: Sessions | undefined;
  readonly #mix: Alias | undefined;
  readonly #keys: {low: number; high: number};
  #decider: FaultDecider;
  #changes: readonly Change[] = [];
  #nextChange = 0;

  /** @param saved where to go on; without one it begins at `originMs`, with rate and faults of the configuration. */
  constructor(options: GeneratorOptions, from: {originMs: number} | Saved) {
    const {domain, generate, lookups, schemaIds, partitions, run} = options;
    const planned = planFields(domain, generate, lookups);
    const names = domain.eventTypes.map(({name}) => name);
    const {sessions, seed} = generate;
    const {entities} = planned;
    this.#generate = generate;
    this.#sessions = sessions
      ? new Sessions(sessions, names, {
          seed,
          entities: entities?.count ?? 1,
          alias: entities?.weights ? aliasOf(entities.weights) : undefined,
          memories: planned.memories,
        })
      : undefined;
    const weights = names.map((name) => generate.mix[name] ?? (Object.keys(generate.mix).length > 0 ? 0 : 1));
    this.#mix = aliasOf(weights.some((weight) => weight > 0) ? weights : weights.map(() => 1));
    this.#keys = keysOf(seed, 1);
    const prefix = idPrefix(generatorFingerprint(domain, generate, lookups), run);
    const memory = this.#sessions?.memory ?? [];
    this.shapes = domain.eventTypes.map((eventType, index) =>
      compileShape({
        eventType,
        plans: planned.plans[index]!,
        schemaId: schemaIds[eventType.topic] ?? 0,
        partitions: partitionsOf(partitions, eventType.topic),
        seed,
        prefix,
        memory,
      }),
    );
    const saved = 'n' in from ? from : undefined;
    this.n = saved?.n ?? 0;
    this.perSecond = saved?.perSecond ?? generate.rate.perSecond;
    this.faults = saved?.faults ?? generate.faults;
    this.#decider = decideFaults(this.faults);
    const shaped = generate.rate.daily !== null || generate.rate.bursts !== null;
    this.#clock = new EventClock(
      rateCurve(generate, this.perSecond),
      shaped,
      from.originMs,
      saved?.elapsedMs ?? 0,
    );
    if (saved?.sessions) this.#sessions?.restore(saved.sessions);
    else this.#sessions?.warmUp(this.perSecond / 1000);
  }

  /** What changes on the way, in order; those before the next event are taken as done. */
  set changes(changes: readonly Change[]) {
    this.#changes = changes;
    this.#nextChange = changes.findIndex(({at}) => at >= this.n);
    if (this.#nextChange < 0) this.#nextChange = changes.length;
  }

  /** A change before the next event. */
  change({perSecond, faults, skipMs}: Omit<Change, 'at'>): void {
    if (perSecond !== undefined) {
      this.perSecond = perSecond;
      this.#clock.curve = rateCurve(this.#generate, perSecond);
    }
    if (faults !== undefined) {
      this.faults = faults;
      this.#decider = decideFaults(faults);
    }
    if (skipMs !== undefined) this.#clock.skip(skipMs);
  }

  /** Carries out the changes before the next event that are known. */
  settle(): void {
    while (this.#nextChange < this.#changes.length && this.#changes[this.#nextChange]!.at === this.n)
      this.change(this.#changes[this.#nextChange++]!);
  }

  /** Event time of the next event before faults, epoch ms. */
  get nextMs(): number {
    return this.#clock.originMs + this.#clock.elapsedMs;
  }

  /** Events per second that the next event comes at, with the shape of the rate. */
  get rateNow(): number {
    return this.#clock.perSecond;
  }

  get openSessions(): number {
    return this.#sessions?.open ?? 0;
  }

  /** Decides the next event. */
  next(): void {
    this.settle();
    const n = this.n++;
    const {made} = this;
    const a = keyA(n, this.#keys.low);
    const b = keyB(n, this.#keys.high);
    const elapsedMs = this.#clock.elapsedMs;
    const t = this.#clock.next();
    made.n = n;
    made.a = a;
    made.b = b;
    made.t = t;
    const sessions = this.#sessions;
    if (sessions) {
      sessions.step(elapsedMs, a, b);
      this.type = sessions.type;
      made.entity = sessions.entity;
      made.session = sessions.session;
      made.slot = sessions.slot;
    } else this.type = this.#mixed(a, b);
    if (this.#decider.none) {
      this.timeMs = Math.floor(t);
      this.fault = 'none';
      this.duplicate = false;
      return;
    }
    this.fault = this.#decider.fault(a, b);
    this.timeMs = Math.max(0, Math.floor(t) - this.#decider.shiftMs(this.fault, a, b));
    this.duplicate = this.#decider.duplicate(a, b) && this.fault !== 'corrupt' && this.fault !== 'drift';
  }

  #mixed(a: number, b: number): number {
    const count = this.shapes.length;
    if (count === 1) return 0;
    const index = Math.floor(((hash(a, b, draws.mix) >>> 0) / 4294967296) * count);
    return hash(a, b, draws.entity) >>> 0 < this.#mix!.keep[index]! ? index : this.#mix!.other[index]!;
  }

  /** Goes on to the event `n` without making those before it. */
  skipTo(n: number): void {
    while (this.n < n) {
      this.next();
      const shape = this.shapes[this.type]!;
      if (shape.remembers) shape.values(this.timeMs, this.made);
    }
  }

  /** The event that `next` decided, as values of its fields. */
  values(): Record<string, Value> {
    return this.shapes[this.type]!.values(this.timeMs, this.made);
  }

  save(): Saved {
    return {
      n: this.n,
      originMs: this.#clock.originMs,
      elapsedMs: this.#clock.elapsedMs,
      perSecond: this.perSecond,
      faults: this.faults,
      sessions: this.#sessions?.save() ?? null,
    };
  }
}
