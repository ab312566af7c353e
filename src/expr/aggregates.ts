/** How an aggregate function is written, and what it gives. */
export type Aggregate = {doc: string; usage: string; example: string};

/** The aggregate functions, for the reference and for messages. */
export const aggregates: Record<string, Aggregate> = {
  count: {
    usage: 'count() or count(x)',
    doc: 'Number of events. Of a condition: the events for which it is true. Of anything else: the events in which it is not NULL.',
    example: "count(basket = 'large')",
  },
  sum: {
    usage: 'sum(number)',
    doc: 'Exact for int, long (a long) and money (money); a double for doubles.',
    example: 'sum(amount * quantity)',
  },
  min: {
    usage: 'min(x)',
    doc: 'The least number, timestamp or date; of the type of x.',
    example: 'min(amount)',
  },
  max: {
    usage: 'max(x)',
    doc: 'The greatest number, timestamp or date; of the type of x.',
    example: 'max(delay)',
  },
  avg: {usage: 'avg(number)', doc: 'Exact sum by count, a double; money in units.', example: 'avg(amount)'},
  distinct: {
    usage: 'distinct(x)',
    doc: 'Number of distinct values that are not NULL, approximately (HyperLogLog 2^12, standard error 1.6 %); a long.',
    example: 'distinct(user_id)',
  },
  quantile: {
    usage: 'quantile(number, q)',
    doc: 'The value below which a share q (0 to 1) of the values lies, approximately (DDSketch, 1 % relative); a double, money in units.',
    example: 'quantile(delay, 0.95)',
  },
  first: {
    usage: 'first(x)',
    doc: 'The value that is not NULL of the earliest event by (timestamp, event_id).',
    example: 'first(price)',
  },
  last: {
    usage: 'last(x)',
    doc: 'The value that is not NULL of the latest event by (timestamp, event_id).',
    example: 'last(price)',
  },
};
