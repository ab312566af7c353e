// node seal.ts <file> <name>   puts the value that stands on stdin under that name; an empty one removes it
import {text} from 'node:stream/consumers';
import {openSealed, writeSealed} from './sealed.ts';

const [file, name] = process.argv.slice(2);
const passphrase = process.env.SEALED_PASSPHRASE;
if (!file || !name || !passphrase) {
  process.stderr.write('usage: SEALED_PASSPHRASE=... node seal.ts <file> <name> < value\n');
  process.exit(2);
}
try {
  const secrets = openSealed(file, passphrase) ?? {};
  const value = (await text(process.stdin)).replace(/\r?\n$/, '');
  if (value === '') delete secrets[name];
  else secrets[name] = value;
  writeSealed(file, passphrase, secrets);
  process.stdout.write(`${file} has ${Object.keys(secrets).sort().join(', ') || 'none'}\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
