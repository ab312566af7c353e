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
/** Absent: what the path names is not there. */
type Found = Body | undefined;

/** Codes that say that a subject, a version, a schema or a setting is not there, rather than the path. */
const notThere = new Set([40401, 40402, 40403, 40408]);

export class RegistryApi {
  readonly #http: HttpClient;
  readonly #headers: Record<string, string>;
  readonly #place: string;

  /** @param place the addresses, as messages name them */
  constructor(http: HttpClient, {username, password, token}: RegistryLogin, place: string) {
    this.#http = http;
    this.#place = place;
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
    const body = await this.#find('GET', `/schemas/ids/${id}`);
    return body && serverSchema(body);
  }

  /** Where the schema of an id is registered. Empty where the registry does not tell. */
  async places(id: number): Promise<{subject: string; version: number}[]> {
    const found = (await this.#find('GET', `/schemas/ids/${id}/versions`)) as unknown;
    return Array.isArray(found) ? (found as {subject: string; version: number}[]) : [];
  }

  async subjects(): Promise<string[]> {
    const found = this.#ok(await this.#call('GET', '/subjects')) as unknown;
    return Array.isArray(found) ? (found as string[]) : [];
  }

  /** Numbers of a subject's versions, oldest first; empty for a subject that is not there. */
  async versions(subject: string): Promise<number[]> {
    const found = (await this.#find('GET', `/subjects/${encodeURIComponent(subject)}/versions`)) as unknown;
    return Array.isArray(found) ? (found as number[]).toSorted((a, b) => a - b) : [];
  }

  async version(subject: string, version: number): Promise<ServerVersion | undefined> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions/${version}`;
    const body = await this.#find('GET', path);
    return body && {...serverSchema(body), id: Number(body.id), version: Number(body.version)};
  }

  /** The version of a subject that has this schema. */
  async lookUp(
    subject: string,
    text: string,
    patienceMs: number,
  ): Promise<{id: number; version: number} | undefined> {
    const path = `/subjects/${encodeURIComponent(subject)}`;
    const body = await this.#find('POST', path, {schema: text}, patienceMs);
    return body && {id: Number(body.id), version: Number(body.version)};
  }

  /** @returns its id, or what the registry objects to: its rule for the subject does not let it follow. */
  async register(subject: string, text: string): Promise<{id: number} | {objection: string}> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions`;
    const answer = await this.#call('POST', path, {schema: text});
    if (answer.status === 409) return {objection: saidOf(answer) || 'it does not say why'};
    return {id: Number(this.#ok(answer).id)};
  }

  /** The compatibility that is set for a subject itself. */
  async level(subject: string): Promise<string | undefined> {
    const body = await this.#find('GET', `/config/${encodeURIComponent(subject)}`);
    return body && String(body.compatibilityLevel ?? body.compatibility);
  }

  async setLevel(subject: string, level: string): Promise<void> {
    this.#ok(await this.#call('PUT', `/config/${encodeURIComponent(subject)}`, {compatibility: level}));
  }

  close(): void {
    this.#http.close();
  }

  async #find(method: HttpCall['method'], path: string, body?: unknown, patienceMs = 0): Promise<Found> {
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
        place: this.#place,
        hint: 'see whether it runs, and whether registry.confluent.url is its address: npx millrace doctor',
        cause: error,
      });
    }
  }

  #ok(answer: HttpAnswer): Body {
    const {status, json} = answer;
    if (status >= 200 && status < 300 && typeof json === 'object' && json !== null) return json as Body;
    const said = saidOf(answer);
    const fail = (code: 'REGISTRY_UNAVAILABLE' | 'REGISTRY_REFUSED', message: string, hint: string) =>
      new PlatformError(code, message, {place: this.#place, hint});
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
}

function serverSchema(body: Body): ServerSchema {
  const {schema, schemaType = 'AVRO', references} = body;
  return {
    text: String(schema),
    type: String(schemaType),
    references: Array.isArray(references) ? (references as SchemaReference[]) : [],
  };
}

const codeOf = ({json}: HttpAnswer): number =>
  Number((json as {error_code?: unknown} | undefined)?.error_code);

const saidOf = ({json}: HttpAnswer): string => {
  const {message} = (json ?? {}) as {message?: unknown};
  return typeof message === 'string' ? message.replace(/\s+/g, ' ').trim().slice(0, 2_000) : '';
};
