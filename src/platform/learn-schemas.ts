/** Schemas that single records name beside those of the start: what other programs wrote, or what was registered since. */
import {frameHeaderBytes, schemaIdOf} from '../schema/frame.ts';
import type {SchemaRegistry} from '../schema/registry.ts';
import {openRegistry} from '../schema/registry-open.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import type {PlatformDirs} from './places.ts';

export type SchemaLearner = {
  /** Adds the schema that a frame names to those that are known, if the registry has it. @throws REGISTRY_* when it cannot be asked */
  learn(frame: Uint8Array): Promise<void>;
  close(): void;
};

/** @param known what is added to */
export function createLearner({registry: source}: PlatformDirs, known: RegisteredSchema[]): SchemaLearner {
  const ids = new Set(known.map(({id}) => id));
  let registry: SchemaRegistry | undefined;
  return {
    async learn(frame) {
      if (frame.length < frameHeaderBytes || frame[0] !== 0) return;
      const id = schemaIdOf(frame, 0, frame.length);
      if (ids.has(id)) return;
      ids.add(id);
      registry ??= await openRegistry(source, {readOnly: true});
      const schema = await registry.byId(id);
      if (schema) known.push(schema);
    },
    close: () => registry?.close(),
  };
}
