/** Why a connection to a broker cannot be made, and the way out: listeners that expect another protocol say nothing of it. */
import {PlatformError} from '../../errors.ts';
import type {KafkaSecurity} from './settings.ts';

/** Codes of Node and OpenSSL -> what to do. */
const tlsHints: readonly [pattern: RegExp, hint: string][] = [
  [
    /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|EPROTO/,
    'the port does not speak TLS: set log.kafka.security.protocol to plaintext or sasl_plaintext, or name the port of the listener with TLS',
  ],
  [
    /CERTIFICATE_REQUIRED|ALERT_BAD_CERTIFICATE|HANDSHAKE_FAILURE/,
    'the broker wants a certificate of ours: log.kafka.security.tls.cert and key',
  ],
  [
    /CERT|SELF_SIGNED|ALTNAME|ISSUER|UNABLE_TO|ERR_SSL|ERR_TLS/,
    'check log.kafka.security.tls.ca and the name in the certificate',
  ],
];

/** A failure of TLS; undefined for any other of a socket. @param name of the broker */
export function tlsFailure(name: string, error: Error & {code?: string}): PlatformError | undefined {
  const {code = '', message} = error;
  const [, hint] = tlsHints.find(([pattern]) => pattern.test(code)) ?? [];
  if (hint === undefined) return undefined;
  // OpenSSL's own words hold addresses of memory and of its source.
  const said = code.startsWith('ERR_SSL') ? code : message.split('\n')[0];
  return new PlatformError('KAFKA_ACCESS', `${name}: TLS failed: ${said}`, {hint, cause: error});
}

/** How far a connection came. */
export type Progress = {
  isConnected: boolean;
  /** TLS stands. */
  isSecure: boolean;
  hasVersions: boolean;
  /** Something else than the versions was answered. */
  wasServed: boolean;
};

/** What to look at when a connection ends, or nothing is answered on it. */
export function wayOut(protocol: KafkaSecurity['protocol'], progress: Progress): string {
  const isTls = protocol.endsWith('ssl');
  const isSasl = protocol.startsWith('sasl');
  const named = (sasl: boolean, tls: boolean) => {
    const [plain, secure] = sasl ? ['sasl_plaintext', 'sasl_ssl'] : ['plaintext', 'ssl'];
    return `then log.kafka.security.protocol is ${tls ? secure : plain}, not ${protocol}`;
  };
  if (isTls && progress.isConnected && !progress.isSecure)
    return `perhaps the listener has no TLS: ${named(isSasl, false)}`;
  if (progress.hasVersions && !progress.wasServed)
    return `perhaps the listener ${isSasl ? 'has no SASL' : 'wants SASL'}: ${named(!isSasl, isTls)}`;
  return 'check that the broker runs (on this machine: npx millrace up) and that log.kafka.brokers names it';
}
