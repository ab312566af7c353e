import type {Platform} from '../model/types.ts';
import type {ApplyOptions} from './apply.ts';
import {type ChangeLine, carryOut, type Wish} from './change.ts';
import {type RunningPlatform, startPlatform} from './runtime.ts';

/**
 * Fills a new revision of a query from the log beside the one that runs, compares, switches. `rebuild`: lateness is applied, it
 * must make the same rows. `backfill`: every event up to the log's end of now counts, whatever its lateness. One that was cut
 * short goes on.
 * @throws NAME_UNKNOWN, and the reason when the revision stops while it is being filled.
 */
export const refillRunning = (
  running: RunningPlatform,
  wish: Wish,
  options: ApplyOptions,
): AsyncGenerator<ChangeLine> => carryOut(running, [wish], {...options, platform: running.configured});

/** The same without a running platform: one runs for as long as it takes, without inputs and for no other query. */
export async function* refillOffline(
  platform: Platform,
  wish: Wish,
  options: ApplyOptions,
): AsyncGenerator<ChangeLine> {
  const [domain, name] = wish.query.split('.');
  const alone: Platform = {
    ...platform,
    domains: platform.domains
      .filter((each) => each.name === domain)
      .map((each) => ({
        ...each,
        inputs: [],
        aggregations: each.aggregations.filter((aggregation) => aggregation.name === name),
        defaults: {...each.defaults, ...(wish.archive ? {} : {raw: null})},
      })),
  };
  const command = `millrace ${wish.why}`;
  const running = await startPlatform(alone, {inputs: false, port: 0, command, isPart: true});
  try {
    yield* refillRunning(running, wish, options);
  } finally {
    await running.drain();
  }
}
