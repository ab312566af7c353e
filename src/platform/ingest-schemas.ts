/** Schemas that frames of senders name, as the ingest thread knows them. */
import type {SchemaRegistry} from '../schema/registry.ts';
import {openRegistry, type RegistrySource} from '../schema/registry-open.ts';
import type {RegisteredSchema} from '../schema/types.ts';

/** Schemas by id. `load` asks the registry for those that are new, so that `get` can answer at once; ids it lacks stay unknown. */
export type SenderSchemas = {
  get(id: number): RegisteredSchema | undefined;
  /** @returns undefined when all are known. @throws REGISTRY_UNAVAILABLE, REGISTRY_REFUSED, REGISTRY_CORRUPT */
  load(ids: readonly number[]): Promise<void> | undefined;
  close(): void;
};

export function createSenderSchemas(source: RegistrySource): SenderSchemas {
  const known = new Map<number, RegisteredSchema>();
  let registry: SchemaRegistry | undefined;
  return {
    get: (id) => known.get(id),
    load(ids) {
      const missing = ids.filter((id) => !known.has(id));
      if (missing.length === 0) return undefined;
      return (async () => {
        registry ??= await openRegistry(source, {readOnly: true});
        for (const id of missing) {
          const schema = await registry.byId(id);
          if (schema !== undefined) known.set(id, schema);
        }
      })();
    },
    close: () => registry?.close(),
  };
}
