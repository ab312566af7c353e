import type {Table} from '../../model/types.ts';

/** An identifier in backquotes; ClickHouse reads backslash escapes in them. */
export const quote = (name: string): string => `\`${name.replace(/[\\`]/g, (char) => `\\${char}`)}\``;

/** `namespace`.`name`, quoted. */
export const quoteTable = (namespace: string, name: string): string => `${quote(namespace)}.${quote(name)}`;

/** The physical table, quoted. */
export const physical = (table: Table): string => quoteTable(table.namespace, table.name);
