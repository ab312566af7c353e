/** Ids of records that the brokers' retention has deleted. */
import {PlatformError} from '../../errors.ts';
import type {Outbox} from '../outbox.ts';
import type {KafkaClient} from './client.ts';
import type {Lane} from './lane.ts';
import {edgeOf} from './recover.ts';

/** An answer says that the partition begins at `start`: ids of what was before are forgotten, when a second one says so too. */
export async function forgetBelow(
  {client, outbox}: {client: KafkaClient; outbox: Outbox},
  lane: Lane,
  start: number,
): Promise<void> {
  const before = lane.kafkaStart;
  lane.kafkaStart = start;
  try {
    lane.kafkaStart = Math.min(start, await edgeOf(client, lane.stream, 'start'));
    outbox.forget(lane.stream.id, lane.kafkaStart);
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    lane.kafkaStart = before;
  }
}
