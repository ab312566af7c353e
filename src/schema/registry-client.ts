/** A schema registry that is a server, with what is remembered of it: known ids are answered without it. */
import {type Clock, systemClock} from '../clock.ts';
import {readTls} from '../config/tls.ts';
import {PlatformError} from '../errors.ts';
import {createHttpClient} from '../http-client.ts';
import type {Compatibility} from '../model/types.ts';
import {checkCompatibility} from './compatibility.ts';
import {incompatible, type SchemaRegistry} from './registry.ts';
import {RegistryApi, type ServerSchema, type ServerVersion} from './registry-client-api.ts';
import {openRegistryCache, type RegistryCache} from './registry-client-cache.ts';
import {documentOf} from './registry-document.ts';
import {parseJson, sortedText} from './registry-json.ts';
import type {RegistryServer} from './registry-open.ts';
import {Refusal} from './registry-refusal.ts';
import type {SchemaReference} from './registry-store.ts';
import type {AvroSchema, RegisteredSchema} from './types.ts';

/** A schema and all that it references. */
const answerBytesMax = 16 << 20;
/** After a server did not answer what is remembered is taken at once for so long. */
const downMs = 2_000;
/** Schemas that one schema references, each with its own. */
const referencesMax = 1_000;

/** @param dir of what is remembered @throws PlatformError FILE_ACCESS when a TLS file cannot be read */
export async function openRegistryClient(
  server: RegistryServer,
  dir: string,
  {clock = systemClock}: {clock?: Clock} = {},
): Promise<SchemaRegistry> {
  const {urls, timeoutMs} = server;
  const tls = await readTls(server.tls).catch((cause: Error) => {
    throw new PlatformError('FILE_ACCESS', cause.message, {cause, hint: 'see registry.confluent.tls'});
  });
  const http = createHttpClient({urls, tls, timeoutMs, bytesMax: answerBytesMax, clock});
  const place = urls.join(', ');
  return new RegistryClient(new RegistryApi(http, server, place), openRegistryCache(dir), {
    patienceMs: server.patienceMs,
    place,
    clock,
  });
}

class RegistryClient implements SchemaRegistry {
  readonly #api: RegistryApi;
  readonly #cache: RegistryCache;
  readonly #options: {patienceMs: number; place: string; clock: Clock};
  readonly #known = new Map<number, RegisteredSchema>();
  readonly #asking = new Map<number, Promise<RegisteredSchema | undefined>>();
  /** Subjects whose registration is only remembered. */
  readonly #pending = new Set<string>();
  /** The registry is the one that is remembered. */
  #isVerified = false;
  #downUntilMs = -Infinity;
  #down: PlatformError | undefined;

  constructor(
    api: RegistryApi,
    cache: RegistryCache,
    options: {patienceMs: number; place: string; clock: Clock},
  ) {
    this.#api = api;
    this.#cache = cache;
    this.#options = options;
  }

