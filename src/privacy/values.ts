/** What readers get instead of a protected value, and the keys that are made of the platform's one. */
import {createHmac} from 'node:crypto';

const hmac = (key: string | Buffer, ...parts: (string | Buffer)[]): Buffer => {
  const made = createHmac('sha256', key);
  for (const part of parts) made.update(part);
  return made.digest();
};

/** Keys for the different uses, from the text of the platform's key. */
export type MasterKeys = {
  /** The platform's own: hashes are made with it, so that others who have it can make the same. */
  text: string;
  /** Names of the keys of values. */
  names: Buffer;
  /** What keys are made usable with. */
  wrap: Buffer;
  /** Told apart from another platform key by this. */
  check: Buffer;
};

export const masterKeys = (text: string): MasterKeys => ({
  text,
  names: hmac(text, 'millrace/names'),
  wrap: hmac(text, 'millrace/wrap'),
  check: hmac(text, 'millrace/check'),
});

/** Bytes of the name of a value's key. */
export const keyNameBytes = 16;

/** Name of the key of a value: nobody without the platform's key can tell whose it is. @param attribute `<domain>.<name>` */
export const keyName = ({names}: MasterKeys, attribute: string, value: string): Buffer =>
  hmac(names, attribute, '\0', value).subarray(0, keyNameBytes);

/** The first 32 hex digits of HMAC-SHA256(key, attribute, NUL, value). */
const hashed = ({text}: MasterKeys, attribute: string, value: string): string =>
  hmac(text, attribute, '\0', value).toString('hex').slice(0, 32);

const stars = '***';
/** The longest address that mail knows. */
const mailMax = 254;

/**
 * A value that nobody can be found by, while kinds can be told apart. Always three stars, so that lengths say nothing:
 *
 * - mail addresses keep the domain, and the first letter where there are three before the `@`: `j***@example.com`
 * - numbers of seven digits and more, with the signs that telephones and cards have between them: the last two, `***67`
 * - any other text of four characters and more keeps the first, `M***`; a shorter one nothing
 */
export function masked(value: string): string {
  if (value === '') return '';
  const mail = value.length <= mailMax ? /^([^@\s]+)@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)$/.exec(value) : null;
  if (mail) return `${[...mail[1]!].length >= 3 ? firstOf(mail[1]!) : ''}${stars}@${mail[2]}`;
  if (value.length <= 64 && /^[+()\d\s./-]+$/.test(value)) {
    const digits = value.replaceAll(/\D/g, '');
    if (digits.length >= 7) return `${stars}${digits.slice(-2)}`;
  }
  return `${value.length >= 8 || [...value].length >= 4 ? firstOf(value) : ''}${stars}`;
}

const firstOf = (text: string): string => String.fromCodePoint(text.codePointAt(0)!);

/** What stands for a value; null for what is dropped, and for a kind that this release does not know. */
export function standIn(keys: MasterKeys, kind: string, attribute: string, value: string): string | null {
  if (kind === 'hash') return hashed(keys, attribute, value);
  return kind === 'mask' ? masked(value) : null;
}
