// The file of secrets: names and values, sealed as a whole with a key made of a passphrase. It can be committed.
//
//   {"salt": base64, "iv": base64, "tag": base64, "sealed": base64}   AES-256-GCM of the JSON; the key is scrypt(passphrase, salt)
import {createCipheriv, createDecipheriv, randomBytes, scryptSync} from 'node:crypto';
import {readFileSync, renameSync, writeFileSync} from 'node:fs';

export type Secrets = Record<string, string>;

const keyOf = (passphrase: string, salt: Buffer): Buffer =>
  scryptSync(passphrase.normalize(), salt, 32, {N: 1 << 15, r: 8, p: 1, maxmem: 64 << 20});

/** Undefined when there is no such file. Throws when the passphrase is another one or the file was altered. */
export function openSealed(path: string, passphrase: string): Secrets | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const {salt = '', iv = '', tag = '', sealed = ''} = JSON.parse(text) as Record<string, string>;
    const bytes = (part: string) => Buffer.from(part, 'base64');
    const decipher = createDecipheriv('aes-256-gcm', keyOf(passphrase, bytes(salt)), bytes(iv), {
      authTagLength: 16,
    });
    decipher.setAuthTag(bytes(tag));
    return JSON.parse(`${decipher.update(sealed, 'base64', 'utf8')}${decipher.final('utf8')}`) as Secrets;
  } catch {
    // Whatever it was exactly: messages of the parts could hold parts of what is sealed.
    throw new Error(`${path} does not open: the passphrase is another one, or the file was altered`);
  }
}

/** Writes the file anew, under a new key of the same passphrase. */
export function writeSealed(path: string, passphrase: string, secrets: Secrets): void {
  const salt = randomBytes(16);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyOf(passphrase, salt), iv, {authTagLength: 16});
  const sealed = Buffer.concat([cipher.update(JSON.stringify(secrets), 'utf8'), cipher.final()]);
  const parts = {salt, iv, tag: cipher.getAuthTag(), sealed};
  const text = Object.entries(parts).map(([name, part]) => [name, part.toString('base64')]);
  writeFileSync(`${path}.new`, `${JSON.stringify(Object.fromEntries(text), null, 2)}\n`, {mode: 0o600});
  renameSync(`${path}.new`, path);
}
