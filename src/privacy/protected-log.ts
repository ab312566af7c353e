/** The one place where events and dead letters enter the log: with personal data in it, they pass the protector. */
import type {AppendResult, AppendTransaction, LogWriter} from '../log/types.ts';
import type {Protector} from './protector.ts';

type Waiting = {
  transaction: AppendTransaction;
  resolve(result: AppendResult | Promise<AppendResult>): void;
  reject(error: unknown): void;
};

/**
 * A log that holds tokens instead of protected values. Keys are on disk before the transaction that uses them is appended;
 * transactions of one turn of the event loop share that commit, and keep their order.
 */
export function protectLog(log: LogWriter, protector: Protector): LogWriter {
  let waiting: Waiting[] = [];
  const flush = () => {
    const group = waiting;
    waiting = [];
    try {
      protector.commit();
    } catch (error) {
      for (const {reject} of group) reject(error);
      return;
    }
    for (const {transaction, resolve, reject} of group)
      try {
        resolve(log.append(transaction));
      } catch (error) {
        reject(error);
      }
  };
  return {
    ensureTopic: (topic, partitions) => log.ensureTopic(topic, partitions),
    append(given) {
      let transaction = given;
      if (given.appends.some(({topic}) => protector.covers(topic)))
        try {
          transaction = {
            ...given,
            appends: given.appends.map((append) =>
              protector.covers(append.topic)
                ? {...append, bytes: protector.protect(append.topic, append)}
                : append,
            ),
          };
        } catch (error) {
          return Promise.reject(error);
        }
      if (waiting.length === 0 && !protector.pending) return log.append(transaction);
      return new Promise((resolve, reject) => {
        if (waiting.push({transaction, resolve, reject}) === 1) setImmediate(flush);
      });
    },
    progress: (source) => log.progress(source),
    ledger: () => log.ledger(),
    trim: (topic, partition, options) => log.trim(topic, partition, options),
    async close() {
      if (waiting.length > 0) flush();
      await log.close();
      protector.close();
    },
  };
}
