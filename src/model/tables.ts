import type {Aggregation, Column, EventType, Table} from './types.ts';

/**
 * The physical table of one revision of a query: window, dimensions, measures, then what versions the row. Its key is the
 * window's start with the dimensions; readers use the view of the query's name. See "Query table" in `docs/`.
 */
export function queryTable(aggregation: Aggregation, revision: number): Table {
  const dimensions = aggregation.groupBy.map(
    ({column, type}): Column => ({name: column, type, nullable: true, dimension: true}),
  );
  const measures = aggregation.measures.map(
    ({column, type, fn}): Column => ({name: column, type, nullable: fn !== 'count' && fn !== 'distinct'}),
  );
  const columns: Column[] = [
    {name: 'window_start', type: 'timestamp', nullable: false},
    {name: 'window_end', type: 'timestamp', nullable: false},
    ...dimensions,
    ...measures,
    {name: 'events', type: 'long', nullable: false},
    {name: 'closed', type: 'boolean', nullable: false},
    {name: 'deleted', type: 'boolean', nullable: false},
    {name: 'version', type: 'long', nullable: false},
  ];
  return {
    namespace: aggregation.domain,
    name: `${aggregation.name}__r${revision}`,
    kind: 'query',
    columns,
    key: ['window_start', ...dimensions.map(({name}) => name)],
    view: {
      name: aggregation.name,
      columns: columns.map(({name}) => name).filter((name) => name !== 'deleted' && name !== 'version'),
    },
  };
}

/** The table of an event type's raw events: the logged fields, and where and when each event was logged. */
export function rawTable(eventType: EventType): Table {
  return {
    namespace: eventType.domain,
    name: eventType.name,
    kind: 'raw',
    columns: [
      ...eventType.fields.map(
        ({column, type, required, role, aliases}): Column => ({
          name: column,
          type,
          nullable: !required,
          ...(role === 'dimension' ? {dimension: true} : {}),
          ...(aliases.length > 0
            ? {aliases: aliases.map((alias) => (type === 'money' ? `${alias}_cents` : alias))}
            : {}),
        }),
      ),
      {name: '_partition', type: 'int', nullable: false},
      {name: '_offset', type: 'long', nullable: false},
      {name: '_appended_at', type: 'timestamp', nullable: false},
    ],
    key: ['event_id'],
  };
}
