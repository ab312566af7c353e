import type {FieldSpec} from '../fields.ts';
import {typeSynonyms} from './type-synonyms.ts';

/** Types of attributes and dimensions. */
export const valueTypes = [
  'string',
  'int',
  'long',
  'double',
  'boolean',
  'timestamp',
  'date',
  'uuid',
  'money',
  'enum',
] as const;
const lookupTypes = valueTypes.filter((type) => type !== 'enum');

/** Texts that mean NULL. */
export const nulls = (doc: string): FieldSpec => ({
  type: 'list',
  orOne: true,
  of: {type: 'string', doc: 'A text.'},
  doc,
  default: [''],
});

/** An item of `lookups:` of a domain. */
export const lookup: FieldSpec = {
  type: 'object',
  doc: 'A table that events are enriched from.',
  fields: {
    name: {type: 'identifier', required: true, doc: 'Name that `enrich` refers to.'},
    key: {
      type: 'object',
      short: 'name',
      required: true,
      doc: 'Column that is looked up.',
      fields: {
        name: {type: 'identifier', required: true, doc: 'Name of the column.'},
        type: {
          type: 'enum',
          values: ['string', 'int', 'long', 'date', 'uuid'],
          doc: 'Type of the key.',
          default: 'string',
        },
      },
    },
    columns: {
      type: 'map',
      keys: 'identifier',
      required: true,
      of: {type: 'enum', values: lookupTypes, synonyms: typeSynonyms, doc: 'Type.'},
      doc: 'Columns that can be taken, with their types.',
    },
    from: {
      type: 'object',
      required: true,
      example: '{csv: ../lookups/products.csv}',
      doc: 'Where it comes from: a file, or a table of a sink that answers SQL.',
      fields: {
        csv: {type: 'path', doc: 'CSV file with a header.'},
        sink: {
          type: 'identifier',
          doc: 'Name of the sink whose database has the rows, with `table` or `query`.',
        },
        table: {
          type: 'string',
          pattern: /^[A-Za-z_][\w$]{0,62}(\.[A-Za-z_][\w$]{0,62})?$/,
          examples: ['public.products'],
          doc: 'Table or view there; its columns are named as the key and the columns of the lookup.',
        },
        query: {
          type: 'string',
          examples: ['SELECT id AS product_id, brand FROM public.products WHERE active'],
          doc: 'Instead of a table: one statement that reads, with such columns.',
        },
      },
    },
    null: nulls('Texts in the file that mean NULL.'),
    refresh: {
      type: 'duration',
      doc: 'How often the file or table is looked at for a new version; without it only at start.',
    },
  },
};
