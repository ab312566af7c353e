/**
 * Which body an `Idempotency-Key` named. A ring in the log's books of sources: a place is found by the key, and another
 * key that falls on it takes it over, so that what is kept is bounded and survives a crash with what was appended.
 */
import {createHash} from 'node:crypto';
import type {LogWriter} from '../log/types.ts';
import type {Taken} from './incoming-group.ts';
import type {IncomingBatch} from './incoming-types.ts';

/** Keys that are remembered at most. */
const places = 65_536;
/** Hex digits of a hash that are kept: 128 bits. */
const digits = 32;

/** A key with its body, for `progress`. */
export type KeyNote = {source: string; position: string};

export class IncomingKeys {
  readonly #log: Pick<LogWriter, 'progress'>;
  /** Of batches that are on their way into the log. */
  readonly #pending = new Map<string, string>();

  constructor(log: Pick<LogWriter, 'progress'>) {
    this.#log = log;
  }

  /**
   * The note of a batch whose sender named it; undefined when nobody did.
   * @returns null when the key named another body before
   */
  note({ids, domain, eventType, format, request, bytes}: IncomingBatch): KeyNote | undefined | null {
    if (ids !== 'derived') return undefined;
    const key = createHash('sha256').update(`${domain}.${eventType}\0${request}`).digest();
    const name = key.toString('hex').slice(0, digits);
    const body = createHash('sha256').update(`${format}\0`).update(bytes).digest('hex').slice(0, digits);
    const source = `http-key/${key.readUInt32LE(16) % places}`;
    const position = `${name} ${body}`;
    const known = this.#pending.get(name) ?? this.#log.progress(source);
    if (known?.startsWith(name) && known !== position) return null;
    return {source, position};
  }

  /** Until the transaction of a batch has ended, the log does not know its key. */
  hold(key: KeyNote, taken: Pick<Taken, 'key' | 'resolve' | 'reject'>): void {
    const {resolve, reject} = taken;
    const name = key.position.slice(0, digits);
    this.#pending.set(name, key.position);
    taken.key = key;
    taken.resolve = (result) => {
      this.#pending.delete(name);
      resolve(result);
    };
    taken.reject = (error) => {
      this.#pending.delete(name);
      reject(error);
    };
  }
}
