/** How a generator goes on from what the log says of it. */
import {Generator, type GeneratorOptions, generatorFingerprint, type Saved} from '../generate/generator.ts';
import type {GeneratorCheckpoint, GeneratorPosition} from './generate-types.ts';

/** Where a generator begins: what the log says of it, or the beginning. */
export function resume(
  options: Omit<GeneratorOptions, 'run'>,
  {
    position,
    checkpoint,
    originMs,
  }: {position: GeneratorPosition | undefined; checkpoint: GeneratorCheckpoint | undefined; originMs: number},
): {generator: Generator; position: GeneratorPosition} {
  const {domain, generate, lookups} = options;
  const fingerprint = generatorFingerprint(domain, generate, lookups);
  const configured = {perSecond: generate.rate.perSecond, faults: generate.faults};
  const same = position?.fingerprint === fingerprint ? position : undefined;
  if (!same) {
    const first: Saved = {n: 0, originMs, elapsedMs: 0, ...configured, sessions: null};
    const run = position === undefined ? 0 : position.run + 1;
    const earlier = position === undefined ? 0 : position.earlier + position.n;
    const fresh: GeneratorPosition = {
      version: 1,
      run,
      fingerprint,
      seed: generate.seed,
      first,
      changes: [],
      n: 0,
      configured,
      earlier,
      ...(position?.paused ? {paused: true} : {}),
    };
    return {generator: new Generator({...options, run}, first), position: fresh};
  }
  const from = checkpoint?.run === same.run && checkpoint.saved.n <= same.n ? checkpoint.saved : same.first;
  const generator = new Generator({...options, run: same.run}, from);
  generator.changes = same.changes;
  generator.skipTo(same.n);
  generator.settle();
  return {generator, position: structuredClone(same)};
}