  async register(
    subject: string,
    schema: AvroSchema,
    mode: Compatibility = 'backward',
    {enforce = false}: {enforce?: boolean} = {},
  ): Promise<RegisteredSchema> {
    const kept = this.#cache.own(subject).findLast((each) => isSame(each.schema, schema));
    if (kept && this.#options.clock.now() < this.#downUntilMs) return this.#remembered(kept);
    try {
      const found = await this.#registered(subject, schema, {mode, enforce, kept});
      this.#pending.delete(subject);
      return found;
    } catch (error) {
      if (!(error instanceof PlatformError) || error.code !== 'REGISTRY_UNAVAILABLE') throw error;
      if (kept) {
        this.#downUntilMs = this.#options.clock.now() + downMs;
        return this.#remembered(kept);
      }
      throw new PlatformError(
        'REGISTRY_UNAVAILABLE',
        `${error.message}; it is needed, since the schema of ${subject} was never registered from here`,
        {hint: error.hint ?? 'start it first', place: this.#options.place, cause: error},
      );
    }
  }

  async byId(id: number): Promise<RegisteredSchema | undefined> {
    const known = this.#known.get(id) ?? this.#cache.byId(id);
    if (known) {
      this.#known.set(id, known);
      return known;
    }
    // Whoever asks for many ids does not wait for each.
    if (this.#down && this.#options.clock.now() < this.#downUntilMs) throw this.#down;
    let asking = this.#asking.get(id);
    if (!asking) {
      asking = this.#fetch(id)
        .catch((error: unknown) => {
          if (error instanceof PlatformError && error.code === 'REGISTRY_UNAVAILABLE') {
            this.#downUntilMs = this.#options.clock.now() + downMs;
            this.#down = error;
          }
          throw error;
        })
        .finally(() => this.#asking.delete(id));
      this.#asking.set(id, asking);
    }
    return asking;
  }

  async latest(subject: string): Promise<RegisteredSchema | undefined> {
    const newest = (await this.#api.versions(subject)).at(-1);
    return newest === undefined ? undefined : this.#version(subject, newest);
  }

  async versions(subject: string): Promise<RegisteredSchema[]> {
    const all: RegisteredSchema[] = [];
    for (const number of await this.#api.versions(subject)) {
      const version = await this.#version(subject, number);
      if (version) all.push(version);
    }
    return all;
  }

  async subjects(): Promise<string[]> {
    return (await this.#api.subjects()).toSorted();
  }

  async own(): Promise<RegisteredSchema[]> {
    return this.#cache.all();
  }

  async check(subject: string, schema: AvroSchema, mode: Compatibility = 'backward') {
    return checkCompatibility(
      mode,
      schema,
      (await this.versions(subject)).map((version) => version.schema),
    );
  }

  pending(): string[] {
    return [...this.#pending];
  }

  close(): void {
    this.#api.close();
  }

  #remembered(kept: RegisteredSchema): RegisteredSchema {
    this.#pending.add(kept.subject);
    return kept;
  }

  async #registered(
    subject: string,
    schema: AvroSchema,
    {mode, enforce, kept}: {mode: Compatibility; enforce: boolean; kept: RegisteredSchema | undefined},
  ): Promise<RegisteredSchema> {
    const text = JSON.stringify(schema);
    const level = mode.toUpperCase();
    // Where something is remembered nothing has to be waited for.
    const found = await this.#api.lookUp(subject, text, kept ? 0 : this.#options.patienceMs);
    if (kept && found?.id !== kept.id) await this.#checkIdentity(kept);
    // Before anything is registered in a registry that is another one.
    const last = this.#cache.lastOwn();
    if (last && !this.#isVerified) await this.#checkIdentity(last);
    this.#isVerified = true;
    if (found) {
      if (enforce) await this.#enforce(subject, level);
      return this.#keepOwn({...found, subject, schema});
    }
    const earlier = await this.versions(subject);
    const reasons = checkCompatibility(
      mode,
      schema,
      earlier.map((version) => version.schema),
    );
    if (reasons.length > 0) throw incompatible(subject, mode, earlier, reasons);
    // A level belongs to a subject: some registries take it only for one that is there.
    if (enforce && earlier.length > 0) await this.#enforce(subject, level);
    const made = await this.#api.register(subject, text);
    if ('objection' in made) {
      // Another process registered it at the same moment: some registries refuse the second one rather than give its id.
      const theirs = await this.#api.lookUp(subject, text, 0);
      if (!theirs) throw refused(subject, mode, made.objection);
      if (enforce) await this.#enforce(subject, level);
      return this.#keepOwn({...theirs, subject, schema});
    }
    if (enforce && earlier.length === 0) await this.#enforce(subject, level);
    const version = (await this.#api.lookUp(subject, text, 0))?.version ?? (earlier.at(-1)?.version ?? 0) + 1;
    return this.#keepOwn({id: made.id, subject, version, schema});
  }

  async #enforce(subject: string, level: string): Promise<void> {
    if ((await this.#api.level(subject)) !== level) await this.#api.setLevel(subject, level);
  }

  #keepOwn(registered: RegisteredSchema): RegisteredSchema {
    const {id, schema} = registered;
    const before = this.#cache.byId(id);
    if (before && !isSame(before.schema, schema)) throw this.#other(id);
    this.#known.set(id, registered);
    this.#cache.keep(registered);
    this.#cache.keepOwn(registered);
    return registered;
  }

  /** @throws REGISTRY_OTHER when the registry means something else by an id that events of the log name */
  async #checkIdentity({id, schema}: RegisteredSchema): Promise<void> {
    const now = await this.#api.schema(id);
    if (!now || !isSame(await this.#whole(now, id), schema)) throw this.#other(id);
  }

  #other(id: number): PlatformError {
    const {place} = this.#options;
    return new PlatformError(
      'REGISTRY_OTHER',
      `the schema registry means something else by the id ${id} than the one that gave it: it is another registry, or it lost what it had`,
      {
        place,
        hint: 'name the registry that the events were written with, or restore it with its ids; nothing was registered',
      },
    );
  }

  async #fetch(id: number): Promise<RegisteredSchema | undefined> {
    const found = await this.#api.schema(id);
    if (found?.type !== 'AVRO') return undefined;
    const [place] = await this.#api.places(id);
    const {subject, version} = place ?? {subject: '', version: 0};
    return this.#keep({id, subject, version, schema: await this.#whole(found, id)});
  }

  async #version(subject: string, number: number): Promise<RegisteredSchema | undefined> {
    const found = await this.#api.version(subject, number);
    if (found?.type !== 'AVRO') return undefined;
    const {id, version} = found;
    const known = this.#known.get(id) ?? this.#cache.byId(id);
    return {id, subject, version, schema: known?.schema ?? (await this.#whole(found, id))};
  }

  #keep(schema: RegisteredSchema): RegisteredSchema {
    this.#known.set(schema.id, schema);
    this.#cache.keep(schema);
    return schema;
  }

  /** The schema with what it references in place. @throws PlatformError SCHEMA_UNSUPPORTED for one that is none, or too large */
  async #whole({text, references}: ServerSchema, id: number): Promise<AvroSchema> {
    const found = new Map<string, ServerVersion>();
    await this.#collect(references, found);
    const find = (subject: string, version: number) => found.get(`${subject}/${version}`);
    try {
      const {whole} = documentOf({text, references}, find, {checkDefaults: false, normal: false});
      return JSON.parse(references.length === 0 ? text : whole) as AvroSchema;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new PlatformError('SCHEMA_UNSUPPORTED', `schema ${id} of the registry: ${error.message}`, {
        place: this.#options.place,
        hint: 'have its producer register a schema of Avro within 1 MiB, and write with that',
        cause: error,
      });
    }
  }

  async #collect(references: SchemaReference[], found: Map<string, ServerVersion>): Promise<void> {
    for (const {subject, version} of references) {
      const key = `${subject}/${version}`;
      if (found.has(key) || found.size >= referencesMax) continue;
      const referenced = await this.#api.version(subject, version);
      if (!referenced) continue;
      found.set(key, referenced);
      await this.#collect(referenced.references, found);
    }
  }
}

/** Whether two schemas are one, whatever the order of their attributes. */
const isSame = (one: AvroSchema, other: AvroSchema): boolean =>
  sortedText(parseJson(JSON.stringify(one))) === sortedText(parseJson(JSON.stringify(other)));

const refused = (subject: string, mode: Compatibility, objection: string): PlatformError =>
  new PlatformError('SCHEMA_INCOMPATIBLE', `the registry refuses the schema of ${subject}: ${objection}`, {
    place: subject,
    hint: `its rule is stricter than ${mode}: change the schema, or set defaults.compatibility, which becomes the rule of the subject there (Apicurio has no NONE for a subject: there its global rule has to be that)`,
  });
