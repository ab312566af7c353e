/**
 * Field specifications: one description of a key in YAML gives validation, the editor's JSON Schema, the reference docs and
 * the scrubbing of secrets.
 */
export type FieldSpec = {
  /** One sentence for the reference and the editor. */
  doc: string;
  required?: boolean;
  /** Shown in the reference; filled in by the reader when the key is absent. */
  default?: unknown;
  /** Never printed. */
  secret?: boolean;
  /** Part of the language, but not of this version: using it is a mistake that says so. */
  unavailable?: boolean;
} /** `url`: schemes of a URL that is wanted; a password in it is refused. */ & (
  | {type: 'string'; pattern?: RegExp; url?: readonly string[]; examples?: string[]}
  | {type: 'identifier'}
  | {type: 'integer'; min?: number; max?: number}
  | {type: 'number'; min?: number; max?: number}
  | {type: 'boolean'}
  /** "10m" -> ms */
  | {type: 'duration'}
  /** "64MiB" -> bytes */
  | {type: 'bytes'}
  /** "5M" -> count */
  | {type: 'count'}
  /** "10000/s" -> events per second */
  | {type: 'rate'}
  /** "5%" -> 0.05 */
  | {type: 'share'}
  | {type: 'expression'}
  /** A path relative to the file it stands in; becomes absolute. */
  | {type: 'path'}
  /** A directory relative to the platform's root; becomes absolute. */
  | {type: 'dir'}
  /** `later`: further values of the language that this version does not have. `synonyms`: words of others -> values, for hints. */
  | {
      type: 'enum';
      values: readonly string[];
      later?: readonly string[];
      synonyms?: Readonly<Record<string, readonly string[]>>;
    }
  | {type: 'list'; of: FieldSpec /** A single value stands for a list of one. */; orOne?: boolean}
  /** Keys chosen by the user. */
  | {type: 'map'; of: FieldSpec; keys?: 'identifier' | 'any'}
  | {
      type: 'object';
      fields: Record<
        string,
        FieldSpec
      > /** A scalar that stands for the object, as `order_id` for `{name: order_id}`. */;
      short?: string;
      /** The hint for a scalar where the object is wanted. */
      example?: string;
    }
  | {type: 'oneOf'; options: FieldSpec[]; describe: string}
  | {type: 'any'}
);
