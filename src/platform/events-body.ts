/** The body of a request that brings events: read and unpacked within limits. */
import type {IncomingMessage} from 'node:http';
import {promisify} from 'node:util';
import {brotliDecompress, gunzip, inflate, inflateRaw, zstdDecompress} from 'node:zlib';
import {PlatformError} from '../errors.ts';
import {inflationRatioMax} from '../ingest/open.ts';
import type {EventLimits} from '../model/types.ts';
import {formatBytes} from '../quantity.ts';
import type {Encoding, EventsHead} from './events-request.ts';

/** The ratio counts from here on, bytes: a small body of one repeated event packs better than any limit. */
const inflationFreeBytes = 1024 * 1024;
/** Bodies that are unpacked at once: as many as there are threads for it, so that memory is bounded by their number. */
const unpackingMax = 4;

/** Bytes that all requests hold together. */
export class InFlight {
  readonly bytesMax: number;
  bytes = 0;

  constructor({bodyBytesMax, inflatedBytesMax, inFlightBytesMax}: EventLimits) {
    // One request alone always fits.
    this.bytesMax = Math.max(inFlightBytesMax, bodyBytesMax + inflatedBytesMax);
  }

  /** @throws PlatformError EVENTS_BUSY when all of them hold too much. */
  hold(): {add(bytes: number): void; release(): void} {
    let held = 0;
    return {
      add: (bytes) => {
        if (this.bytes + bytes > this.bytesMax)
          throw new PlatformError(
            'EVENTS_BUSY',
            `more than ${formatBytes(this.bytesMax)} of events are under way`,
            {hint: 'wait for the seconds of Retry-After, then send the request again'},
          );
        this.bytes += bytes;
        held += bytes;
      },
      release: () => {
        this.bytes -= held;
        held = 0;
      },
    };
  }
}

const tooLarge = (message: string, hint: string) => new PlatformError('EVENTS_TOO_LARGE', message, {hint});

const bodyTooLarge = (limit: number) =>
  tooLarge(
    `the body has more than ${formatBytes(limit)}`,
    'send fewer events at once, or raise server.events.body',
  );

/** Requests whose body is arriving: each can be ended with a reason. */
export type Arriving = Set<(reason: Error) => void>;

/**
 * Reads a body whole. @param hold counts its bytes as they arrive.
 * @throws PlatformError EVENTS_TOO_LARGE, EVENTS_BUSY; the reason with which it was ended; undefined when the sender went away.
 */
export function readBody(
  request: IncomingMessage,
  {length}: EventsHead,
  bytesMax: number,
  hold: {add(bytes: number): void},
  arriving: Arriving,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    if (length !== undefined && length > bytesMax) return reject(bodyTooLarge(bytesMax));
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (end: () => void) => {
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      arriving.delete(onStop);
      end();
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      try {
        if (bytes > bytesMax) throw bodyTooLarge(bytesMax);
        hold.add(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        settle(() => reject(error));
      }
    };
    const onEnd = () => settle(() => resolve(joined(chunks, bytes)));
    const onClose = () => settle(() => reject(undefined));
    const onStop = (reason: Error) => settle(() => reject(reason));
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
    arriving.add(onStop);
  });
}

/** In one buffer, if they are not. */
function joined(chunks: readonly Buffer[], bytes: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const body = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

/** With `info` the engine tells how much of the data it has read: what follows the first stream it passes over. */
type Unpacked = {buffer: Buffer; engine: {bytesWritten: number}};
type UnpackOptions = {maxOutputLength: number; info: true};
type Unpack = (data: Uint8Array, options: UnpackOptions) => Promise<Unpacked>;
/** Node's types do not know what `info` makes of the answer. */
const promised = (unpack: typeof gunzip | typeof brotliDecompress | typeof zstdDecompress): Unpack =>
  promisify(unpack) as unknown as Unpack;
const unpackers: Record<Exclude<Encoding, 'identity' | 'deflate'>, Unpack> & {raw: Unpack; wrapped: Unpack} =
  {
    gzip: promised(gunzip),
    br: promised(brotliDecompress),
    zstd: promised(zstdDecompress),
    wrapped: promised(inflate),
    raw: promised(inflateRaw),
  };

/** `deflate` is zlib's format, but some senders leave its header away. */
const hasZlibHeader = (body: Uint8Array): boolean =>
  body.length > 1 && (body[0]! & 15) === 8 && ((body[0]! << 8) | body[1]!) % 31 === 0;

/** Unpacks bodies, some at a time. */
export function createUnpacking(bytesMax: number) {
  let running = 0;
  const waiting: (() => void)[] = [];
  /** @throws PlatformError EVENTS_TOO_LARGE, EVENTS_BODY, EVENTS_BUSY */
  return async (
    body: Uint8Array,
    encoding: Encoding,
    hold: {add(bytes: number): void},
  ): Promise<Uint8Array> => {
    if (encoding === 'identity') return body;
    if (running >= unpackingMax) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      const byRatio = inflationFreeBytes + body.length * inflationRatioMax;
      const maxOutputLength = Math.min(bytesMax, byRatio);
      const kind = encoding !== 'deflate' ? encoding : hasZlibHeader(body) ? 'wrapped' : 'raw';
      const {buffer: unpacked, engine} = await unpackers[kind](body, {maxOutputLength, info: true}).catch(
        (cause) => {
          throw unpackFailure(cause, encoding, maxOutputLength < bytesMax ? undefined : bytesMax);
        },
      );
      if (engine.bytesWritten < body.length)
        throw new PlatformError('EVENTS_BODY', `bytes follow the end of the ${encoding} body`, {
          hint: 'send one stream a request',
        });
      hold.add(unpacked.length);
      return unpacked;
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}

function unpackFailure(cause: NodeJS.ErrnoException, encoding: Encoding, limit: number | undefined): Error {
  if (cause.code === 'ERR_BUFFER_TOO_LARGE')
    return limit === undefined
      ? tooLarge(
          `the body inflates to more than ${inflationRatioMax} times its size`,
          'send it with less compression, or as it is',
        )
      : tooLarge(
          `the body inflates to more than ${formatBytes(limit)}`,
          'send fewer events at once, or raise server.events.inflated',
        );
  return new PlatformError('EVENTS_BODY', `the body is not ${encoding}: ${cause.message}`, {
    hint: 'it is damaged or cut short; pack it again',
    cause,
  });
}
