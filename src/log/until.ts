import type {LogReader} from './types.ts';

/** A reader for which a topic ends at offsets by partition, and has no partition beyond those. Closes the log. */
export function readerUntil(log: LogReader, topic: string, until: readonly number[]): LogReader {
  const endOf = (partition: number) => Math.min(log.endOffset(topic, partition), until[partition] ?? 0);
  return {
    refresh: (topics) => log.refresh(topics),
    topics: () => log.topics(),
    partitions: (of) => (of === topic ? Math.min(log.partitions(of), until.length) : log.partitions(of)),
    startOffset: (of, partition) => log.startOffset(of, partition),
    endOffset: (of, partition) => (of === topic ? endOf(partition) : log.endOffset(of, partition)),
    async read(of, partition, offset, bytesMax) {
      if (of !== topic) return log.read(of, partition, offset, bytesMax);
      const end = endOf(partition);
      if (offset >= end) return [];
      return (await log.read(of, partition, offset, bytesMax)).filter(({baseOffset}) => baseOffset < end);
    },
    waitForAppend: (timeoutMs) => log.waitForAppend(timeoutMs),
    ledger: () => log.ledger(),
    transformed: () => log.transformed(),
    progress: (source) => log.progress(source),
    knows: (of, ids) => log.knows(of, ids),
    placeOf: (of, id) => log.placeOf(of, id),
    ...(log.topicId ? {topicId: (of: string) => log.topicId!(of)} : {}),
    close: () => log.close(),
  };
}
