/** What one answer says and no checksum covers, or what is damaged, is asked for again before it counts. */
import {type Chunk, endOfChunk, oddPlace} from './chunk.ts';
import type {Stream} from './stream.ts';

const firstPauseMs = 100;
/** What is damaged is asked for again so often, each time after twice the pause: what a cable or a card did is gone then. */
export const rereadsMax = 4;
/** Before the so many-th of them, ms. */
export const rereadPauseMs = (times: number): number => firstPauseMs * 2 ** (times - 1);

/**
 * Whether an answer is to be asked for again: what would skip records, or give some twice, has to be said by two. So has the epoch of its
 * last batch, which has no checksum either: the next request names it, and would be told that the log is another one.
 */
export function isDoubted(stream: Stream, chunk: Chunk, leaderEpoch: number): boolean {
  const odd = oddPlace(chunk, stream.position);
  const place = odd && !(odd.isHole && stream.hasHoles) ? odd.name : '';
  const epoch = endOfChunk(chunk).leaderEpoch;
  const isOddEpoch = epoch < stream.lastEpoch || (leaderEpoch >= 0 && epoch > leaderEpoch);
  if (place === '' && !isOddEpoch) return false;
  const name = `${place} ${isOddEpoch ? epoch : ''}`;
  const isNew = stream.doubt !== name;
  stream.doubt = name;
  if (!isNew && place !== '' && odd!.isHole) stream.hasHoles = true;
  return isNew;
}
