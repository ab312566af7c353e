/**
 * What the log holds instead of protected values and of the records of dead letters.
 *
 *   token  := "pii1:" key name:base64url ":" base64url(AES-256-GCM of what stands for the value, its tag)
 *   record := "pii1" key name:16 bytes nonce:12 bytes, AES-256-GCM of the record, its tag
 *
 * A value's key seals one message for each kind of protection, so its nonce is made of that: equal values are equal tokens.
 * What is kept as a key is usable only together with the platform's: the files alone open nothing.
 */
import {createCipheriv, createDecipheriv, createHash, createHmac, randomBytes} from 'node:crypto';
import {keyNameBytes, type MasterKeys} from './values.ts';

const prefix = 'pii1:';
const algorithm = 'aes-256-gcm';
const tagBytes = 16;
const nonceBytes = 12;
/** base64url of a key's name. */
const nameLength = 22;

export const isToken = (text: string): boolean => text.startsWith(prefix);

/** What the tokens of a key begin with. */
export const tokenStart = (name: Buffer): string => `${prefix}${name.toString('base64url')}:`;

const usable = ({wrap}: MasterKeys, key: Uint8Array): Buffer =>
  createHmac('sha256', wrap).update(key).digest();

const nonceOf = (kind: string): Buffer => createHash('sha256').update(kind).digest().subarray(0, nonceBytes);

function encrypt(key: Buffer, nonce: Uint8Array, plain: Uint8Array): Buffer {
  const cipher = createCipheriv(algorithm, key, nonce);
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Undefined when it was sealed with another key, or is damaged. */
function decrypt(key: Buffer, nonce: Uint8Array, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < tagBytes) return undefined;
  try {
    const end = sealed.length - tagBytes;
    const decipher = createDecipheriv(algorithm, key, nonce).setAuthTag(sealed.subarray(end));
    return Buffer.concat([decipher.update(sealed.subarray(0, end)), decipher.final()]);
  } catch {
    return undefined;
  }
}

/** The token of what stands for a value. @param key as it is kept, 32 bytes */
export function sealToken(
  keys: MasterKeys,
  name: Buffer,
  key: Uint8Array,
  kind: string,
  text: string,
): string {
  const sealed = encrypt(usable(keys, key), nonceOf(kind), Buffer.from(text));
  return `${tokenStart(name)}${sealed.toString('base64url')}`;
}

/** Parts of a token; undefined for a text that is none. */
export function tokenParts(text: string): {name: Buffer; sealed: Buffer} | undefined {
  const at = prefix.length + nameLength;
  if (!isToken(text) || text[at] !== ':') return undefined;
  const name = Buffer.from(text.slice(prefix.length, at), 'base64url');
  return name.length === keyNameBytes
    ? {name, sealed: Buffer.from(text.slice(at + 1), 'base64url')}
    : undefined;
}

/** What stands for the value; undefined when the key is not the token's. */
export const openToken = (
  keys: MasterKeys,
  key: Uint8Array,
  sealed: Buffer,
  kind: string,
): string | undefined => decrypt(usable(keys, key), nonceOf(kind), sealed)?.toString('utf8');

const recordPrefix = Buffer.from('pii1');
const recordHead = recordPrefix.length + keyNameBytes + nonceBytes;

/** A dead letter's record, sealed by a key of its own. */
export function sealRecord(keys: MasterKeys, name: Buffer, key: Uint8Array, plain: Uint8Array): Buffer {
  const nonce = randomBytes(nonceBytes);
  return Buffer.concat([recordPrefix, name, nonce, encrypt(usable(keys, key), nonce, plain)]);
}

/** Name of the key of a sealed record; undefined for a record that is plain. */
export const recordKeyName = (record: Uint8Array): Buffer | undefined =>
  record.length >= recordHead + tagBytes && recordPrefix.every((byte, index) => record[index] === byte)
    ? Buffer.from(record.subarray(recordPrefix.length, recordPrefix.length + keyNameBytes))
    : undefined;

/** The plain record; undefined when the key is not its key. */
export function openRecord(keys: MasterKeys, key: Uint8Array, record: Uint8Array): Buffer | undefined {
  const nonce = record.subarray(recordHead - nonceBytes, recordHead);
  return decrypt(usable(keys, key), nonce, record.subarray(recordHead));
}
