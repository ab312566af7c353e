/**
 * Ids of generated events: UUIDs of version 8 (RFC 9562, section 5.8). The first 76 bits, without version and variant, are a hash of what
 * generates; the last 48 are the number of the event, so that an id says which one it is, and making it costs no hash.
 */
import {createHash} from 'node:crypto';

/** The first 24 characters of the ids of a generator, up to and with the last dash. */
export function idPrefix(...of: (string | number)[]): string {
  const hex = createHash('sha256').update(JSON.stringify(of)).digest('hex');
  const variant = '89ab'[Number.parseInt(hex[15]!, 16) & 3];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(12, 15)}-${variant}${hex.slice(16, 19)}-`;
}

/** Id of the n-th event. @param n below 2^48 */
export const idOf = (prefix: string, n: number): string => prefix + n.toString(16).padStart(12, '0');

/** Text of a generated uuid field whose draw is `x`, 53 bits. */
export const uuidOf = (x: number): string => {
  const hex = x.toString(16).padStart(14, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(12)}0-a000-000000000000`;
};
