/** An authority and certificates that it signs, for tests of TLS. */
import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

export type Certificate = {cert: string; key: string};

export type Authority = {
  /** PEM file. */
  ca: string;
  /** A certificate for that name, or for 127.0.0.1; PEM files. */
  sign(name: string): Certificate;
  remove(): void;
};

/** Makes keys of an elliptic curve, which takes no time. */
export function makeAuthority(): Authority {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-ca-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, {cwd: dir, stdio: 'pipe'});
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
  );
  return {
    ca: join(dir, 'ca.pem'),
    sign(name) {
      const isAddress = /^[\d.]+$/.test(name);
      writeFileSync(join(dir, `${name}.ext`), `subjectAltName = ${isAddress ? 'IP' : 'DNS'}:${name}\n`);
      openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-days',
        '2',
        '-extfile',
        `${name}.ext`,
        '-out',
        `${name}.pem`,
      );
      return {cert: join(dir, `${name}.pem`), key: join(dir, `${name}.key`)};
    },
    remove: () => rmSync(dir, {recursive: true, force: true}),
  };
}
