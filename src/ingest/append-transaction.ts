/** What one transaction of a file appends: events, dead letters, end marks, position and ledger. */
import type {AppendTransaction} from '../log/types.ts';
import type {AppenderContext} from './append.ts';
import type {Chunk} from './chunk.ts';
import {type DeadLetterEncoder, deadLetterTopic} from './deadletters.ts';
import {finalMarkMs} from './horizon.ts';
import {progressKey} from './position.ts';

/**
 * @param context `position` as it is when the transaction is durable: it is told when end marks are written; `transformed`
 * where the event type has a transform.
 */
export function transactionOf(
  chunk: Chunk,
  context: AppenderContext & {
    source: string;
    encode: DeadLetterEncoder;
    transformed: {in: number; out: number; rejected: number} | undefined;
  },
): AppendTransaction {
  const {input, eventType, name, topic, partitions, domain, final, position, source, transformed} = context;
  const letters = chunk.deadLetters;
  const appends = chunk.appends(topic);
  if (letters.length > 0)
    appends.push({
      topic: deadLetterTopic(input.domain),
      partition: 0,
      count: letters.length,
      bytes: context.encode(letters),
      ids: letters.map(({id}) => id),
    });
  const mark = position.done && final === true && position.lastMs !== null;
  if (mark) position.final = true;
  const timeMs = mark ? finalMarkMs(domain, eventType, position.lastMs!) : 0;
  const counts = {
    received: chunk.rows,
    appended: chunk.rows - letters.length - chunk.duplicates,
    duplicate: chunk.duplicates,
    rejected: letters.length,
  };
  const line = {domain: input.domain, eventType: eventType.name, source};
  return {
    appends,
    ...(mark
      ? {marks: Array.from({length: partitions}, (_, partition) => ({topic, partition, timeMs}))}
      : {}),
    progress: [{source: progressKey(input, name), position: JSON.stringify(position)}],
    // The log itself moves records with known ids from appended to duplicate.
    ledger: [{...line, ...counts}],
    ...(transformed && {transformed: [{...line, ...transformed}]}),
  };
}
