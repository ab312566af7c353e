import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {AppendTransaction} from '../log/types.ts';
import type {SideOutput} from '../process/embedded/worker-messages.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {Telemetry} from '../telemetry.ts';
import type {IngestThread} from './ingest-thread.ts';
import {sideTransaction} from './side.ts';

type Given = {ingest: Pick<IngestThread, 'append'>; clock: Clock; telemetry: Telemetry};

/**
 * Appends what was set aside, or what says that it will be. A full disk is waited for: the checkpoint or the delivery waits
 * with it, so nothing is lost.
 * @param waits told at every attempt that failed for now
 * @throws what does not pass, saying that it could not be kept
 */
export async function appendSide(
  {ingest, clock, telemetry}: Given,
  transaction: AppendTransaction,
  waits: (why: string) => void = () => {},
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await ingest.append(transaction);
      return;
    } catch (error) {
      if (!(error instanceof PlatformError) || !error.retry) throw notKept(error);
      waits(error.message);
      if (attempt % 30 === 0)
        telemetry.emit('Log', {
          level: 'warn',
          message: `late events and dead letters wait: ${error.message}`,
        });
      await clock.sleep(1_000);
    }
  }
}

/** Keeps what queries set aside in the log, and knows why that takes long. */
export class SideKeeper {
  readonly #given: Given & {schemaIds: Record<string, number>};
  readonly #waits = new Map<string, string>();

  constructor(given: Given & {schemaIds: Record<string, number>}) {
    this.#given = given;
  }

  /** Resolves when it is durable. @throws as `appendSide` does */
  async keep(plan: QueryPlan, side: SideOutput): Promise<void> {
    const {schemaIds, clock} = this.#given;
    const transaction = sideTransaction(plan, side, schemaIds, clock.now());
    if (!transaction) return;
    await appendSide(this.#given, transaction, (why) => this.#waits.set(plan.id, why));
    this.#waits.delete(plan.id);
  }

  /** Why something of the query is not in the log yet, when that is known. */
  waits(query: string): string | undefined {
    return this.#waits.get(query);
  }
}

/** The same failure, saying what could not be done. */
function notKept(error: unknown): Error {
  const {message} = error as Error;
  const text = `late events and dead letters cannot be kept: ${message}`;
  if (!(error instanceof PlatformError)) return new Error(text, {cause: error});
  const hint = error.hint ?? 'mend the cause, then: npx millrace resume with the name of the query';
  return new PlatformError(error.code, text, {cause: error, hint});
}
