/** The generators of the ingest thread, one a domain. */
import {PlatformError} from '../errors.ts';
import {type GenerateContext, GeneratorSource} from './generate-source.ts';
import type {GenerateOrder, GeneratorStatus} from './generate-types.ts';

export type Generators = {
  /** Carries out an order. @returns the generator's status; null when there is none. @throws USAGE, NAME_UNKNOWN */
  order(domain: string, order: GenerateOrder): Promise<GeneratorStatus | null>;
  status(): GeneratorStatus[];
  /** Resolves when none runs any more. */
  settled(): Promise<void>;
};

export function createGenerators(contextOf: (domain: string) => GenerateContext): Generators {
  const sources = new Map<string, {source: GeneratorSource; done: Promise<void>}>();
  const stop = async (domain: string) => {
    const known = sources.get(domain);
    known?.source.stop();
    await known?.done;
  };
  return {
    async order(domain, order) {
      if (order.kind === 'start') {
        await stop(domain);
        const context = contextOf(domain);
        const source = new GeneratorSource(context, order.start);
        const done = source.run().catch((error: unknown) => {
          const {message} = error as Error;
          context.telemetry.emit('Log', {
            level: 'error',
            message: `the generator of ${domain} stopped: ${message}`,
          });
        });
        sources.set(domain, {source, done});
        return source.status();
      }
      const known = sources.get(domain);
      if (order.kind === 'stop') await stop(domain);
      else if (known) {
        known.source.change(order.change);
        await Promise.race([known.source.kept(), known.done]);
      } else
        throw new PlatformError('NAME_UNKNOWN', `no generator of ${domain} runs`, {
          hint: `npx millrace generate ${domain}`,
        });
      return known?.source.status() ?? null;
    },
    status: () => [...sources.values()].map(({source}) => source.status()),
    async settled() {
      await Promise.all([...sources.values()].map(({done}) => done));
    },
  };
}
