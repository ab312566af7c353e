/**
 * SASL PLAIN (RFC 4616) and SCRAM-SHA-256/512 (RFC 5802, RFC 7677) as conversations: what is said first, and what is said to
 * each answer. Both sides of SCRAM are checked: a server that does not know the password is refused.
 */
import {createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual} from 'node:crypto';
import {promisify} from 'node:util';
import {PlatformError} from '../../errors.ts';
import type {KafkaSecurity} from './settings.ts';

type Credentials = NonNullable<KafkaSecurity['sasl']>;
/** Sends bytes as a SaslAuthenticate request. @returns the server's bytes */
export type SaslExchange = (bytes: Uint8Array) => Promise<Uint8Array>;

/** Iterations that a server may ask for: less is no protection (RFC 7677), much more would hold the process. */
const iterations = {min: 4096, max: 1_000_000};

/** Goes through the conversation. Throws KAFKA_ACCESS, and what `exchange` throws. */
export async function authenticate(
  {mechanism, username, password}: Credentials,
  exchange: SaslExchange,
): Promise<void> {
  if (mechanism === 'plain') await exchange(Buffer.from(`\0${username}\0${password}`));
  else await scram(mechanism === 'scram-sha-256' ? 'sha256' : 'sha512', username, password, exchange);
}

/** The mechanism's name on the wire. */
export const saslName = (mechanism: Credentials['mechanism']): string => mechanism.toUpperCase();

async function scram(
  hash: 'sha256' | 'sha512',
  username: string,
  password: string,
  exchange: SaslExchange,
): Promise<void> {
  const nonce = randomBytes(24).toString('base64url');
  const user = username.replaceAll('=', '=3D').replaceAll(',', '=2C');
  const first = `n=${user},r=${nonce}`;
  const serverFirst = text(await exchange(Buffer.from(`n,,${first}`)));
  const {r, s, i} = attributes(serverFirst);
  const rounds = Number(i);
  if (!r?.startsWith(nonce) || r.length === nonce.length || !s)
    throw refused('its first answer is none of SCRAM');
  if (!Number.isInteger(rounds) || rounds < iterations.min || rounds > iterations.max)
    throw refused(`it asks for ${i} iterations, ${iterations.min} to ${iterations.max} are accepted`);
  const size = hash === 'sha256' ? 32 : 64;
  const salted = await promisify(pbkdf2)(
    password.normalize('NFKC'),
    Buffer.from(s, 'base64'),
    rounds,
    size,
    hash,
  );
  const hmac = (key: Uint8Array, value: string) => createHmac(hash, key).update(value).digest();
  const clientKey = hmac(salted, 'Client Key');
  const final = `c=biws,r=${r}`;
  const message = `${first},${serverFirst},${final}`;
  const signature = hmac(createHash(hash).update(clientKey).digest(), message);
  const proof = clientKey.map((byte, index) => byte ^ signature[index]!);
  const serverFinal = text(
    await exchange(Buffer.from(`${final},p=${Buffer.from(proof).toString('base64')}`)),
  );
  const {v} = attributes(serverFinal);
  const wanted = hmac(hmac(salted, 'Server Key'), message);
  const given = Buffer.from(v ?? '', 'base64');
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    throw refused('it does not prove that it knows the password');
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');

/** `a=1,b=2` -> values by letter. */
function attributes(message: string): Partial<Record<string, string>> {
  const found: Record<string, string> = Object.create(null);
  for (const part of message.split(',')) found[part.slice(0, 1)] = part.slice(2);
  return found;
}

const refused = (why: string) =>
  new PlatformError('KAFKA_ACCESS', `the broker cannot be trusted: ${why}`, {
    hint: 'check log.kafka.brokers and log.kafka.security',
  });
