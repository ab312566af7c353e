/**
 * Sessions: entities that walk through a state machine. The rate says when an event comes; which session it belongs to is decided
 * here: the one whose pause is over for the longest time, else a new one. So the rate is exact, and how many sessions are open at a
 * time follows from rate and pauses.
 *
 * Open sessions wait in a wheel of ticks. Whoever is due moves to a queue. Everything is a function of the seed and of how many
 * events there were; `save` and `restore` carry it over a restart.
 */
import type {Generate} from '../model/types.ts';
import {type Alias, drawer, meanOf} from './distributions.ts';
import {draws, hash, keyA, keyB, keysOf} from './random.ts';

type SessionsConfig = NonNullable<Generate['sessions']>;

/** Buckets of the wheel, a power of two; longer pauses go round more than once. */
const wheelSize = 8192;
const none = -1;
/** The time before the first event, in mean pauses, and in events at most. */
const warmPauses = 10;
const warmStepsMax = 400_000;

/** Open sessions in the order in which they will go on; numbers in a row, `width` a session. */
export type SavedSessions = {
  warmMs: number;
  count: number;
  cursor: number;
  ready: number;
  width: number;
  values: number[];
};

export class Sessions {
  /** Of the event that `step` decided: index of its event type, entity, number of the session, place of its memory. */
  type = 0;
  entity = 0;
  session = 0;
  slot = 0;
  /** Values that later events of a session refer to, by slot; NaN: there was none yet. */
  readonly memory: Float64Array[];
  readonly #alias: Alias | undefined;
  readonly #entities: number;
  readonly #starts: number;
  /** By event type: types that may follow, with the sums of their probabilities. */
  readonly #next: {to: Int32Array; below: Float64Array}[];
  readonly #pause: (bits: number) => number;
  readonly #tickMs: number;
  readonly #meanPauseMs: number;
  readonly #seed: number;
  readonly #keys: {low: number; high: number};
  readonly #size: number;
  readonly #types: Uint8Array;
  readonly #entityOf: Int32Array;
  readonly #sessionOf: Float64Array;
  readonly #due: Float64Array;
  /** The session behind this one, in its bucket or in the queue. */
  readonly #link: Int32Array;
  readonly #free: Int32Array;
  #freeCount: number;
  readonly #heads = new Int32Array(wheelSize).fill(none);
  #readyHead = none;
  #readyTail = none;
  #open = 0;
  #ready = 0;
  #cursor = 0;
  #count = 0;
  /** Time that had passed in here when events began, ms. */
  #warmMs = 0;

