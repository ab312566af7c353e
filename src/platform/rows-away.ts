/** Tables whose sink does not open, for the delivery of rows: each is tried again at its own pace, and the others do not wait for that. */
import type {Telemetry} from '../telemetry.ts';

const firstMs = 500;
const pauseMsMax = 10_000;

export class SinksAway {
  /** Sink -> table -> when it is tried again. */
  readonly #away = new Map<string, Map<string, {pauseMs: number; nextMs: number}>>();
  /** Sink -> what it was told with. */
  readonly #told = new Map<string, string>();
  readonly #telemetry: Telemetry;
  readonly #now: () => number;

  /** @param telemetry is told of a sink once, and again when it says something else @param now ms that only grow */
  constructor(telemetry: Telemetry, now: () => number = () => performance.now()) {
    this.#telemetry = telemetry;
    this.#now = now;
  }

  /** Whether a table is to be begun in a sink now: it never failed, or its pause is over. */
  isDue(sink: string, table: string): boolean {
    return this.#now() >= (this.#away.get(sink)?.get(table)?.nextMs ?? 0);
  }

  /** The sink did not open, or the table cannot begin there. */
  failed(sink: string, table: string, {message}: Error): void {
    const tables = this.#away.get(sink) ?? new Map<string, {pauseMs: number; nextMs: number}>();
    this.#away.set(sink, tables);
    const known = tables.get(table);
    const pauseMs = known ? Math.min(known.pauseMs * 2, pauseMsMax) : firstMs;
    tables.set(table, {pauseMs, nextMs: this.#now() + pauseMs});
    if (this.#told.get(sink) === message) return;
    this.#told.set(sink, message);
    this.#telemetry.emit('Log', {level: 'warn', message: `rows for the sink ${sink} wait: ${message}`});
  }

  /** The table has begun. */
  opened(sink: string, table: string): void {
    const tables = this.#away.get(sink);
    if (!tables?.delete(table) || tables.size > 0) return;
    this.#away.delete(sink);
    this.#told.delete(sink);
  }
}
