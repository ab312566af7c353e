/** What a generator made -> one transaction of the log: events, dead letters, ledger and position together. */
import type {Clock} from '../clock.ts';
import type {Chunk, Rejected} from '../generate/chunk.ts';
import {deadLetterEncoder, deadLetterTopic} from '../ingest/deadletters.ts';
import {deadLetterIds} from '../ingest/identity.ts';
import type {AppendTransaction, IngestCounts} from '../log/types.ts';
import type {Domain} from '../model/types.ts';
import type {DeadLetter} from '../schema/side.ts';
import {
  checkpointKey,
  type GeneratorCheckpoint,
  type GeneratorPosition,
  generatorSource,
  positionKey,
} from './generate-types.ts';

export type TransactionBuilder = (
  chunk: Chunk,
  position: GeneratorPosition,
  checkpoint: GeneratorCheckpoint | undefined,
) => AppendTransaction;

/** Id of the dead letter of the n-th event of a run. */
export const generatedLetterId = (domain: string): ((run: number, n: number, stage: string) => string) => {
  const ids = deadLetterIds(domain, generatorSource);
  return (run, n, stage) => ids.of(`${run}/${n}/${stage}`);
};

/** @param schemaIds topic -> id of its schema, that of the dead letters among them. */
export function transactionBuilder(
  {name, eventTypes}: Domain,
  schemaIds: Readonly<Record<string, number>>,
  clock: Clock,
): TransactionBuilder {
  const topic = deadLetterTopic(name);
  const encode = deadLetterEncoder(schemaIds[topic]!);
  const idOf = generatedLetterId(name);
  const letterOf = (
    {type, n, stage, code, message, eventId, original}: Rejected,
    run: number,
  ): DeadLetter => ({
    id: idOf(run, n, stage),
    timeMs: clock.now(),
    domain: name,
    eventType: eventTypes[type]!.name,
    stage,
    query: null,
    code,
    message,
    source: generatorSource,
    position: {request: `${generatorSource}/${run}`, index: n},
    eventId,
    schemaId: null,
    original,
  });
  return (chunk, position, checkpoint) => {
    const appends = chunk.appends();
    const letters = chunk.rejected.map((rejected) => letterOf(rejected, position.run));
    if (letters.length > 0)
      appends.push({
        topic,
        partition: 0,
        count: letters.length,
        bytes: encode(letters),
        ids: letters.map(({id}) => id),
      });
    const progress = [{source: positionKey(name), position: JSON.stringify(position)}];
    if (checkpoint) progress.push({source: checkpointKey(name), position: JSON.stringify(checkpoint)});
    const ledger = chunk.counts.flatMap((counts, type): IngestCounts[] =>
      counts.received === 0
        ? []
        : // The log itself moves records with known ids from appended to duplicate.
          [
            {
              domain: name,
              eventType: eventTypes[type]!.name,
              source: generatorSource,
              duplicate: 0,
              ...counts,
            },
          ],
    );
    return {appends, progress, ledger};
  };
}
