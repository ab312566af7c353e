import type {Table} from '../../model/types.ts';

/** An identifier in double quotes. */
export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** "namespace"."name", quoted. */
export const quoteTable = (namespace: string, name: string): string => `${quote(namespace)}.${quote(name)}`;

/** The physical table, quoted. */
export const physical = (table: Table): string => quoteTable(table.namespace, table.name);
