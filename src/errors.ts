/** Long because it is the one list of everything that can go wrong. */
/**
 * The catalogue of everything that can go wrong outside our own code: a stable code, who acts on it and whether trying
 * again can help. `docs/reference/errors.md` is generated from it.
 */
export type ErrorSpec = {
  /** One sentence: what it means. */
  summary: string;
  /** Who can mend it. */
  actor: 'user' | 'operator' | 'sender';
  /** Whether the same attempt can succeed later without a change. */
  retry: boolean;
  /** Exit code of a command that ends with it. 1 failure, 2 usage or configuration, 3 differences, 4 dependency. */
  exit: 1 | 2 | 3 | 4;
};

export const errors = {
  USAGE: {summary: 'The command line is not understood.', actor: 'user', retry: false, exit: 2},
  CONFIG_INVALID: {
    summary: 'The configuration has mistakes; each is listed.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  PORT_BUSY: {
    summary: 'The HTTP port or the control socket cannot be opened.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  FILE_ACCESS: {
    summary: 'A file or directory cannot be read or written: no permission, a read-only or full disk.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  LOG_REMOVED: {
    summary:
      'The file of the log was removed or replaced while the platform ran; it ends, since nothing new would be kept.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  INGEST_LOST: {
    summary: 'The thread that writes the log ended; start the platform again, nothing acknowledged is lost.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  LOOKUP_INVALID: {
    summary: 'The file of a lookup cannot be read, or a key in it is NULL or stands twice.',
    actor: 'user',
    retry: true,
    exit: 1,
  },
  ROLLBACK_IMPOSSIBLE: {
    summary:
      'A query cannot go back to its earlier revision: it, its state or the log behind it is not there.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  CHANGE_REFUSED: {
    summary: 'A change cannot be applied: the schema registry refuses it, or somebody has to agree first.',
    actor: 'user',
    retry: false,
    exit: 3,
  },
  ARCHIVE_MISSING: {
    summary:
      'No sink keeps the raw events that a revision is to be filled from, it cannot be asked for them, or it lacks some.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  CHANGE_STOPPED: {
    summary:
      'A change was cut short, or another one is under way; nothing was switched, and the next attempt goes on.',
    actor: 'operator',
    retry: true,
    exit: 1,
  },
  REBUILD_STOPPED: {
    summary: 'A revision that was being filled stopped; the view shows the old one.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  TEST_STOPPED: {
    summary: 'A query stopped while a test of a domain ran.',
    actor: 'user',
    retry: false,
    exit: 1,
  },
  REPLAY_BUSY: {
    summary: 'Dead letters or late events are being replayed just now; one replay runs at a time.',
    actor: 'operator',
    retry: true,
    exit: 1,
  },
  REQUEST_INVALID: {
    summary: 'A request to the platform is not understood.',
    actor: 'sender',
    retry: false,
    exit: 2,
  },
  ACCESS: {
    summary: 'A request over HTTP has no valid token, or comes from a host or origin that is not served.',
    actor: 'sender',
    retry: false,
    exit: 2,
  },
  METHOD: {
    summary: 'A path over HTTP is asked for with a method that it does not have.',
    actor: 'sender',
    retry: false,
    exit: 2,
  },
  EVENTS_BODY: {
    summary: 'A body of events cannot be read or divided into records; nothing of it was taken.',
    actor: 'sender',
    retry: false,
    exit: 1,
  },
  EVENTS_SCHEMA: {
    summary:
      'The schema that a body of events brings cannot be read as the event type; nothing of it was taken.',
    actor: 'sender',
    retry: false,
    exit: 1,
  },
  EVENTS_MEDIA: {
    summary: 'A body of events has a content type or an encoding that is not read.',
    actor: 'sender',
    retry: false,
    exit: 1,
  },
  EVENTS_TOO_LARGE: {
    summary: 'A body of events passes a limit: its bytes, what it inflates to, or its number of records.',
    actor: 'sender',
    retry: false,
    exit: 1,
  },
  EVENTS_RATE: {
    summary: 'More events came with a token than `server.rate` allows; Retry-After says when to send again.',
    actor: 'sender',
    retry: true,
    exit: 1,
  },
  EVENTS_KEY: {
    summary: 'An Idempotency-Key was used for another body before; nothing was taken.',
    actor: 'sender',
    retry: false,
    exit: 1,
  },
  EVENTS_BUSY: {
    summary: 'More events are under way than the platform holds in memory; send them again a little later.',
    actor: 'sender',
    retry: true,
    exit: 1,
  },
  DRAINING: {
    summary: 'The platform is ending and takes nothing new; what it accepted is answered.',
    actor: 'sender',
    retry: true,
    exit: 1,
  },
  NOT_FOUND: {
    summary: 'A request over HTTP names a path at which nothing is served.',
    actor: 'sender',
    retry: false,
    exit: 2,
  },
  NOT_RUNNING: {
    summary: 'The command needs a running platform and none runs in this directory.',
    actor: 'user',
    retry: true,
    exit: 4,
  },
  PLATFORM_SILENT: {
    summary:
      'A platform, or one of its processes, runs in this directory and does not answer: it was suspended, or hangs.',
    actor: 'user',
    retry: true,
    exit: 4,
  },
  NAME_UNKNOWN: {
    summary: 'A command names a query, input, topic, subject or sink that the configuration does not have.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  SCHEMA_NAME_INVALID: {
    summary: 'A name in an event type is not allowed in Avro.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  SCHEMA_INCOMPATIBLE: {
    summary: 'A schema cannot follow the ones before it under its compatibility rule; each reason is listed.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  SCHEMA_UNSUPPORTED: {
    summary: 'A schema has a type that cannot be a column.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  REGISTRY_MISSING: {
    summary: 'There is no schema registry in this directory yet.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  REGISTRY_UNAVAILABLE: {
    summary: 'The schema registry cannot be read or written just now.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  REGISTRY_REFUSED: {
    summary:
      'A schema registry that is a server does not let us in or refuses what it was asked, or what answers is none.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  REGISTRY_OTHER: {
    summary:
      'The schema registry means other schemas by its ids than the one that the events were written with.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  REGISTRY_CORRUPT: {
    summary: 'A registered schema differs from its checksum, or the registry file is damaged.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  SINK_UNKNOWN: {
    summary: 'The configuration names a sink backend that neither Millrace nor a plugin has.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  PLUGIN_INVALID: {
    summary: 'A plugin module cannot be loaded, or what it exports is not a specification.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  SINK_TABLE_DIFFERS: {
    summary: 'A table that exists in a sink has other columns or another key than the configuration says.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  SINK_REFUSED: {
    summary: 'A sink refused a statement for good: access, a missing table, a type.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  SINK_ROW: {
    summary:
      'A sink refuses a row for good: it cannot hold a value of it. Rows of queries become dead letters.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  SINK_UNAVAILABLE: {
    summary: 'A sink failed for a reason that can pass: connection, time-out, disk full, memory.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  SINK_LOST: {
    summary: 'The process or thread that held a sink ended; it is opened again.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  SINK_DAMAGED: {
    summary: 'An embedded database does not open or does not answer; it can be rebuilt from the log.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  SINK_CLOSED: {
    summary: 'A sink was closed while something was still being written to it.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  SINK_STANDBY: {
    summary:
      'Another process writes into this sink, or may have begun to; this one stands by and takes over when it has ended.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  SINK_QUERY: {
    summary: 'A sink cannot answer this SQL.',
    actor: 'user',
    retry: false,
    exit: 1,
  },
  PII_KEY_OTHER: {
    summary: 'The key of `pii:` is not the one that protected values in the log were written with.',
    actor: 'operator',
    retry: false,
    exit: 2,
  },
  PII_KEYS: {
    summary:
      'The file with the keys of protected values is not one, is on another machine, or is held by a reader.',
    actor: 'operator',
    retry: true,
    exit: 1,
  },
  LOG_MISSING: {summary: 'There is no log in this directory yet.', actor: 'operator', retry: true, exit: 4},
  LOG_FULL: {
    summary: 'The log has reached its size limit; nothing was appended.',
    actor: 'operator',
    retry: true,
    exit: 1,
  },
  LOG_DISK_FULL: {
    summary: 'The disk of the log is full; nothing was appended.',
    actor: 'operator',
    retry: true,
    exit: 1,
  },
  LOG_IO: {
    summary: 'The log cannot be read or written; after a failed write it must be opened again.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  LOG_CORRUPT: {
    summary: 'The log is damaged: a checksum differs, or something that was acknowledged is missing.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  LOG_FORMAT: {
    summary: 'The log was written by a release of another format.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  LOG_TRIMMED: {
    summary: 'Retention has deleted the records at this offset.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  KAFKA_UNAVAILABLE: {
    summary: 'A Kafka broker cannot be reached, or cannot answer just now.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  KAFKA_ACCESS: {
    summary:
      'A Kafka broker does not let us in, or does not allow what was asked; or its certificate is not trusted.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  KAFKA_REFUSED: {
    summary: 'A Kafka broker refused a request for good.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  KAFKA_PROTOCOL: {
    summary: 'What answers at the address of a Kafka broker is none, or one that is too old.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  LOG_STANDBY: {
    summary:
      'Another process appends events to these topics; this one stands by and takes over when it has ended.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  LOG_FENCED: {
    summary:
      'Another process writes the same topics, or ships the same outbox: this one appends nothing more.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  OUTBOX_OTHER: {
    summary:
      'A directory holds a log of its own where the outbox of Kafka is wanted, the reverse, or the outbox of another cluster.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  SERVER_MISSING: {
    summary: 'A local server cannot be started: a program that it needs is not installed.',
    actor: 'user',
    retry: false,
    exit: 4,
  },
  SERVER_SILENT: {
    summary: 'A server said nothing in the time that a check may take.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  SERVER_FAILED: {
    summary: 'A local server ended while it started, or did not answer in time; its log says more.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  SERVER_FETCH: {
    summary: 'The files of a local server could not be fetched, or are not those that are expected.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  LOG_OTHER: {
    summary:
      'The state of a query was made from another log than the one that is configured; its offsets mean nothing here.',
    actor: 'operator',
    retry: false,
    exit: 2,
  },
  TOPIC_OTHER: {
    summary:
      'A Kafka topic was deleted and made anew: offsets that are known are of the one before and mean nothing in it.',
    actor: 'operator',
    retry: false,
    exit: 2,
  },
  KAFKA_LOST: {
    summary:
      'A Kafka partition ends before an offset up to which it was read: records that were acknowledged are gone, or the topic was made anew.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  LOCKED: {summary: 'Another process owns this directory.', actor: 'operator', retry: true, exit: 4},
  CHECKPOINT_CORRUPT: {
    summary: 'A checkpoint is damaged; the state can be read again from the log.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  CHECKPOINT_NEWER: {
    summary: 'The checkpoints were written by a newer release.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  CHECKPOINT_DISK_FULL: {
    summary: 'The disk of the checkpoints is full; this checkpoint was not written.',
    actor: 'operator',
    retry: true,
    exit: 1,
  },
  CHECKPOINT_IO: {
    summary: 'The checkpoints cannot be read or written.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  FENCED: {
    summary:
      'Another process has taken the checkpoints over: this one stopped, and what it had not committed the other one does again.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  SINK_SLOW: {
    summary: 'Rows of a query do not leave as fast as it reads: reading waits for its sinks.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  STORE_UNAVAILABLE: {
    summary: 'The object store does not answer, or says that it cannot just now.',
    actor: 'operator',
    retry: true,
    exit: 4,
  },
  STORE_REFUSED: {
    summary: 'The object store refuses: bucket, rights or key of the configuration are not right.',
    actor: 'operator',
    retry: false,
    exit: 4,
  },
  INPUT_MISSING: {
    summary: 'An input file is not there or cannot be read.',
    actor: 'user',
    retry: true,
    exit: 1,
  },
  INPUT_FORMAT: {
    summary: 'An input file is damaged, is packed in a way that is not read, or inflates without end.',
    actor: 'user',
    retry: false,
    exit: 1,
  },
  INPUT_HEADER: {
    summary: 'The first line of a CSV file does not name its columns.',
    actor: 'user',
    retry: false,
    exit: 1,
  },
  INPUT_COLUMNS: {
    summary: 'A file lacks columns that the input maps or the event type requires.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  INPUT_CHANGED: {
    summary: 'A file of this name was ingested before with other content.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  INPUT_BUSY: {
    summary: 'A file of this name is being ingested just now.',
    actor: 'user',
    retry: true,
    exit: 1,
  },
  INPUT_LATE: {
    summary: 'Rows of a file lie beyond the horizon of what the log already has.',
    actor: 'user',
    retry: false,
    exit: 1,
  },
  INPUT_BUDGET: {
    summary: 'More records of a source are bad than its budget allows; it stopped and keeps its position.',
    actor: 'user',
    retry: false,
    exit: 1,
  },
  TRANSFORM_LOAD: {
    summary: 'The module of a transform cannot be loaded, or has no function as its default export.',
    actor: 'user',
    retry: false,
    exit: 1,
  },
  TRANSFORM_STOPPED: {
    summary: 'A transform was stopped with the platform before it had seen these records.',
    actor: 'sender',
    retry: true,
    exit: 1,
  },
  VERIFY_IMPOSSIBLE: {
    summary:
      'What was generated cannot be made again, or is not alone in its topics, so nothing can be compared.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  EXPRESSION: {
    summary: 'An expression has no value for this event: an integer overflowed or a cast failed.',
    actor: 'sender',
    retry: false,
    exit: 1,
  },
  QUERY_CHANGED: {
    summary: 'The definition of a query means something else than the one its state and rows were made with.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
  QUERY_LIMIT: {
    summary: 'A query reached its limit of groups, memory or state on disk; it stops, the others run on.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  QUERY_FAILED: {
    summary: 'A query failed for a reason that is our mistake; it stops, the others run on.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  QUERY_STATE_LOST: {
    summary:
      'A sink lost rows that it had acknowledged, and the log no longer holds the events to make them again.',
    actor: 'operator',
    retry: false,
    exit: 1,
  },
  QUERY_LOOKUP_MISSING: {
    summary: 'A query needs a lookup snapshot that is not there.',
    actor: 'operator',
    retry: true,
    exit: 1,
  },
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof errors;

/** Hidden wherever they stand. */
const secretTexts = new Set<string>();
/** Hidden where a secret stands. Text -> such a place with it. */
const weakSecrets = new Map<string, RegExp>();

const secretLengthMin = 8;
const wordLengthMin = 12;

/**
 * Whether a text stands in messages by chance, since it is short or an ordinary word. Hidden everywhere, it would make them unreadable and
 * would itself be told: whoever reads `npx *** resume` knows it.
 */
export const isWeakSecret = (text: string): boolean =>
  text.length < secretLengthMin || (text.length < wordLengthMin && /^(?:[A-Z]?[a-z]+|[A-Z]+)$/.test(text));

/** Behind a word for a secret: `password: "x"`, `token=x`, `key 'x'`. And as the password of a URL. */
function placeOfSecret(text: string): RegExp {
  const own = text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  const named = `(?<=(?:pass\\w{0,12}|pwd|secret\\w{0,12}|token|key)["'\`]?(?:\\s?[:=]\\s?["'\`]?|\\s["'\`]))${own}(?![\\w-])`;
  return new RegExp(`${named}|(?<=://[^\\s/@]{0,256}:)${own}(?=@)`, 'gi');
}

/**
 * What stands where a URL has its password, also when nobody has read it: under a wrong key, in a URL that is none. Neither a port with
 * what follows it nor the place of a secret.
 */
const passwordOfUrl =
  /(?<=:\/\/[^\s/:@[\]"'`]{0,256}:)(?!\d{1,5}[/,?]|\$\{|\*+@)[^\s"'`]{1,256}(?=@[^\s"'`])/g;

/**
 * From now on `withoutSecrets`, and with it every PlatformError, shows `***` instead of this text; one that is weak only where a secret
 * stands.
 */
export function hideSecret(text: string): void {
  if (text === '') return;
  if (isWeakSecret(text)) weakSecrets.set(text, placeOfSecret(text));
  else secretTexts.add(text);
}

/** A message that may come from elsewhere, such as a driver that quotes its password; passwords of URLs are hidden as well. */
export const withoutSecrets = (message: string): string => replaceSecrets(message, () => '***');

/** A line of a file that may hold secrets, with as many asterisks as they have letters: places in it stay where they are. */
export const maskSecrets = (line: string): string =>
  replaceSecrets(line, (secret) => '*'.repeat(secret.length));

function replaceSecrets(text: string, shown: (secret: string) => string): string {
  let result = text;
  for (const secret of secretTexts) result = result.replaceAll(secret, shown(secret));
  for (const [secret, place] of weakSecrets) result = result.replace(place, shown(secret));
  return result.includes('@') ? result.replace(passwordOfUrl, shown) : result;
}

/** A failure of the user's input or of the outside world; our own mistakes are assertions instead. */
export class PlatformError extends Error {
  readonly code: ErrorCode;
  /** The way out, as an imperative sentence or a command to type. */
  readonly hint: string | undefined;
  /** Where: a file position, a topic and offset, a table. */
  readonly place: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: {hint?: string; place?: string; cause?: unknown} = {},
  ) {
    super(withoutSecrets(message), options.cause === undefined ? undefined : {cause: options.cause});
    this.name = 'PlatformError';
    this.code = code;
    this.hint = options.hint === undefined ? undefined : withoutSecrets(options.hint);
    this.place = options.place;
  }

  get exitCode(): number {
    return errors[this.code].exit;
  }

  get retry(): boolean {
    return errors[this.code].retry;
  }
}
