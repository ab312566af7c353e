/** Ids of records that came without one. */
import {randomFillSync} from 'node:crypto';
import {type Uuid5, uuid5Of} from '../schema/uuid5.ts';
import {domainNamespace} from './identity.ts';

const utf8 = new TextEncoder();

/** Random digits are fetched for so many ids at a time. */
const pooled = 512;
const digitsOfId = 16;
const pool = Buffer.alloc((digitsOfId / 2) * pooled);
let digits = '';
let used = pooled;
let lastMs = 0;
let sequence = 0;
let prefix = '';

/**
 * A new UUID of version 7: it begins with the time, so that ids made one after another lie side by side in the log's index.
 * https://www.rfc-editor.org/rfc/rfc9562#section-5.7
 */
export function uuid7(nowMs: number): string {
  if (used === pooled) {
    digits = randomFillSync(pool).toString('hex');
    used = 0;
  }
  const at = digitsOfId * used++;
  // Within a millisecond the twelve bits behind the time count up; past their end the time goes ahead.
  if (nowMs > lastMs || ++sequence > 0xfff) {
    lastMs = Math.max(nowMs, lastMs + 1);
    sequence = 0;
    const time = lastMs.toString(16).padStart(12, '0');
    prefix = `${time.slice(0, 8)}-${time.slice(8)}-`;
  }
  const variant = variants[digits.charCodeAt(at) & 3]!;
  return `${prefix}${(0x7000 | sequence).toString(16)}-${variant}${digits.slice(at + 1, at + 4)}-${digits.slice(at + 4, at + digitsOfId)}`;
}

/** RFC 9562 wants the bits 10 here. */
const variants = ['8', '9', 'a', 'b'];

/** Name space of the ids that a request gives its records: uuid5(domain, `http/<event type>/<request>/<index>`). */
export const requestIds = (domain: string, eventType: string, request: string): Uuid5 =>
  uuid5Of(domainNamespace(domain), `http/${eventType}/${request}/`);

/** The ids of the batch that is being read, made when a record turns out to need one; the last is kept for who asks again. */
export class RecordIds implements Uuid5 {
  #make: (index: number) => string = () => '';
  #index = -1;
  #last = '';

  /** @param make gives the id of a record by its index in the batch. */
  begin(make: (index: number) => string): void {
    this.#make = make;
    this.#index = -1;
  }

  of(index: string | number): string {
    if (index !== this.#index) {
      this.#last = this.#make(Number(index));
      this.#index = Number(index);
    }
    return this.#last;
  }

  /** As UTF-8, whatever its length: a list may hold any. */
  write(index: string | number, buffer: Uint8Array, position: number): number {
    return position + utf8.encodeInto(this.of(index), buffer.subarray(position)).written;
  }
}
