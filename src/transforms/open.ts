/** The transforms of a platform, each started when its first record comes. */
import {existsSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import type {Domain, EventType} from '../model/types.ts';
import {readPlain} from '../plain-file.ts';
import type {Telemetry} from '../telemetry.ts';
import {declareTypes} from './declare.ts';
import {createTransform} from './runner.ts';
import type {TransformRunner} from './types.ts';

export type Transforms = {
  /** The runner of an event type, always the same one; undefined where it has no transform. */
  of(eventType: EventType): TransformRunner | undefined;
  /** Ends the threads; what runs is refused with TRANSFORM_STOPPED. */
  close(): Promise<void>;
};

/** @param options.develop take up changed modules while running, and write the types of events beside them. */
export function openTransforms(
  domains: readonly Domain[],
  {telemetry, develop}: {telemetry: Telemetry; develop: boolean},
): Transforms {
  const runners = new Map<string, TransformRunner>();
  if (develop) for (const domain of domains) writeTypes(domain, telemetry);
  return {
    of(eventType) {
      if (eventType.transform === undefined) return undefined;
      let runner = runners.get(eventType.topic);
      if (runner === undefined) {
        runner = createTransform({eventType, telemetry, reload: develop});
        runners.set(eventType.topic, runner);
      }
      return runner;
    },
    async close() {
      await Promise.all([...runners.values()].map((runner) => runner.close()));
    },
  };
}

/** `<domain>.d.ts` for every directory that holds a transform of the domain. */
export function typeFiles(domain: Domain): {path: string; text: string}[] {
  const dirs = new Set(
    domain.eventTypes.flatMap(({transform}) => (transform ? [dirname(transform.path)] : [])),
  );
  if (dirs.size === 0) return [];
  const text = declareTypes(domain);
  return [...dirs].map((dir) => ({path: join(dir, `${domain.name}.d.ts`), text}));
}

function writeTypes(domain: Domain, telemetry: Telemetry): void {
  for (const {path, text} of typeFiles(domain))
    try {
      // A pipe in its place would be waited for, by the writing as well.
      if (!existsSync(path) || readPlain(path) !== text) writeFileSync(path, text);
    } catch (error) {
      const message = `${basename(path)} was not written: ${(error as Error).message}`;
      telemetry.emit('Log', {level: 'warn', message});
    }
}
