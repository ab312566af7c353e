/** Transforms of a test: their modules in a directory of its own, and what is told about them. */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {EventType} from '../../src/model/types.ts';
import type {Telemetry, TelemetryEvents} from '../../src/telemetry.ts';
import {createTransform} from '../../src/transforms/runner.ts';
import type {TransformOptions} from '../../src/transforms/thread.ts';
import type {TransformInput, TransformOutcome, TransformRunner} from '../../src/transforms/types.ts';
import {order} from '../ingest/world.ts';

export class Modules {
  readonly dir = mkdtempSync(join(tmpdir(), 'millrace-transform-'));
  readonly logged: TelemetryEvents['Log'][] = [];
  readonly telemetry: Telemetry = {
    emit: (name, event) => {
      if (name === 'Log') this.logged.push(event as TelemetryEvents['Log']);
    },
  };
  readonly #runners: TransformRunner[] = [];

  write(name: string, text: string): string {
    const path = join(this.dir, name);
    writeFileSync(path, text);
    return path;
  }

  /** `shop.order` with the transform of this body: `(event, {reject}) => ...`. */
  eventType(text: string, limits: {timeoutMs?: number; outputsMax?: number} = {}): EventType {
    const path = this.write('order.ts', text);
    return order({transform: {path, timeoutMs: 5000, outputsMax: 10, ...limits}});
  }

  runner(eventType: EventType, more: Partial<TransformOptions> = {}): TransformRunner {
    const runner = createTransform({eventType, telemetry: this.telemetry, reload: false, ...more});
    this.#runners.push(runner);
    return runner;
  }

  async close(): Promise<void> {
    for (const runner of this.#runners) await runner.close();
    rmSync(this.dir, {recursive: true, force: true});
  }
}

export async function withModules<T>(body: (modules: Modules) => Promise<T>): Promise<T> {
  const modules = new Modules();
  try {
    return await body(modules);
  } finally {
    await modules.close();
  }
}

/** An order as the transform gets it: of user `u<n>`. */
export const orderInput = (n: number, extra: TransformInput['extra'] = null): TransformInput => ({
  values: [`e${n}`, 1_700_000_000_000 + n, `u${n}`, 'DE', `${n}.50`, n],
  extra,
});

/** All outcomes, however many calls it takes. */
export async function runAll(runner: TransformRunner, inputs: TransformInput[]): Promise<TransformOutcome[]> {
  const outcomes: TransformOutcome[] = [];
  while (outcomes.length < inputs.length) outcomes.push(...(await runner.run(inputs.slice(outcomes.length))));
  return outcomes;
}

/** `country of each event`, or `code: message`. */
export const brief = (outcome: TransformOutcome): string => {
  if (outcome.kind === 'rejected') return `${outcome.code}: ${outcome.message}`;
  const width = outcome.count === 0 ? 1 : outcome.values.length / outcome.count;
  return Array.from({length: outcome.count}, (_, n) => String(outcome.values[n * width + 3])).join(' ');
};
