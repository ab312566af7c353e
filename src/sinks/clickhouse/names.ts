import type {Table} from '../../model/types.ts';
import type {ClickHouseCluster} from './connection.ts';

/** An identifier in backquotes; ClickHouse reads backslash escapes in them. */
export const quote = (name: string): string => `\`${name.replace(/[\\`]/g, (char) => `\\${char}`)}\``;

/** `namespace`.`name`, quoted. */
export const quoteTable = (namespace: string, name: string): string => `${quote(namespace)}.${quote(name)}`;

/** The physical table, quoted. */
export const physical = (table: Table): string => quoteTable(table.namespace, table.name);

type Placed = {cluster?: ClickHouseCluster | undefined};

/** What follows a name in statements that make and drop: on every server of the cluster, if there is one. */
export const on = ({cluster}: Placed): string => (cluster ? ` ON CLUSTER ${quote(cluster.name)}` : '');

/** The same for ALTER TABLE: replicas of one table tell each other. */
export const alterOn = ({cluster}: Placed): string => (cluster?.replicated ? '' : on({cluster}));
