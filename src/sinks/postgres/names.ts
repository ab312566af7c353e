import type {Table} from '../../model/types.ts';

/** An identifier in double quotes. */
export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** "namespace"."name", quoted. */
export const quoteTable = (namespace: string, name: string): string => `${quote(namespace)}.${quote(name)}`;

/** The physical table, quoted. */
export const physical = (table: Table): string => quoteTable(table.namespace, table.name);

/** Up to which epoch a table of a query has its rows. */
export const markTable = quoteTable('millrace', 'delivered');

/** Up to which offset of a partition of the log a table of raw events has its rows. */
export const offsetTable = quoteTable('millrace', 'raw_offsets');
