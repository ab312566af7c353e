/** Whether too many of the records that come over HTTP are rejected: a share of the last minutes, by event type. */
import {type Clock, systemClock} from '../clock.ts';
import {percent} from '../ingest/budget.ts';
import type {Domain} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';

/** The records of an event type that came over HTTP in the last minutes. */
export type EventShare = {
  domain: string;
  eventType: string;
  received: number;
  rejected: number;
  /** Share of rejected records that is allowed, 0..1. */
  budget: number;
  /** More than that was rejected, of enough records. */
  isOver: boolean;
};

/** What is looked at: so many slots of so many ms. */
const slots = 10;
const slotMs = 30_000;

type Slot = {number: number; received: number; rejected: number};
type Window = {share: EventShare; after: number; slots: Slot[]; codes: Map<string, number>};

/** Records go on being answered one by one, whatever the share is: it is told, as a metric, in the status and in the log. */
export class RejectionBudget {
  readonly #windows = new Map<string, Window>();
  readonly #telemetry: Telemetry;
  readonly #clock: Clock;

  constructor(domains: readonly Domain[], telemetry: Telemetry, clock: Clock = systemClock) {
    this.#telemetry = telemetry;
    this.#clock = clock;
    for (const {name: domain, defaults, eventTypes} of domains)
      for (const {name: eventType} of eventTypes)
        this.#windows.set(`${domain}.${eventType}`, {
          share: {
            ...{domain, eventType, received: 0, rejected: 0},
            ...{budget: defaults.deadLetters.budgetShare, isOver: false},
          },
          after: defaults.deadLetters.budgetAfter,
          slots: [],
          codes: new Map(),
        });
  }

  /** @param problems codes of the rejected records */
  add(domain: string, eventType: string, received: number, problems: readonly {code: string}[]): void {
    const window = this.#windows.get(`${domain}.${eventType}`);
    if (!window) return;
    const number = Math.floor(this.#clock.now() / slotMs);
    const last = window.slots.at(-1);
    const slot = last?.number === number ? last : {number, received: 0, rejected: 0};
    if (slot !== last) window.slots.push(slot);
    slot.received += received;
    slot.rejected += problems.length;
    for (const {code} of problems) window.codes.set(code, (window.codes.get(code) ?? 0) + 1);
    this.#look(window);
  }

  /** Event types of which something came lately. */
  shares(): EventShare[] {
    for (const window of this.#windows.values()) if (window.slots.length > 0) this.#look(window);
    return [...this.#windows.values()].map(({share}) => ({...share})).filter(({received}) => received > 0);
  }

  #look(window: Window): void {
    const {share, after, codes} = window;
    const oldest = Math.floor(this.#clock.now() / slotMs) - slots;
    window.slots = window.slots.filter(({number}) => number > oldest);
    share.received = window.slots.reduce((sum, {received}) => sum + received, 0);
    share.rejected = window.slots.reduce((sum, {rejected}) => sum + rejected, 0);
    const isOver = share.received >= after && share.rejected > share.budget * share.received;
    if (isOver === share.isOver) return;
    share.isOver = isOver;
    const {domain, eventType, received, rejected, budget} = share;
    const [code] = [...codes.entries()].sort((a, b) => b[1] - a[1])[0] ?? [''];
    const topic = `${domain}.${eventType}`;
    this.#telemetry.emit('Log', {
      level: isOver ? 'warn' : 'info',
      message: isOver
        ? `${topic}: ${rejected} of the last ${received} records over HTTP were rejected, more than the budget of ${percent(budget)}, most often ${code}: npx millrace dlq list ${domain}`
        : `${topic}: rejected records over HTTP are within the budget again`,
      fields: {domain, event_type: eventType, received, rejected},
    });
    if (!isOver) codes.clear();
  }
}
