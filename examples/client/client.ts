/**
 * Sends events to Millrace over HTTP: in batches, each at most once in the log however often it is sent again, and again for
 * as long as the platform asks for that. One file without dependencies, to be copied and changed.
 */
import {randomUUID} from 'node:crypto';

/** What became of an event. `duplicate`: the platform had it already. `rejected`: it will never be taken as it is. */
export type Verdict = {
  event_id: string | null;
  status: 'appended' | 'duplicate' | 'rejected';
  code?: string;
  message?: string;
};

export type ClientOptions = {
  /** Such as http://127.0.0.1:4000 */
  url: string;
  token: string;
  /** A batch is sent when it has so many events, or when the first of them has waited so long, ms. */
  batchMax?: number;
  lingerMs?: number;
  /** Batches that are under way at once; `send` waits while there are more. */
  inFlightMax?: number;
  /** How long a batch is sent again before its events fail, ms. */
  retryForMs?: number;
};

/** A request that was not taken, and will not be: the token, the path, the body. */
export class SendError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

type Waiting = {line: string; resolve(verdict: Verdict): void; reject(error: unknown): void};

/**
 * @typeParam Events the event types of your domains, by topic:
 * `type Events = {'shop.purchase': {order_id: string; amount: number}}`
 */
export class Client<Events extends Record<string, object>> {
  readonly #options: Required<ClientOptions>;
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #sending = new Set<Promise<void>>();

  constructor(options: ClientOptions) {
    this.#options = {batchMax: 500, lingerMs: 20, inFlightMax: 4, retryForMs: 60_000, ...options};
  }

  /**
   * Resolves when the event is durable in the log, or rejected by the platform for good. Rejects with a SendError, or with the
   * last failure when the platform could not be reached in time: nobody knows then whether the event is in the log.
   */
  async send<T extends keyof Events & string>(topic: T, event: Events[T]): Promise<Verdict> {
    // Backpressure: whoever awaits `send` does not get ahead of the platform.
    while (this.#sending.size >= this.#options.inFlightMax) await Promise.race(this.#sending);
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(topic) ?? [];
      this.#waiting.set(topic, waiting);
      waiting.push({line: JSON.stringify(event), resolve, reject});
      if (waiting.length >= this.#options.batchMax) this.#post(topic);
      else if (waiting.length === 1)
        this.#timers.set(
          topic,
          setTimeout(() => this.#post(topic), this.#options.lingerMs),
        );
    });
  }

  /** Sends what waits, and resolves when all of it was answered. */
  async flush(): Promise<void> {
    for (const topic of this.#waiting.keys()) this.#post(topic);
    while (this.#sending.size > 0) await Promise.all(this.#sending);
  }

  #post(topic: string): void {
    clearTimeout(this.#timers.get(topic));
    const batch = this.#waiting.get(topic) ?? [];
    this.#waiting.delete(topic);
    if (batch.length === 0) return;
    const sending = this.#deliver(topic, batch)
      .catch((error: unknown) => {
        for (const {reject} of batch) reject(error);
      })
      .finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }

  async #deliver(topic: string, batch: Waiting[]): Promise<void> {
    // One key for every attempt: a batch whose answer was lost is not appended twice.
    const key = randomUUID();
    const body = `${batch.map(({line}) => line).join('\n')}\n`;
    const untilMs = Date.now() + this.#options.retryForMs;
    for (let attempt = 0; ; attempt++) {
      let waitMs = Math.min(10_000, 100 * 2 ** attempt) * (0.5 + Math.random() / 2);
      let failure: unknown;
      try {
        const answer = await fetch(`${this.#options.url}/v1/events/${topic.replace('.', '/')}`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${this.#options.token}`,
            'content-type': 'application/x-ndjson',
            'idempotency-key': key,
          },
          body,
        });
        const told = (await answer.json()) as {
          records?: Verdict[];
          error?: {code: string; message: string};
        };
        const {records} = told;
        if (records) {
          for (const [index, {resolve}] of batch.entries()) resolve(records[index]!);
          return;
        }
        failure = new SendError(answer.status, told.error?.code ?? '', told.error?.message ?? 'no answer');
        if (answer.status !== 429 && answer.status < 500) throw failure;
        const seconds = Number(answer.headers.get('retry-after') ?? 0);
        waitMs = Math.max(waitMs, 1000 * seconds);
      } catch (error) {
        if (error instanceof SendError) throw error;
        failure = error;
      }
      if (Date.now() + waitMs > untilMs) throw failure;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}
