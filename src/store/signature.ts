/**
 * AWS Signature Version 4 for single requests, as S3 and what speaks its protocol check it.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 *
 *   canonical := method \n path \n query \n headers \n\n names \n payload-hash
 *   to sign   := "AWS4-HMAC-SHA256" \n time \n scope \n sha256(canonical)
 *   key       := hmac(hmac(hmac(hmac("AWS4" secret, day), region), "s3"), "aws4_request")
 */
import {createHash, createHmac} from 'node:crypto';

/** Who signs, for which region. */
export type SigningKey = {accessKey: string; secretKey: string; region: string};

/** What is signed. `path` and `query` are not encoded yet. */
export type SignedRequest = {
  method: string;
  host: string;
  path: string;
  query: Record<string, string>;
  body: Uint8Array;
  /** Epoch ms; the server refuses one that is more than 15 minutes off. */
  timeMs: number;
};

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Everything but the unreserved characters of RFC 3986, which `encodeURIComponent` does not reach all of. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** A path as it is sent: its segments encoded, its slashes kept. */
export const encodePath = (path: string): string => path.split('/').map(encode).join('/');

/** A query as it is sent and signed: sorted by name. */
export const encodeQuery = (query: Record<string, string>): string =>
  Object.entries(query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');

/** The headers that make a request of ours: time, hash of the body, signature. */
export function signatureOf(key: SigningKey, request: SignedRequest): Record<string, string> {
  const time = `${new Date(request.timeMs).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
  const day = time.slice(0, 8);
  const scope = `${day}/${key.region}/s3/aws4_request`;
  const bodyHash = sha256(request.body);
  const names = 'host;x-amz-content-sha256;x-amz-date';
  const canonical = [
    request.method,
    encodePath(request.path),
    encodeQuery(request.query),
    `host:${request.host}\nx-amz-content-sha256:${bodyHash}\nx-amz-date:${time}\n`,
    names,
    bodyHash,
  ].join('\n');
  const signing = hmac(hmac(hmac(hmac(`AWS4${key.secretKey}`, day), key.region), 's3'), 'aws4_request');
  const signature = hmac(signing, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`).toString(
    'hex',
  );
  return {
    'x-amz-date': time,
    'x-amz-content-sha256': bodyHash,
    authorization: `AWS4-HMAC-SHA256 Credential=${key.accessKey}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
  };
}
