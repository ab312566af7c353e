import type {EmbeddedEngine} from '../process/embedded/engine.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {EngineHostOptions} from './engine.ts';
import type {OutputCallbacks} from './outputs.ts';
import {refusedTransaction} from './side.ts';
import {appendSide} from './side-append.ts';

/** What the deliveries of a query tell the engine that runs it. */
export const callbacksOf = (
  options: EngineHostOptions,
  engine: EmbeddedEngine,
  plan: QueryPlan,
): OutputCallbacks => ({
  onPaused: (error) => engine.pause(plan.id, error),
  onResumed: () => engine.resume(plan.id),
  onRefused: (sink, rows) =>
    appendSide(options, refusedTransaction(plan, sink, rows, options.schemaIds, options.clock.now())),
});
