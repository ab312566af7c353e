import type {Table} from '../../model/types.ts';
import {encodeTsv, type TsvDialect} from '../tsv.ts';
import type {RowBatch} from '../types.ts';

const dialect: TsvDialect = {
  deleted: ['0', '1'],
  nonFinite: {nan: 'nan', plus: 'inf', minus: '-inf'},
  nul: '\\0',
  zone: '',
};

/** Rows as TabSeparated text, in the order of the table's columns. */
export const encodeText = (table: Table, batch: RowBatch): string => encodeTsv(table, batch, dialect);
