/**
 * Record batches of version 2 (https://kafka.apache.org/documentation/#recordbatch):
 *
 *   batch := base offset:int64 length:int32 leader epoch:int32 magic:int8 crc:uint32
 *            attributes:int16 last offset delta:int32 base time:int64 largest time:int64
 *            producer id:int64 producer epoch:int16 base sequence:int32 count:int32 records
 *
 * `length` counts from the leader epoch on, the checksum (CRC-32C) covers from the attributes to the end.
 */
export const batchHeaderBytes = 61;

export type KafkaBatch = {
  /** Where it lies in the bytes. */
  start: number;
  end: number;
  baseOffset: number;
  /** Offset after its last one, whether that record is still there or not. */
  nextOffset: number;
  leaderEpoch: number;
  crc: number;
  codec: number;
  /** The broker's clock decided the time, which is `maxTimeMs` for all records. */
  isLogAppendTime: boolean;
  isTransactional: boolean;
  isControl: boolean;
  maxTimeMs: number;
  /** -1: none. */
  producerId: bigint;
  count: number;
};

/** Why bytes are no record batch that can be read. */
export class BatchFailure extends Error {}

const attributes = {codec: 7, logAppendTime: 8, transactional: 16, control: 32};

/**
 * The header of the batch at `at`; undefined when the batch does not end in the bytes (brokers cut the last one of an answer).
 * Its checksum is not checked here. Throws BatchFailure.
 */
export function batchAt(bytes: Uint8Array, view: DataView, at: number): KafkaBatch | undefined {
  const left = bytes.length - at;
  if (left < 17) return undefined;
  const magic = view.getInt8(at + 16);
  if (magic !== 2)
    throw new BatchFailure(
      magic === 0 || magic === 1
        ? `its format is version ${magic}; version 2 (Kafka 0.11 and later) is read`
        : `its format is version ${magic}, which is not known`,
    );
  const length = view.getInt32(at + 8);
  if (length < batchHeaderBytes - 12) throw new BatchFailure(`its length is ${length}`);
  if (length > left - 12) return undefined;
  const baseOffset = Number(view.getBigInt64(at));
  const lastDelta = view.getInt32(at + 23);
  const count = view.getInt32(at + 57);
  const maxTimeMs = Number(view.getBigInt64(at + 35));
  if (baseOffset < 0 || lastDelta < 0 || !Number.isSafeInteger(baseOffset + lastDelta + 1))
    throw new BatchFailure(`its offsets are ${baseOffset} and ${lastDelta} more`);
  if (count < 0 || count > lastDelta + 1) throw new BatchFailure(`it says that it has ${count} records`);
  const flags = view.getInt16(at + 21);
  return {
    start: at,
    end: at + 12 + length,
    baseOffset,
    nextOffset: baseOffset + lastDelta + 1,
    leaderEpoch: view.getInt32(at + 12),
    crc: view.getUint32(at + 17),
    codec: flags & attributes.codec,
    isLogAppendTime: (flags & attributes.logAppendTime) !== 0,
    isTransactional: (flags & attributes.transactional) !== 0,
    isControl: (flags & attributes.control) !== 0,
    maxTimeMs,
    producerId: view.getBigInt64(at + 43),
    count,
  };
}
