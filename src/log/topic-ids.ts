/** Whether a topic is still the one that offsets are of: Kafka gives one that is deleted and made anew another id. */
import {PlatformError} from '../errors.ts';
import type {LogReader} from './types.ts';

export type Remade = {
  /** Id of the topic that offsets are known of, and the one that it has now. */
  was: string;
  is: string;
  /** What reads; default the topic. */
  place?: string;
  /** Its ways out. */
  hint?: string;
};

const rebuildHint =
  'look who deleted it, and why; then make the rows from what it holds now: npx millrace rebuild <query>';

/** The error TOPIC_OTHER. */
export const remade = (topic: string, {was, is, place = topic, hint = rebuildHint}: Remade) =>
  new PlatformError(
    'TOPIC_OTHER',
    `topic ${topic} was deleted and made anew: what was read is of the topic with the id ${was}, and its id is ${is} now; offsets of the one mean nothing in the other`,
    {hint, place},
  );

/**
 * Compares the id that is known with that of now, as of the last look; where either is not known nothing is said.
 * @throws TOPIC_OTHER
 */
export function checkTopicId(
  log: Pick<LogReader, 'topicId'>,
  topic: string,
  was: string | undefined,
  ways: Pick<Remade, 'place' | 'hint'> = {},
): void {
  const is = log.topicId?.(topic);
  if (was !== undefined && is !== undefined && was !== is) throw remade(topic, {was, is, ...ways});
}
