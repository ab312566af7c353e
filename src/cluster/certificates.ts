/**
 * Certificates for servers of this machine: an authority of their own, one for 127.0.0.1 and localhost, one for a client.
 * X.509 version 3 (RFC 5280, section 4.1), in DER:
 *
 *   Certificate    := SEQUENCE { TBSCertificate, AlgorithmIdentifier, signature BIT STRING }
 *   TBSCertificate := SEQUENCE { [0] version, serial, AlgorithmIdentifier, issuer Name, SEQUENCE { from, to }, subject Name,
 *                                SubjectPublicKeyInfo, [3] SEQUENCE OF Extension }
 *   Extension      := SEQUENCE { OID, critical BOOLEAN (absent: false), OCTET STRING of its value }
 */
import {createHash, generateKeyPairSync, type KeyObject, randomBytes, sign} from 'node:crypto';
import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

/** PEM text of a certificate and its private key (PKCS 8). */
export type KeyPair = {cert: string; key: string};
/** PEM texts. */
export type Certificates = {
  /** What clients have to trust. */
  ca: string;
  /** For 127.0.0.1, ::1 and localhost. */
  server: KeyPair;
  /** Of whoever `client` names, by common name. */
  client: KeyPair;
};

const daysValid = 3650;
const dayMs = 86_400_000;

const oids = {
  commonName: '55 04 03',
  ecdsaWithSha256: '2a 86 48 ce 3d 04 03 02',
  subjectKeyId: '55 1d 0e',
  keyUsage: '55 1d 0f',
  subjectAltName: '55 1d 11',
  basicConstraints: '55 1d 13',
  authorityKeyId: '55 1d 23',
} as const;

/** Makes an authority and what it signs, for ten years. @param client common name in the client's certificate */
export function makeCertificates(client = 'millrace', nowMs = Date.now()): Certificates {
  const ca = keyPair();
  const issuer = {name: 'Millrace local authority', key: ca.privateKey, id: keyId(ca.publicKey)};
  const issue = (subject: string, publicKey: KeyObject, own: Buffer[]) =>
    certificate({subject, publicKey, issuer, extensions: own, nowMs});
  const server = keyPair();
  const user = keyPair();
  const names = extension(
    oids.subjectAltName,
    false,
    sequence(
      tlv(0x82, Buffer.from('localhost')),
      tlv(0x87, Buffer.from([127, 0, 0, 1])),
      tlv(0x87, Buffer.from([...new Array(15).fill(0), 1])),
    ),
  );
  const signs = extension(oids.basicConstraints, true, sequence(tlv(0x01, Buffer.from([0xff]))));
  const signsNot = extension(oids.basicConstraints, true, sequence());
  return {
    // Bits of keyUsage: 0 digitalSignature, 5 keyCertSign, 6 cRLSign; the first byte counts the unused ones.
    ca: issue(issuer.name, ca.publicKey, [signs, usage([0x01, 0x06])]),
    server: {
      cert: issue('localhost', server.publicKey, [signsNot, usage([0x07, 0x80]), names]),
      key: pemOf(server.privateKey),
    },
    client: {
      cert: issue(client, user.publicKey, [signsNot, usage([0x07, 0x80])]),
      key: pemOf(user.privateKey),
    },
  };
}

/**
 * The certificates of a directory, made when they are not there: `ca.crt`, `server.crt`, `server.key`, `client.crt`,
 * `client.key`, and for programs that want one file `server.pem`. Keys are readable by their owner alone.
 */
export function keptCertificates(dir: string, client?: string): Certificates {
  const read = (name: string) => readFileSync(join(dir, name), 'utf8');
  if (!existsSync(join(dir, 'ca.crt'))) {
    const {ca, server, client: user} = makeCertificates(client);
    const write = (name: string, text: string) => writeFileSync(join(dir, name), text, {mode: 0o600});
    mkdirSync(dir, {recursive: true});
    write('server.crt', server.cert);
    write('server.key', server.key);
    write('server.pem', server.key + server.cert);
    write('client.crt', user.cert);
    write('client.key', user.key);
    write('ca.crt', ca);
  }
  return {
    ca: read('ca.crt'),
    server: {cert: read('server.crt'), key: read('server.key')},
    client: {cert: read('client.crt'), key: read('client.key')},
  };
}

const keyPair = () => generateKeyPairSync('ec', {namedCurve: 'P-256'});
const pemOf = (key: KeyObject): string => key.export({type: 'pkcs8', format: 'pem'}) as string;
const keyInfo = (key: KeyObject): Buffer => key.export({type: 'spki', format: 'der'});
const keyId = (key: KeyObject): Buffer => createHash('sha1').update(keyInfo(key)).digest();

type Contents = {
  subject: string;
  publicKey: KeyObject;
  issuer: {name: string; key: KeyObject; id: Buffer};
  extensions: Buffer[];
  nowMs: number;
};

function certificate({subject, publicKey, issuer, extensions, nowMs}: Contents): string {
  const algorithm = sequence(oid(oids.ecdsaWithSha256));
  const serial = randomBytes(16);
  // Positive, and without a zero in front.
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const contents = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, serial),
    algorithm,
    nameOf(issuer.name),
    // A clock that is a little behind must not refuse it.
    sequence(time(nowMs - dayMs), time(nowMs + daysValid * dayMs)),
    nameOf(subject),
    keyInfo(publicKey),
    tlv(
      0xa3,
      sequence(
        ...extensions,
        extension(oids.subjectKeyId, false, tlv(0x04, keyId(publicKey))),
        extension(oids.authorityKeyId, false, sequence(tlv(0x80, issuer.id))),
      ),
    ),
  );
  const whole = sequence(contents, algorithm, bits(sign('sha256', contents, issuer.key)));
  const lines = whole.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function tlv(tag: number, value: Buffer): Buffer {
  const size = value.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), value]);
}

const sequence = (...parts: Buffer[]): Buffer => tlv(0x30, Buffer.concat(parts));
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const bits = (bytes: Buffer): Buffer => tlv(0x03, Buffer.concat([Buffer.from([0]), bytes]));
const nameOf = (text: string): Buffer =>
  sequence(tlv(0x31, sequence(oid(oids.commonName), tlv(0x0c, Buffer.from(text)))));
const usage = (unusedAndBits: [number, number]): Buffer =>
  extension(oids.keyUsage, true, tlv(0x03, Buffer.from(unusedAndBits)));

function extension(name: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(name), ...(critical ? [tlv(0x01, Buffer.from([0xff]))] : []), tlv(0x04, value));
}

/** UTCTime until 2049, GeneralizedTime from 2050 on (section 4.1.2.5). */
function time(ms: number): Buffer {
  const text = `${new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '')}`;
  return Number(text.slice(0, 4)) < 2050
    ? tlv(0x17, Buffer.from(text.slice(2)))
    : tlv(0x18, Buffer.from(text));
}
