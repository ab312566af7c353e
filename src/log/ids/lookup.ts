/** Which ids each topic remembers, and where their records lie: as a reader sees it, without filters. See `remember.ts`. */
import type {DatabaseSync} from 'node:sqlite';
import type {Stream} from '../chain.ts';
import {EntryTable, keyOf} from './entries.ts';
import {idQueries, type Run} from './store.ts';

/** Where the record of an id lies; undefined when the topic does not remember it. */
export type FindId = (topic: string, id: string) => {partition: number; offset: number} | undefined;

/**
 * Prepares look-ups. What is returned is called inside a read transaction and gives a function that is good until its end.
 * Both throw LOG_CORRUPT.
 */
export function idLookup(database: DatabaseSync, allStreams: () => Stream[]): () => FindId {
  const queries = idQueries(database);
  const tail = new EntryTable();
  const key = new Uint32Array(6);
  let sequence = -1;
  let live: Run[] = [];
  let streams = new Map<number, Stream>();

  function refresh(): void {
    const now = queries.sequence();
    if (now === sequence) return;
    sequence = -1;
    const index = queries.read();
    live = index.runs.filter((run) => run.live === 1);
    tail.clear();
    for (const entries of index.tail) tail.addAll(entries);
    streams = new Map(allStreams().map((stream) => [stream.id, stream]));
    sequence = now;
  }

  return () => {
    refresh();
    return (topic, id) => {
      keyOf(id, key);
      const belongs = (stream: number, offset: number) => {
        const {topic: other, startOffset} = streams.get(stream)!;
        return other === topic && offset >= startOffset;
      };
      let place = tail.find(key, belongs);
      // The newest first: what is looked for was often appended lately.
      for (let i = live.length - 1; !place && i >= 0; i--) place = queries.find(live[i]!, key, belongs);
      return place && {partition: streams.get(place.stream)!.partition, offset: place.offset};
    };
  };
}
