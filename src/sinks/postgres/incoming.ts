/**
 * What a server sends, looked at before the client reads it: the client would read a text without an end for ever, keep whatever
 * a length announces, and end the thread when an answer is cut.
 *
 *   message := kind:byte length:int32 body      the length counts itself
 *
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import {isIP} from 'node:net';
import type {Duplex} from 'node:stream';
import type {Client} from 'pg';
import {PlatformError} from '../../errors.ts';

/** A row is none of ours beyond this. */
const messageBytesMax = 64 * 2 ** 20;
/** Messages that hold texts: of a failure, of a result's columns. */
const textBytesMax = 4 * 2 ** 20;
/** All of the answer to a statement, which the client keeps. */
const answerBytesMax = 512 * 2 ** 20;

/** The same for somebody who asks: all of it is kept, and again as text. */
const readerBytesMax = 64 * 2 ** 20;
const readerRowsMax = 1_000_000;

const headBytes = 5;
const readyForQuery = 'Z';
const dataRow = 'D';
/** Kinds whose body holds texts that end with a zero byte, which are looked for without a limit. */
const withTexts = new Set(['A', 'C', 'E', 'N', 'R', 'S', 'T']);

/** What the client knows of its connection; its types leave it out. */
type Inside = {connection: {attachListeners(stream: Duplex): void}};

/**
 * @param isPlain whether the way to the host is not encrypted: then a password is not sent as it is
 * @param isOfReader whether what is asked is what somebody wants to see: answers are smaller then
 */
export function guardIncoming(
  client: Client,
  {host, isPlain, isOfReader}: {host: string; isPlain: boolean; isOfReader: boolean},
): void {
  const {connection} = client as unknown as Inside;
  const attach = connection.attachListeners;
  connection.attachListeners = function (stream) {
    const look = createLook(isPlain && !isHere(host), isOfReader);
    const on = (event: string, listener: (...args: unknown[]) => void) => {
      if (event !== 'data') return stream.on(event, listener);
      return stream.on(event, (chunk: Buffer) => {
        try {
          look(chunk);
          listener(chunk);
        } catch (error) {
          stream.destroy(error instanceof PlatformError ? error : noServer((error as Error).message, error));
        }
      });
    };
    attach.call(this, {on} as unknown as Duplex);
  };
}

/** Whoever listens on this machine's own addresses, or at a socket, could read the password anyway. */
const isHere = (host: string): boolean =>
  host === 'localhost' ||
  host === '::1' ||
  host.startsWith('/') ||
  (isIP(host) === 4 && host.startsWith('127.'));

/** @returns takes what comes, in any pieces. @throws PlatformError for what no server says */
function createLook(mayNotShowPassword: boolean, isOfReader: boolean): (chunk: Buffer) => void {
  const head = Buffer.alloc(headBytes);
  let filled = 0;
  /** Bytes of the body that are still to come. */
  let left = 0;
  let answerBytes = 0;
  let rows = 0;
  let kind = '';
  let body: Buffer[] | undefined;
  const begin = () => {
    kind = String.fromCharCode(head[0]!);
    left = head.readUInt32BE(1) - 4;
    const isText = withTexts.has(kind);
    if (left < 0 || left > (isText ? textBytesMax : messageBytesMax))
      throw noServer(`a length of ${left} bytes`);
    answerBytes = kind === readyForQuery ? 0 : answerBytes + left + headBytes;
    rows = kind === readyForQuery ? 0 : kind === dataRow ? rows + 1 : rows;
    if (isOfReader && answerBytes > readerBytesMax) throw tooMuch(`${readerBytesMax / 2 ** 20} MiB`);
    if (isOfReader && rows > readerRowsMax) throw tooMuch(`${readerRowsMax} rows`);
    if (answerBytes > answerBytesMax) throw noServer(`an answer of more than ${answerBytesMax} bytes`);
    body = isText ? [] : undefined;
  };
  const end = () => {
    filled = 0;
    if (!body) return;
    const whole = body.length === 1 ? body[0]! : Buffer.concat(body);
    if (!isWhole(kind, whole)) throw noServer('a text without an end');
    if (mayNotShowPassword && kind === 'R' && whole.length >= 4 && whole.readInt32BE(0) === 3)
      throw plainPassword();
  };
  return (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      if (filled < headBytes) {
        head[filled++] = chunk[at++]!;
        if (filled === headBytes) begin();
      } else {
        const size = Math.min(left, chunk.length - at);
        body?.push(chunk.subarray(at, at + size));
        left -= size;
        at += size;
      }
      if (filled === headBytes && left === 0) end();
    }
  };
}

/** Whether every text in the body ends in it. */
function isWhole(kind: string, body: Buffer): boolean {
  const {length} = body;
  const endsWith = (zeros: number) =>
    length >= zeros && body.subarray(length - zeros).every((byte) => byte === 0);
  switch (kind) {
    case 'C':
      return endsWith(1);
    case 'E':
    case 'N':
      return length === 1 ? endsWith(1) : endsWith(2);
    case 'S':
    case 'A': {
      const from = kind === 'A' ? 4 : 0;
      const first = body.indexOf(0, from);
      return first >= from && body.indexOf(0, first + 1) > first;
    }
    case 'R':
      // The list of mechanisms ends with an empty one.
      return length >= 4 && (body.readInt32BE(0) !== 10 || endsWith(2));
    default:
      return isColumns(body);
  }
}

/** `count:int16 (name text, 18 bytes)*` */
function isColumns(body: Buffer): boolean {
  if (body.length < 2) return false;
  let at = 2;
  for (let left = body.readUInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    if (end < 0) return false;
    at = end + 19;
  }
  return at === body.length;
}

const noServer = (why: string, cause?: unknown): PlatformError =>
  new PlatformError('SINK_UNAVAILABLE', `what answers there is no PostgreSQL: ${why}`, {
    hint: 'see what url of the sink names, and what stands before it',
    ...(cause === undefined ? {} : {cause}),
  });

const tooMuch = (than: string): PlatformError =>
  new PlatformError('SINK_QUERY', `the answer has more than ${than}`, {hint: 'select less, or add LIMIT'});

const plainPassword = (): PlatformError =>
  new PlatformError(
    'SINK_REFUSED',
    'the server wants to see the password itself, over a connection that is not encrypted',
    {
      hint: 'turn TLS on (tls: {mode: verify-full}), or have pg_hba.conf ask with scram-sha-256, then: npx millrace resume',
    },
  );
