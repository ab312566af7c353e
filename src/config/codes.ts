/**
 * Every mistake that a configuration can have: stable code -> what it means. `docs/reference/errors.md` is generated from it.
 */
export const diagnosticCodes = {
  CONFIG_NOT_FOUND: 'There is no `config/` directory here or above.',
  ENVIRONMENT_NOT_FOUND: 'The chosen environment has no file in `config/environments/`.',
  FILE_UNREADABLE: 'A file of the configuration, or one that it names, cannot be read.',
  FILE_NOT_FOUND: 'A file that the configuration names does not exist.',
  DOMAIN_EMPTY: 'A domain has no event types, so nothing runs in it.',
  DOMAINS_EMPTY: 'There is no domain, so nothing would run.',

  YAML_ENCODING: 'The file is not UTF-8.',
  YAML_SYNTAX: 'The text is not YAML.',
  YAML_TOO_LARGE: 'The file is larger than a configuration file may be.',
  YAML_TOO_DEEP: 'Maps and lists are nested too deep.',
  YAML_ALIASES: 'Aliases are too many, or repeat too much, or refer to themselves or to nothing.',
  YAML_TAG: 'Tags such as `!!binary` or `!custom` are not part of the language.',
  YAML_DIRECTIVE: 'Directives such as `%YAML` are not part of the language.',
  YAML_MERGE_KEY: 'Merge keys (`<<`) are not part of the language.',
  YAML_DUPLICATE_KEY: 'A key stands twice in one map; one of the two would be lost.',
  YAML_COMMA:
    'A comma inside `{ }` ends a value that was meant to go on, as in `{p: quantile(a, 0.5)}`: quote it.',
  YAML_COLON: 'A colon without a blank behind it inside `{ }`: `{x:count()}` is one word and has no value.',
  YAML_KEY: 'A key is not plain text, or is a word that is never allowed as a key.',
  YAML_DOCUMENTS: 'A file holds more than one YAML document.',

  KEY_UNKNOWN: 'A key that does not exist here.',
  KEY_MISSING: 'A key that is required is missing.',
  TYPE_WRONG: 'A value has another type than the key wants: a list for text, text for a number.',
  VALUE_INVALID: 'A value has the right type but cannot be read: a duration without a unit, for example.',
  VALUE_UNKNOWN: 'A value is not one of those that exist.',
  VALUE_RANGE: 'A number, duration or size is outside what is allowed.',
  NOT_AVAILABLE: 'The language has this, but this version of Millrace does not yet.',

  NAME_INVALID: 'A name is no identifier: a letter, then up to 47 letters, digits and `_`, without `__`.',
  NAME_RESERVED: 'A name that Millrace uses itself.',
  NAME_DUPLICATE: 'Two things of one kind have one name.',
  NAME_COLLISION: 'Two names would give one column or one table.',

  SECRET_SYNTAX: 'A reference to a secret is not written as `${secret:name}`.',
  SECRET_NOT_HERE: 'A secret is referred to where none may stand.',
  SECRET_UNKNOWN: 'The secret backend has no secret of this name.',
  SECRET_UNREADABLE: 'The secret backend failed to read a secret, or refuses to.',
  SECRET_WEAK: 'A secret is short or an ordinary word, so that messages cannot hide it everywhere.',
  SECRET_LITERAL: 'A password is written in the file; refer to a secret instead.',
  PLUGIN_INVALID: 'A plugin cannot be loaded, or exports what is no specification.',

  PII_NOT_HERE: 'Something that is no optional text attribute is to be protected as personal data.',
  PII_DIFFERS:
    'An attribute of one name is protected in one event type of a domain and not, or otherwise, in another.',
  PII_KEY: 'Attributes are personal data, and there is no key, or one that is too short.',
  PII_LOOKUP: 'A lookup is joined on personal data: its keys are plain, the values are not.',

  KAFKA_SECURITY: 'Options of `log.kafka.security` contradict each other, or one is missing.',

  EVENT_TYPE_UNKNOWN: 'An event type that the domain does not have.',
  FIELD_UNKNOWN: 'A field or column that the event type does not have.',
  LOOKUP_UNKNOWN: 'A lookup that the domain does not have.',
  LOOKUP_COLUMN_UNKNOWN: 'A column that the lookup does not have.',
  LOOKUP_KEY_TYPE: 'A lookup is joined on a column of another type than its key.',
  SINK_UNKNOWN: 'A sink that is not in `sinks:`.',
  SINK_CAPABILITY: 'A sink is used for what its backend cannot do.',
  RAW_MISSING: 'A query is to be filled from raw events, and its domain keeps none.',

  ENUM_SYMBOLS:
    'An enum without symbols, with a symbol that Avro does not allow, or symbols on another type.',
  EXPRESSION_NULL: 'A derived column that is always NULL has no type.',
  COLUMN_TYPES_DIFFER: 'A column that a query uses has different types in the event types it reads.',
  GROUP_BY_NOT_IN_ALL: 'A `group_by` column is missing in one of the event types that the query reads.',
  WINDOW_OPTION_MISSING: 'A window lacks an option that its type needs.',
  WINDOW_OPTION_EXTRA: 'A window has an option that its type does not take.',
  WINDOW_SIZE: 'A window has no length, or an event would be in too many windows.',
  WINDOW_SLIDE_NOT_DIVISOR: 'The slide of a sliding window does not divide its size.',
  TIMEZONE_UNKNOWN: 'A time zone that the tz database does not have.',
  EXPR_SYNTAX: 'An expression is not written as SQL wants it.',
  EXPR_UNKNOWN_NAME: 'An expression names a column or measure that does not exist here.',
  EXPR_UNKNOWN_FUNCTION: 'An expression calls a function that does not exist.',
  EXPR_ARGUMENTS: 'A function has too many arguments, too few, or one of a wrong kind.',
  EXPR_TYPE: 'A part of an expression has another type than its place wants.',
  EXPR_LITERAL: 'A literal cannot be read: a date that does not exist, a number that is too large.',
  EXPR_SYMBOL: 'A column is compared with a value that it never has.',
  EXPR_LIMIT: 'An expression is too long, too deep or too complex.',
  INPUT_FORMAT: 'The format of an input is not given and its file name does not tell.',
  INPUT_MAP: 'A field of an input is mapped twice.',
  TIMESTAMP_FORMAT: 'A `timestamp_format` has a part that is not known, or names no year.',
  FILE_COLUMN:
    'The file of an input or a lookup lacks a column that the configuration names, or that a field needs.',
  GENERATE_SHARES: 'Probabilities or shares of `generate:` are together over 1.',
  GENERATE_VALUE: 'Values of `generate:` that cannot be read, or that the field cannot hold.',
} as const satisfies Record<string, string>;

export type DiagnosticCode = keyof typeof diagnosticCodes;
