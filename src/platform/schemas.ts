/** Schemas that the engine meets while it runs, from the registry; and what is to be done again once a registry is back. */
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {Platform} from '../model/types.ts';
import type {SchemaRegistry} from '../schema/registry.ts';
import {openRegistry, registryPlace} from '../schema/registry-open.ts';
import type {AvroSchema} from '../schema/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {registerSchemas} from './ingest-start.ts';
import type {PlatformDirs} from './places.ts';
import type {RegistryStatus} from './status.ts';

export type Schemas = {
  /** As `EngineOptions.schemaOf` wants it. */
  schemaOf(id: number, waits: (why: string) => void): Promise<AvroSchema | null>;
  status(): RegistryStatus;
  close(): void;
};

const pauseMs = 500;
const pauseMsMax = 10_000;
const confirmMs = 2_000;
/** A registry of several servers may know an id on one and not yet on the other. */
const laterMs = 250;
/** Ids that nobody registered come in crowds, a late one comes alone. */
const laterEveryMs = 10_000;

/** @param pending subjects whose registration is only remembered: they are registered again as soon as the registry answers */
export function createSchemas(
  platform: Platform,
  dirs: PlatformDirs,
  pending: string[],
  {telemetry, clock}: {telemetry: Telemetry; clock: Clock},
): Schemas {
  const {server} = dirs.registry;
  const place = registryPlace(dirs.registry);
  const {unknown_schema: policy = 'wait', unknown_schema_after: afterMs = 0} = platform.registry.options as {
    unknown_schema?: 'wait' | 'dead_letter';
    unknown_schema_after?: number;
  };
  const abort = new AbortController();
  const asking = new Map<number, {answer: Promise<AvroSchema | null>; waits: Set<(why: string) => void>}>();
  let registry: SchemaRegistry | undefined;
  let laterMsLast = -Infinity;
  /** Why it is not there, since when; undefined: it is. */
  let down: {sinceMs: number; message: string} | undefined;
  /** What a person has to mend. */
  let problem: string | undefined;
  const log = (level: 'info' | 'warn' | 'error', message: string) => telemetry.emit('Log', {level, message});

  const isDown = (message: string) => {
    if (down) return;
    down = {sinceMs: clock.now(), message};
    telemetry.emit('RegistryLost', {message});
    log('warn', `schema registry ${place}: ${message}; known schemas are used, others wait`);
  };
  const isThere = () => {
    if (!down) return;
    const seconds = (clock.now() - down.sinceMs) / 1000;
    down = undefined;
    log('info', `schema registry ${place} answers again after ${Math.round(seconds)} s`);
  };

  const ask = async (id: number): Promise<AvroSchema | null> => {
    registry ??= await openRegistry(dirs.registry, {readOnly: true, clock});
    let found = await registry.byId(id);
    if (!found && server && clock.now() - laterMsLast >= laterEveryMs) {
      laterMsLast = clock.now();
      await clock.sleep(laterMs, abort.signal);
      found = await registry.byId(id);
    }
    return found?.schema ?? null;
  };
  /** Until there is an answer, or waiting is over. */
  const insist = async (id: number, waits: Set<(why: string) => void>): Promise<AvroSchema | null> => {
    const startMs = clock.now();
    for (let pause = pauseMs; ; pause = Math.min(pauseMsMax, pause * 2)) {
      try {
        const schema = await ask(id);
        isThere();
        telemetry.emit('SchemaAsked', {outcome: schema === null ? 'unknown' : 'found'});
        return schema;
      } catch (error) {
        abort.signal.throwIfAborted();
        if (!(error instanceof PlatformError)) throw error;
        telemetry.emit('SchemaAsked', {outcome: 'failed'});
        // It is there and cannot be used: asking again does not help.
        if (error.code === 'SCHEMA_UNSUPPORTED') {
          log('warn', `records that name schema ${id} become dead letters: ${error.message}`);
          return null;
        }
        isDown(error.message);
        for (const tell of waits) tell(error.message);
      }
      if (policy === 'dead_letter' && clock.now() - startMs >= afterMs) {
        log(
          'warn',
          `records that name schema ${id} become dead letters: the registry did not answer for ${Math.round(afterMs / 1000)} s`,
        );
        return null;
      }
      await clock.sleep(pause, abort.signal);
    }
  };

  const confirm = async () => {
    while (pending.length > 0) {
      await clock.sleep(confirmMs, abort.signal);
      try {
        ({pending} = await registerSchemas(platform, dirs));
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error;
        if (error.retry) continue;
        problem = `${error.code} ${error.message}`;
        log('error', `schema registry ${place}: ${problem}${error.hint ? `; ${error.hint}` : ''}`);
        return;
      }
    }
    isThere();
  };
  if (pending.length > 0) {
    isDown(
      `it does not answer, so that ${pending.length} subjects could not be registered and are taken from memory`,
    );
    confirm().catch((error: unknown) => {
      if (!abort.signal.aborted) log('error', `schema registry ${place}: ${(error as Error).message}`);
    });
  }

  return {
    schemaOf(id, waits) {
      let known = asking.get(id);
      if (!known) {
        const all = new Set<(why: string) => void>();
        const answer = insist(id, all)
          // A platform that ends answers nothing more.
          .catch((error: unknown) =>
            abort.signal.aborted ? new Promise<never>(() => {}) : Promise.reject(error),
          )
          .finally(() => asking.delete(id));
        known = {answer, waits: all};
        asking.set(id, known);
      }
      known.waits.add(waits);
      if (down) waits(down.message);
      return known.answer;
    },
    status: () => ({
      place,
      state: problem !== undefined ? 'refused' : down ? 'down' : 'running',
      ...(problem !== undefined ? {message: problem} : down ? {message: down.message} : {}),
      pending: pending.length,
      wanted: asking.size,
    }),
    close() {
      abort.abort(new Error('the platform ends'));
      registry?.close();
    },
  };
}
