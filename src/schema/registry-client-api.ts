/**
 * Requests to a schema registry that is a server of its own, by Confluent's REST API:
 * https://docs.confluent.io/platform/current/schema-registry/develop/api.html
 */
import {PlatformError} from '../errors.ts';
import {type HttpAnswer, type HttpCall, type HttpClient, HttpFailure} from '../http-client.ts';
import type {SchemaReference} from './registry-store.ts';

/** A schema as a registry keeps it; `type` AVRO, JSON, PROTOBUF. */
export type ServerSchema = {text: string; type: string; references: SchemaReference[]};
export type ServerVersion = ServerSchema & {id: number; version: number};

/** How a registry is entered. */
export type RegistryLogin = {username?: string; password?: string; token?: string};

type Body = {[key: string]: unknown};

/** Codes that say that a subject, a version, a schema or a setting is not there, rather than the path. */
const notThere = new Set([40401, 40402, 40403, 40408]);
/** Ids and versions are 32-bit; an id is what four bytes of a record say. */
const numberMax = 2 ** 31 - 1;
/** A list beyond this is none of a registry. */
const itemsMax = 10_000;

export class RegistryApi {
  readonly #http: HttpClient;
  readonly #headers: Record<string, string>;
  readonly #address: string;

  /** @param place the addresses, as messages name them */
  constructor(http: HttpClient, {username, password, token}: RegistryLogin, place: string) {
    this.#http = http;
    this.#address = place;
    const basic = Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64');
    const authorization =
      token !== undefined ? `Bearer ${token}` : username !== undefined ? `Basic ${basic}` : undefined;
    this.#headers = {
      accept: 'application/vnd.schemaregistry.v1+json, application/json',
      'content-type': 'application/vnd.schemaregistry.v1+json',
      ...(authorization === undefined ? {} : {authorization}),
    };
  }

  async schema(id: number): Promise<ServerSchema | undefined> {
    const answer = await this.#find('GET', `/schemas/ids/${id}`);
    return answer && this.#schema(this.#body(answer));
  }

  /** Where the schema of an id is registered. Empty where the registry does not tell. */
  async places(id: number): Promise<{subject: string; version: number}[]> {
    const answer = await this.#find('GET', `/schemas/ids/${id}/versions`);
    if (!answer) return [];
    return this.#list(answer, isObject).map(({subject, version}) => {
      if (typeof subject !== 'string') throw this.#odd('a subject');
      return {subject, version: this.#number(version, 'a version')};
    });
  }

  async subjects(): Promise<string[]> {
    return this.#list(this.#ok(await this.#call('GET', '/subjects')), isText);
  }

  /** Numbers of a subject's versions, oldest first; empty for a subject that is not there. */
  async versions(subject: string): Promise<number[]> {
    const answer = await this.#find('GET', `/subjects/${encodeURIComponent(subject)}/versions`);
    const numbers = answer ? this.#list(answer, isVersion) : [];
    return numbers.toSorted((a, b) => a - b);
  }

  async version(subject: string, version: number): Promise<ServerVersion | undefined> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions/${version}`;
    const answer = await this.#find('GET', path);
    if (!answer) return undefined;
    const body = this.#body(answer);
    return {...this.#schema(body), ...this.#place(body)};
  }

  /** The version of a subject that has this schema. */
  async lookUp(
    subject: string,
    text: string,
    patienceMs: number,
  ): Promise<{id: number; version: number} | undefined> {
    const path = `/subjects/${encodeURIComponent(subject)}`;
    const answer = await this.#find('POST', path, {schema: text}, patienceMs);
    return answer && this.#place(this.#body(answer));
  }

  /** @returns its id, or what the registry objects to: its rule for the subject does not let it follow. */
  async register(subject: string, text: string): Promise<{id: number} | {objection: string}> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions`;
    const answer = await this.#call('POST', path, {schema: text});
    if (answer.status === 409) return {objection: saidOf(answer) || 'it does not say why'};
    return {id: this.#number(this.#body(this.#ok(answer)).id, 'an id')};
  }

  /** The compatibility that is set for a subject itself. */
  async level(subject: string): Promise<string | undefined> {
    const answer = await this.#find('GET', `/config/${encodeURIComponent(subject)}`);
    if (!answer) return undefined;
    const {compatibilityLevel, compatibility} = this.#body(answer);
    return String(compatibilityLevel ?? compatibility);
  }

  async setLevel(subject: string, level: string): Promise<void> {
    const path = `/config/${encodeURIComponent(subject)}`;
    const answer = await this.#call('PUT', path, {compatibility: level});
    // Another process set it at the same moment, and for some registries that is a conflict.
    if (answer.status === 409 && (await this.level(subject)) === level) return;
    this.#ok(answer);
  }

  close(): void {
    this.#http.close();
  }

  /** Undefined: what the path names is not there. */
  async #find(
    method: HttpCall['method'],
    path: string,
    body?: unknown,
    patienceMs = 0,
  ): Promise<HttpAnswer | undefined> {
    const answer = await this.#call(method, path, body, patienceMs);
    if (answer.status === 404 && notThere.has(codeOf(answer))) return undefined;
    return this.#ok(answer);
  }

  async #call(method: HttpCall['method'], path: string, body?: unknown, patienceMs = 0): Promise<HttpAnswer> {
    try {
      const headers = this.#headers;
      return await this.#http.call({
        method,
        path,
        headers,
        patienceMs,
        ...(body === undefined ? {} : {body}),
      });
    } catch (error) {
      if (!(error instanceof HttpFailure)) throw error;
      const code = error.retry ? 'REGISTRY_UNAVAILABLE' : 'REGISTRY_REFUSED';
      throw new PlatformError(code, `the schema registry does not answer: ${error.message}`, {
        place: this.#address,
        hint: 'see whether it runs, and whether registry.confluent.url is its address: npx millrace doctor',
        cause: error,
      });
    }
  }

  /** An answer that says yes, with JSON. @throws REGISTRY_UNAVAILABLE, REGISTRY_REFUSED */
  #ok(answer: HttpAnswer): HttpAnswer {
    const {status, json} = answer;
    if (status >= 200 && status < 300 && typeof json === 'object' && json !== null) return answer;
    const said = saidOf(answer);
    const fail = (code: 'REGISTRY_UNAVAILABLE' | 'REGISTRY_REFUSED', message: string, hint: string) =>
      new PlatformError(code, message, {place: this.#address, hint});
    if (status === 429 || status >= 500)
      throw fail(
        'REGISTRY_UNAVAILABLE',
        `the schema registry cannot answer just now: ${status} ${said}`.trim(),
        'see its own log',
      );
    if (status === 401 || status === 403)
      throw fail(
        'REGISTRY_REFUSED',
        `the schema registry does not let us in: ${status} ${said}`.trim(),
        'see registry.confluent: username and password, or token, and what they may do: read and write subjects',
      );
    if (said === '' || (status === 404 && !(codeOf(answer) > 40_000)))
      throw fail(
        'REGISTRY_REFUSED',
        `what answers there is no schema registry: ${status} without a registry's answer`,
        'registry.confluent.url needs the path, too, where the registry has one, such as /apis/ccompat/v7 of Apicurio',
      );
    throw fail(
      'REGISTRY_REFUSED',
      `the schema registry refuses: ${status} ${said}`,
      'see its settings and its log',
    );
  }

  #body({json}: HttpAnswer): Body {
    if (!isObject(json)) throw this.#odd('an object');
    return json;
  }

  #list<T>({json}: HttpAnswer, isItem: (value: unknown) => value is T): T[] {
    if (!Array.isArray(json) || json.length > itemsMax || !json.every(isItem)) throw this.#odd('a list');
    return json;
  }

  #number(value: unknown, what: string): number {
    if (!isVersion(value)) throw this.#odd(what);
    return value;
  }

  #place({id, version}: Body): {id: number; version: number} {
    return {id: this.#number(id, 'an id'), version: this.#number(version, 'a version')};
  }

  #schema({schema, schemaType = 'AVRO', references = []}: Body): ServerSchema {
    if (typeof schema !== 'string') throw this.#odd('a schema');
    // Some registries say null for none.
    if (references !== null && !(Array.isArray(references) && references.every(isReference)))
      throw this.#odd('references');
    return {text: schema, type: String(schemaType), references: references ?? []};
  }

  /** Nothing of such an answer is used: what would be registered or decoded with it is wrong for good. */
  #odd(what: string): PlatformError {
    return new PlatformError(
      'REGISTRY_REFUSED',
      `what answers there is no schema registry: ${what} is expected and something else comes`,
      {place: this.#address, hint: 'see what registry.confluent.url names, and what stands before it'},
    );
  }
}

const isObject = (value: unknown): value is Body =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isVersion = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= numberMax;
const isReference = (value: unknown): value is SchemaReference =>
  isObject(value) && isText(value.name) && isText(value.subject) && isVersion(value.version);

const codeOf = ({json}: HttpAnswer): number =>
  Number((json as {error_code?: unknown} | undefined)?.error_code);

const saidOf = ({json}: HttpAnswer): string => {
  const {message} = (json ?? {}) as {message?: unknown};
  return typeof message === 'string' ? message.replace(/\s+/g, ' ').trim().slice(0, 2_000) : '';
};
