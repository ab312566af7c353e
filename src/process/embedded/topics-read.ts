/** Which topics, among all that had their names, a query's offsets are of. */
import {checkTopicId} from '../../log/topic-ids.ts';
import type {LogReader} from '../../log/types.ts';
import {replayTopic} from '../../schema/replay.ts';
import type {QueryPlan} from '../plan/nodes.ts';

/** Id by name, of the topics that have one. */
export type TopicIds = Record<string, string>;

/** The topics that a query reads, as of the last look. @param known of its checkpoint; kept where the log says nothing now */
export function topicsRead(plan: QueryPlan, log: LogReader, known: TopicIds = {}): TopicIds {
  const ids: TopicIds = {...known};
  for (const topic of namesOf(plan)) {
    const id = log.topicId?.(topic);
    if (id !== undefined) ids[topic] = id;
  }
  return ids;
}

/** Names of the topics of events that a query reads. */
export const topicsOf = ({sources}: QueryPlan): string[] => sources.map(({topic}) => topic);

const namesOf = (plan: QueryPlan): string[] => [...topicsOf(plan), replayTopic(plan.id)];

/** @throws TOPIC_OTHER when a topic that the checkpoint knows was deleted and made anew */
export function checkTopics(plan: QueryPlan, log: LogReader, known: TopicIds = {}): void {
  for (const topic of namesOf(plan)) checkTopic(plan, log, topic, known[topic]);
}

/** The same for one topic. */
export function checkTopic(plan: QueryPlan, log: LogReader, topic: string, known: string | undefined): void {
  checkTopicId(log, topic, known, {
    place: plan.id,
    hint: `look who deleted it, and why. The rows that were made stay as they are; for a new revision from what the topic holds now: npx millrace rebuild ${plan.id}`,
  });
}
