/** Error codes of Kafka's answers (https://kafka.apache.org/protocol#protocol_error_codes), those that we tell apart. */
import {type ErrorCode, PlatformError} from '../../errors.ts';

type Code = {
  name: string;
  /** The same request can succeed later. */
  retry?: boolean;
  /** Somebody else leads the partition or coordinates the group now: look at the metadata again. */
  moved?: boolean;
};

export const codes: Readonly<Record<number, Code>> = {
  [-1]: {name: 'UNKNOWN_SERVER_ERROR'},
  1: {name: 'OFFSET_OUT_OF_RANGE'},
  2: {name: 'CORRUPT_MESSAGE', retry: true},
  3: {name: 'UNKNOWN_TOPIC_OR_PARTITION', retry: true, moved: true},
  5: {name: 'LEADER_NOT_AVAILABLE', retry: true, moved: true},
  6: {name: 'NOT_LEADER_OR_FOLLOWER', retry: true, moved: true},
  7: {name: 'REQUEST_TIMED_OUT', retry: true},
  8: {name: 'BROKER_NOT_AVAILABLE', retry: true, moved: true},
  9: {name: 'REPLICA_NOT_AVAILABLE', retry: true, moved: true},
  10: {name: 'MESSAGE_TOO_LARGE'},
  13: {name: 'NETWORK_EXCEPTION', retry: true, moved: true},
  14: {name: 'COORDINATOR_LOAD_IN_PROGRESS', retry: true},
  15: {name: 'COORDINATOR_NOT_AVAILABLE', retry: true, moved: true},
  16: {name: 'NOT_COORDINATOR', retry: true, moved: true},
  17: {name: 'INVALID_TOPIC_EXCEPTION'},
  18: {name: 'RECORD_LIST_TOO_LARGE'},
  19: {name: 'NOT_ENOUGH_REPLICAS', retry: true},
  20: {name: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND', retry: true},
  22: {name: 'ILLEGAL_GENERATION'},
  25: {name: 'UNKNOWN_MEMBER_ID'},
  27: {name: 'REBALANCE_IN_PROGRESS', retry: true},
  29: {name: 'TOPIC_AUTHORIZATION_FAILED'},
  30: {name: 'GROUP_AUTHORIZATION_FAILED'},
  31: {name: 'CLUSTER_AUTHORIZATION_FAILED'},
  33: {name: 'UNSUPPORTED_SASL_MECHANISM'},
  34: {name: 'ILLEGAL_SASL_STATE'},
  35: {name: 'UNSUPPORTED_VERSION'},
  36: {name: 'TOPIC_ALREADY_EXISTS'},
  37: {name: 'INVALID_PARTITIONS'},
  38: {name: 'INVALID_REPLICATION_FACTOR'},
  40: {name: 'INVALID_CONFIG'},
  41: {name: 'NOT_CONTROLLER', retry: true, moved: true},
  44: {name: 'POLICY_VIOLATION'},
  45: {name: 'OUT_OF_ORDER_SEQUENCE_NUMBER'},
  46: {name: 'DUPLICATE_SEQUENCE_NUMBER'},
  47: {name: 'INVALID_PRODUCER_EPOCH'},
  56: {name: 'KAFKA_STORAGE_ERROR', retry: true, moved: true},
  58: {name: 'SASL_AUTHENTICATION_FAILED'},
  59: {name: 'UNKNOWN_PRODUCER_ID'},
  72: {name: 'LISTENER_NOT_FOUND', retry: true, moved: true},
  74: {name: 'FENCED_LEADER_EPOCH', retry: true, moved: true},
  75: {name: 'UNKNOWN_LEADER_EPOCH', retry: true, moved: true},
  76: {name: 'UNSUPPORTED_COMPRESSION_TYPE'},
  78: {name: 'OFFSET_NOT_AVAILABLE', retry: true},
  79: {name: 'MEMBER_ID_REQUIRED'},
  82: {name: 'FENCED_INSTANCE_ID'},
  87: {name: 'INVALID_RECORD'},
  89: {name: 'THROTTLING_QUOTA_EXCEEDED', retry: true},
  90: {name: 'PRODUCER_FENCED'},
  100: {name: 'UNKNOWN_TOPIC_ID', retry: true, moved: true},
  103: {name: 'INCONSISTENT_TOPIC_ID', retry: true, moved: true},
};

/** Name of a code, `ERROR_<n>` for one that is not listed. */
export const nameOfCode = (code: number): string => codes[code]?.name ?? `ERROR_${code}`;
/** Whether the same request can succeed later; unlisted codes cannot. */
export const isTransient = (code: number): boolean => codes[code]?.retry === true;
/** Whether the metadata is to be looked at before the next attempt. */
export const isMoved = (code: number): boolean => codes[code]?.moved === true;

/** Codes that say that we may not -> the way out. */
const rights = 'give the user of log.kafka.security the rights that docs/kafka.md lists';
const access: Readonly<Record<number, string>> = {
  29: rights,
  30: rights,
  31: rights,
  33: 'set log.kafka.security.mechanism to one that the broker offers',
  34: 'the listener has no SASL: set log.kafka.security.protocol to plaintext or ssl, or name the port of its SASL listener',
  58: 'see username, password and mechanism in log.kafka.security',
};

/** What a code says to the operator. `what`: the attempt, as in `reading shop.order partition 0`. */
export function kafkaError(
  code: number,
  what: string,
  place?: string,
  detail?: string | null,
): PlatformError {
  const name = nameOfCode(code);
  const kind: ErrorCode =
    access[code] !== undefined ? 'KAFKA_ACCESS' : isTransient(code) ? 'KAFKA_UNAVAILABLE' : 'KAFKA_REFUSED';
  return new PlatformError(kind, `${what}: the broker answered ${name}${detail ? ` (${detail})` : ''}`, {
    ...(place === undefined ? {} : {place}),
    ...(access[code] === undefined ? {} : {hint: access[code]}),
  });
}

/** A broker makes this client wait, ms. */
export const overQuota = (broker: number, ms: number): PlatformError =>
  new PlatformError(
    'KAFKA_UNAVAILABLE',
    `broker ${broker} makes this client wait ${(ms / 1000).toFixed(1)} s, since it is over its quota`,
    {
      hint: 'see producer_byte_rate and consumer_byte_rate of the client id or the user (docs/kafka.md#quotas)',
    },
  );
