/**
 * What a process does before it appends to topics that another one may have written to a moment ago.
 *
 * A batch that its leader has and a follower has not yet is behind the high watermark: nobody can read it, and no end counts it. The ids
 * in it would be missed, and what its sender sends again would be there twice. So a record without a value, the barrier, is written to
 * each partition that has followers. When it is acknowledged (acks=all), everything before it can be read.
 */
import {PlatformError} from '../../errors.ts';
import {learn, type Parts} from './connect.ts';
import type {Growth} from './growth.ts';
import {answerError, missingAnswer, type Outgoing, produce} from './produce.ts';
import {fenceBatch} from './recover.ts';

/** So long a leader waits for its followers; then the lease is taken another time, ms. */
const replicasMs = 10_000;
/** Of a barrier in the header that fences have: no epoch, since it refuses nobody. */
const barrier = 'barrier';
const nobody = {id: -1, epoch: -1, sequence: -1};

/** Makes readable what holders before wrote, also to partitions that are new, and reads its ids. Throws KAFKA_*, LOG_CORRUPT */
export async function takeOver(parts: Parts, growth: Growth, nowMs: number): Promise<void> {
  await growth.now();
  await writeBarriers(parts, nowMs);
  await learn(parts);
}

async function writeBarriers({client, outbox, topics}: Parts, nowMs: number): Promise<void> {
  const byLeader = new Map<number, Outgoing[]>();
  for (const {name: topic, isAppended = true} of topics) {
    if (!isAppended) continue;
    for (const [partition, {leader, replicas}] of (client.metadata.topics.get(topic) ?? []).entries()) {
      // A leader alone has nothing that cannot be read.
      if (replicas < 2) continue;
      if (leader < 0)
        throw new PlatformError('KAFKA_UNAVAILABLE', `${topic} partition ${partition} has no leader`);
      const {bytes} = fenceBatch(outbox.head.name, barrier, nobody, nowMs);
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), {topic, partition, bytes}]);
    }
  }
  await Promise.all(
    [...byLeader].map(async ([leader, batches]) => {
      const answers = await produce(client, leader, batches, replicasMs);
      for (const {topic, partition} of batches) {
        const answer = answers.find((each) => each.topic === topic && each.partition === partition);
        if (!answer) throw missingAnswer(topic, partition);
        if (answer.code !== 0) throw answerError(answer);
      }
    }),
  );
}
