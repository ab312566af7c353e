/** A sender of sales that remembers what was acknowledged: what it sent follows from the number of each event. */
import assert from 'node:assert/strict';
import {existsSync, readFileSync} from 'node:fs';
import {request} from 'node:http';
import {join} from 'node:path';
import {setTimeout as wait} from 'node:timers/promises';
import type {Machine} from './real-servers.ts';

export const colors = ['blue', 'green', 'red'];
/** What a table of colours says: colour, events, cents. */
export type Sums = [color: string, sold: number, cents: number][];

/** The amount of an event by its number. */
const centsOf = (number: number): number => (number * 7) % 10_000;
/** The same in SQL. */
export const centsInSql = 'number * 7 % 10000';

/** Resolves when the machine is ready. */
export async function ready(machine: Machine, ms = 60_000): Promise<void> {
  const untilMs = performance.now() + ms;
  while ((await call(machine, 'GET', '/readyz', '', '')) !== 200) {
    assert.ok(performance.now() < untilMs, `not ready: ${machine.child?.stderr()}`);
    await wait(50);
  }
}

/** Status of an answer; 0 when none came within ten seconds. */
const call = ({port}: Machine, method: string, path: string, token: string, body: string): Promise<number> =>
  new Promise((resolve) => {
    const headers = {authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson'};
    const asked = request({host: '127.0.0.1', port, method, path, headers, timeout: 10_000}, (answer) => {
      answer.resume();
      answer.once('end', () => resolve(answer.statusCode!));
      answer.once('error', () => resolve(0));
    });
    asked.once('timeout', () => asked.destroy());
    asked.once('error', () => resolve(0));
    asked.end(body);
  });

const batchSize = 100;
const lanes = 4;

/** Sends batches of events to whichever machine takes them, each until it is acknowledged. */
export class Sender {
  readonly #machines: Machine[];
  readonly #perSecond: number;
  /** What its event ids begin with, before `-<number>`. */
  readonly name = `s${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  readonly #sums = new Map(colors.map((color): [string, [number, number]] => [color, [0, 0]]));
  /** Of what was sent, events and cents by minute and colour: `seconds of its begin,colour`. All of it is acknowledged once `end` has resolved. */
  readonly windows = new Map<string, [sold: number, cents: number]>();
  #next = 0;
  #isStopped = false;
  #isAbandoned = false;
  #work: Promise<unknown> = Promise.resolve();
  /** Events whose batch was acknowledged. */
  acknowledged = 0;
  /** Attempts that were not. */
  refused = 0;

  constructor(machines: Machine[], perSecond: number) {
    this.#machines = machines;
    this.#perSecond = perSecond;
  }

  begin(): void {
    this.#work = Promise.all(Array.from({length: lanes}, () => this.#lane()));
  }

  /** Sends nothing any more, whatever is under way: for a test that has failed. */
  abandon(): void {
    this.#isStopped = this.#isAbandoned = true;
  }

  /** Events so far: they have the numbers below it. */
  get sent(): number {
    return this.#next;
  }

  /** Begins no batch any more; resolves with what was sent when all of it is acknowledged. */
  async end(): Promise<Sums> {
    this.#isStopped = true;
    await this.#work;
    return [...this.#sums].map(([color, [sold, cents]]) => [color, sold, cents]);
  }

  async #lane(): Promise<void> {
    const pauseMs = (lanes * batchSize * 1_000) / this.#perSecond;
    while (!this.#isStopped) {
      const dueMs = performance.now() + pauseMs;
      await this.#deliver(this.#batch());
      await wait(Math.max(0, dueMs - performance.now()));
    }
  }

  #batch(): string {
    const lines: string[] = [];
    for (let left = batchSize; left > 0; left--) {
      const number = this.#next++;
      const color = colors[number % colors.length]!;
      const cents = centsOf(number);
      const sums = this.#sums.get(color)!;
      const timestamp = Date.now();
      const key = `${Math.floor(timestamp / 60_000) * 60},${color}`;
      const window = this.windows.get(key) ?? [0, 0];
      this.windows.set(key, window);
      for (const each of [sums, window]) {
        each[0]++;
        each[1] += cents;
      }
      const event = {event_id: `${this.name}-${number}`, timestamp, color, amount: cents / 100};
      lines.push(JSON.stringify(event));
    }
    return lines.join('\n');
  }

  async #deliver(body: string): Promise<void> {
    for (let turn = 0; !this.#isAbandoned; turn++) {
      const machine = this.#machines[turn % this.#machines.length]!;
      const file = join(machine.root, '.millrace/token');
      const token = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
      const status = await call(machine, 'POST', '/v1/events/shop/sale', token, body);
      assert.ok([0, 200, 401, 429, 503].includes(status), `an answer of ${status}`);
      if (status === 200) {
        this.acknowledged += batchSize;
        return;
      }
      this.refused++;
      await wait(50);
    }
  }
}