  constructor(
    config: SessionsConfig,
    eventTypes: readonly string[],
    {
      seed,
      entities,
      alias,
      memories,
    }: {seed: number; entities: number; alias: Alias | undefined; memories: number},
  ) {
    this.#alias = alias;
    this.#entities = entities;
    this.#starts = eventTypes.indexOf(config.start);
    this.#next = eventTypes.map((name) => {
      const steps = Object.entries(config.steps[name] ?? {});
      let sum = 0;
      return {
        to: Int32Array.from(steps, ([to]) => eventTypes.indexOf(to)),
        below: Float64Array.from(steps, ([, share]) => (sum += share) * 4294967296),
      };
    });
    this.#pause = drawer(config.pause);
    // Pauses are kept to a five-hundredth of their mean.
    this.#tickMs = Math.max(1, 2 ** Math.floor(Math.log2(Math.max(1, meanOf(config.pause) / 512))));
    this.#seed = seed;
    this.#meanPauseMs = meanOf(config.pause);
    this.#keys = keysOf(seed, 2);
    const size = config.openMax;
    this.#size = size;
    this.#types = new Uint8Array(size);
    this.#entityOf = new Int32Array(size);
    this.#sessionOf = new Float64Array(size);
    this.#due = new Float64Array(size);
    this.#link = new Int32Array(size);
    this.#free = Int32Array.from({length: size}, (_, index) => size - 1 - index);
    this.#freeCount = size;
    this.memory = Array.from({length: memories}, () => new Float64Array(size));
  }

  /** Open sessions. */
  get open(): number {
    return this.#open;
  }

  /**
   * Lets sessions go on for a while before the first event, so that it meets them in all states and not only at their beginning.
   * @param perMs events a ms
   */
  warmUp(perMs: number): void {
    const {low, high} = keysOf(this.#seed, 3);
    const steps = Math.min(perMs * warmPauses * this.#meanPauseMs, 4 * this.#size, warmStepsMax);
    for (let step = 0; step < steps; step++) this.step(step / perMs, keyA(step, low), keyB(step, high));
    this.#warmMs = steps / perMs;
  }

  /** Whose the event at `elapsedMs` is. @param a, b keys of the event. */
  step(elapsedMs: number, a: number, b: number): void {
    const tick = Math.floor((this.#warmMs + elapsedMs) / this.#tickMs);
    if (this.#open === this.#ready && tick > this.#cursor) this.#cursor = tick;
    while (this.#cursor < tick) this.#turn();
    if (this.#readyHead === none) {
      if (this.#freeCount > 0) {
        this.#begin(a, b);
        return;
      }
      // Every place is taken: the next one goes on before its pause is over.
      while (this.#readyHead === none) this.#turn();
    }
    const slot = this.#readyHead;
    this.#readyHead = this.#link[slot]!;
    if (this.#readyHead === none) this.#readyTail = none;
    this.#ready--;
    this.slot = slot;
    this.type = this.#types[slot]!;
    this.entity = this.#entityOf[slot]!;
    this.session = this.#sessionOf[slot]!;
    this.#goOn(slot, a, b);
  }

  #begin(a: number, b: number): void {
    const slot = this.#free[--this.#freeCount]!;
    this.#open++;
    const session = this.#count++;
    const a2 = keyA(session, this.#keys.low);
    const b2 = keyB(session, this.#keys.high);
    let entity = Math.floor(((hash(a2, b2, draws.entity) >>> 0) / 4294967296) * this.#entities);
    if (this.#alias && hash(a2, b2, draws.mix) >>> 0 >= this.#alias.keep[entity]!)
      entity = this.#alias.other[entity]!;
    this.slot = slot;
    this.type = this.#starts;
    this.entity = entity;
    this.session = session;
    this.#entityOf[slot] = entity;
    this.#sessionOf[slot] = session;
    for (const values of this.memory) values[slot] = Number.NaN;
    this.#goOn(slot, a, b);
  }

  /** Decides what comes after the event that has just been decided. Its slot's memory is valid until the next `step`. */
  #goOn(slot: number, a: number, b: number): void {
    const {to, below} = this.#next[this.type]!;
    const chance = hash(a, b, draws.step) >>> 0;
    for (let i = 0; i < to.length; i++) {
      if (chance >= below[i]!) continue;
      this.#types[slot] = to[i]!;
      const pauseMs = Math.max(0, this.#pause(hash(a, b, draws.pause)));
      this.#wait(slot, this.#cursor + Math.max(1, Math.ceil(pauseMs / this.#tickMs)));
      return;
    }
    this.#free[this.#freeCount++] = slot;
    this.#open--;
  }

  #wait(slot: number, due: number): void {
    this.#due[slot] = due;
    const bucket = due & (wheelSize - 1);
    this.#link[slot] = this.#heads[bucket]!;
    this.#heads[bucket] = slot;
  }

  /** One tick on: who is due joins the queue. */
  #turn(): void {
    const cursor = ++this.#cursor;
    const bucket = cursor & (wheelSize - 1);
    let slot = this.#heads[bucket]!;
    if (slot === none) return;
    let kept = none;
    while (slot !== none) {
      const following = this.#link[slot]!;
      if (this.#due[slot]! <= cursor) this.#enqueue(slot);
      else {
        this.#link[slot] = kept;
        kept = slot;
      }
      slot = following;
    }
    this.#heads[bucket] = kept;
  }

  #enqueue(slot: number): void {
    this.#link[slot] = none;
    if (this.#readyTail === none) this.#readyHead = slot;
    else this.#link[this.#readyTail] = slot;
    this.#readyTail = slot;
    this.#ready++;
  }

  save(): SavedSessions {
    const values: number[] = [];
    const width = 4 + this.memory.length;
    const take = (slot: number) => {
      values.push(this.#types[slot]!, this.#entityOf[slot]!, this.#sessionOf[slot]!, this.#due[slot]!);
      for (const memory of this.memory) values.push(memory[slot]!);
    };
    for (let slot = this.#readyHead; slot !== none; slot = this.#link[slot]!) take(slot);
    for (let bucket = 0; bucket < wheelSize; bucket++)
      for (let slot = this.#heads[bucket]!; slot !== none; slot = this.#link[slot]!) take(slot);
    return {
      warmMs: this.#warmMs,
      count: this.#count,
      cursor: this.#cursor,
      ready: this.#ready,
      width,
      values,
    };
  }

  /** Continues where `save` was called. */
  restore({warmMs, count, cursor, ready, width, values}: SavedSessions): void {
    this.#warmMs = warmMs;
    this.#count = count;
    this.#cursor = cursor;
    const places = values.length / width;
    this.#freeCount = this.#size - places;
    for (let slot = 0; slot < this.#freeCount; slot++) this.#free[slot] = this.#size - 1 - slot;
    this.#open = places;
    for (let slot = 0; slot < places; slot++) {
      const at = slot * width;
      this.#types[slot] = values[at]!;
      this.#entityOf[slot] = values[at + 1]!;
      this.#sessionOf[slot] = values[at + 2]!;
      this.#due[slot] = values[at + 3]!;
      for (const [index, memory] of this.memory.entries())
        memory[slot] = values[at + 4 + index] ?? Number.NaN;
      if (slot < ready) this.#enqueue(slot);
    }
    // A bucket is a stack: the last one in is the first one out.
    for (let slot = places - 1; slot >= ready; slot--) this.#wait(slot, this.#due[slot]!);
  }
}
