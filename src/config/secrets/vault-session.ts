/** Access to Vault: a token that is found or given by a login, renewed while a platform runs. */

import {homedir} from 'node:os';
import {join} from 'node:path';
import {hideSecret} from '../../errors.ts';
import {type HttpAnswer, type HttpClient, HttpFailure} from '../../http-client.ts';
import {readPlain} from '../../plain-file.ts';
import type {SecretContext} from './types.ts';

/** `secrets.vault`, as the specification reads it. */
export type VaultOptions = {
  url: string;
  mount: string;
  path: string;
  kv: number;
  namespace?: string;
  auth: 'token' | 'approle';
  token: {file?: string};
  approle: {mount: string; role_id?: string; role_id_file?: string; secret_id_file?: string};
  tls?: {ca?: string; cert?: string; key?: string};
  timeout: number;
  patience: number;
};

/** How long a token lives from when it was given, ms; 0: for ever. */
type Token = {text: string; ttlMs: number; isRenewable: boolean};

/** A token is renewed when so much of its time is over. */
const renewShare = 2 / 3;
const retryMsMin = 500;
const retryMsMax = 60_000;

export class VaultSession {
  readonly #options: VaultOptions;
  readonly #context: SecretContext;
  readonly #http: HttpClient;
  #token: Token | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** What was told last, so that a failure that stays is told once. */
  #told: string | undefined;

  constructor(options: VaultOptions, context: SecretContext, http: HttpClient) {
    this.#options = options;
    this.#context = context;
    this.#http = http;
  }

  /** Finds or gets a token, and keeps it alive from then on where the backend stays open. @throws Error */
  async open(patienceMs = this.#options.patience): Promise<void> {
    this.#token =
      this.#options.auth === 'approle' ? await this.#login(patienceMs) : await this.#found(patienceMs);
    if (this.#context.keep && this.#token.ttlMs > 0) this.#renewIn(this.#token.ttlMs * renewShare);
  }

  /** Asks Vault something; a token that it takes no more is replaced once, where that is possible. @throws Error */
  async get(path: string): Promise<HttpAnswer> {
    const patienceMs = this.#options.patience;
    const answer = await this.#call('GET', path, {patienceMs});
    if (answer.status !== 403 || (await this.#isValid())) return answer;
    await this.open(0);
    return this.#call('GET', path, {patienceMs});
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#http.close();
  }

  async #call(
    method: 'GET' | 'POST',
    path: string,
    {
      body,
      token = this.#token?.text,
      patienceMs = 0,
    }: {body?: unknown; token?: string | undefined; patienceMs?: number},
  ): Promise<HttpAnswer> {
    const {namespace} = this.#options;
    try {
      return await this.#http.call({
        method,
        path: `/v1/${path}`,
        patienceMs,
        headers: {
          'x-vault-request': 'true',
          ...(token === undefined ? {} : {'x-vault-token': token}),
          ...(namespace === undefined ? {} : {'x-vault-namespace': namespace}),
        },
        ...(body === undefined ? {} : {body}),
      });
    } catch (error) {
      if (error instanceof HttpFailure) throw new Error(`Vault: ${error.message}`, {cause: error});
      throw error;
    }
  }

  async #isValid(): Promise<boolean> {
    return (await this.#call('GET', 'auth/token/lookup-self', {})).status !== 403;
  }

  /** The token that is given to us, and what Vault knows of it. */
  async #found(patienceMs: number): Promise<Token> {
    const {text, from} = await this.#findToken();
    hideSecret(text);
    const answer = await this.#call('GET', 'auth/token/lookup-self', {token: text, patienceMs});
    if (answer.status === 403)
      throw new Error(`Vault does not know the token of ${from}, or it has expired: put a new one there`);
    if (answer.status !== 200) throw new Error(refusalOf(answer, 'to look at its token'));
    const {data} = objectOf(answer.json);
    if (!isObject(data)) throw noVault(this.#options.url);
    return {text, ttlMs: lastsMs(data.ttl), isRenewable: data.renewable === true};
  }

  async #findToken(): Promise<{text: string; from: string}> {
    const {file} = this.#options.token;
    const {VAULT_TOKEN: variable, HOME: home = homedir()} = this.#context.env;
    if (file !== undefined) return {text: await readText(file, 'token.file'), from: file};
    if (variable) return {text: variable, from: 'VAULT_TOKEN'};
    const path = join(home, '.vault-token');
    try {
      return {text: readPlain(path).trim(), from: path};
    } catch (error) {
      throw new Error(
        `there is no token for Vault: set VAULT_TOKEN, or name a file in secrets.vault.token.file`,
        {
          cause: error,
        },
      );
    }
  }

  async #login(patienceMs: number): Promise<Token> {
    const {mount, role_id, role_id_file, secret_id_file} = this.#options.approle;
    const {VAULT_ROLE_ID, VAULT_SECRET_ID} = this.#context.env;
    const roleId = role_id_file
      ? await readText(role_id_file, 'approle.role_id_file')
      : (role_id ?? VAULT_ROLE_ID);
    if (!roleId)
      throw new Error(
        'there is no role for Vault: set secrets.vault.approle.role_id, role_id_file or VAULT_ROLE_ID',
      );
    const secretId = secret_id_file
      ? await readText(secret_id_file, 'approle.secret_id_file')
      : VAULT_SECRET_ID;
    if (secretId) hideSecret(secretId);
    const answer = await this.#call('POST', `auth/${mount}/login`, {
      body: {role_id: roleId, ...(secretId ? {secret_id: secretId} : {})},
      patienceMs,
      token: undefined,
    });
    if (answer.status !== 200) throw new Error(refusalOf(answer, `the login at auth/${mount}`));
    const token = tokenOf(answer);
    if (!token) throw noVault(this.#options.url);
    return token;
  }

  #renewIn(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    // Timers of Node end at 24.8 days; a token of that age can be renewed sooner. A lease of next to nothing is no reason to ask all the time.
    const inMs = Math.max(retryMsMin, Math.min(ms, 2 ** 31 - 1));
    this.#timer = setTimeout(() => void this.#renew(), inMs).unref();
  }

  async #renew(): Promise<void> {
    const before = this.#token!;
    try {
      this.#token = await this.#renewed(before);
      this.#told = undefined;
      // Vault says 0 of what does not end.
      if (this.#token.ttlMs > 0) this.#renewIn(this.#token.ttlMs * renewShare);
    } catch (error) {
      const {message} = error as Error;
      const kind = message.replace(/\d+/g, '');
      if (kind !== this.#told)
        this.#context.keep!.tell(
          `the access to Vault cannot be renewed, secrets can be read no more once it ends: ${message}`,
        );
      this.#told = kind;
      this.#renewIn(Math.max(retryMsMin, Math.min(retryMsMax, before.ttlMs / 10)));
    }
  }

  /** A token for another while: the same one, or a new one where its time cannot be made longer. */
  async #renewed(before: Token): Promise<Token> {
    if (before.isRenewable) {
      const answer = await this.#call('POST', 'auth/token/renew-self', {body: {}});
      if (answer.status === 200) {
        const renewed = tokenOf(answer);
        if (!renewed) throw noVault(this.#options.url);
        // At the end of what a token may live in all its time is no longer made longer.
        if (renewed.ttlMs === 0 || renewed.ttlMs > before.ttlMs / 3) return {...renewed, text: before.text};
      }
    }
    if (this.#options.auth === 'approle') return this.#login(0);
    const found = await this.#found(0);
    if (found.text === before.text && found.ttlMs <= before.ttlMs / 3)
      throw new Error(
        `the token ends in ${Math.round(found.ttlMs / 1000)} s for good: put a new one in its place`,
      );
    return found;
  }
}

/** The token of a login's or a renewal's answer; undefined where there is none. */
function tokenOf({json}: HttpAnswer): Token | undefined {
  const {client_token: text, lease_duration, renewable} = objectOf(objectOf(json).auth);
  if (typeof text !== 'string' || text === '') return undefined;
  hideSecret(text);
  return {text, ttlMs: lastsMs(lease_duration), isRenewable: renewable === true};
}

/** Seconds as Vault tells them -> ms; 0 for what is no time. */
const lastsMs = (seconds: unknown): number =>
  typeof seconds === 'number' && seconds > 0 ? Math.min(seconds * 1000, Number.MAX_SAFE_INTEGER) : 0;

type Json = {[key: string]: unknown};
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const objectOf = (value: unknown): Json => (isObject(value) ? value : {});

const noVault = (url: string): Error =>
  new Error(`what answers at ${url} is no Vault: see secrets.vault.url, and what stands before it`);

/** What an answer holds; empty where that is no object. */
export const dataOf = ({json}: HttpAnswer): Json => objectOf(objectOf(json).data);

/** Texts of a list in an answer. */
export function textsOf({json}: HttpAnswer, key: 'errors' | 'warnings'): string[] {
  const list = objectOf(json)[key];
  return Array.isArray(list) ? list.filter((each): each is string => typeof each === 'string') : [];
}

/** What Vault says against a request, as one line. */
export function refusalOf(answer: HttpAnswer, what: string): string {
  const {status} = answer;
  const said = textsOf(answer, 'errors').join('; ').replace(/\s+/g, ' ').trim().slice(0, 1_000);
  if (/is sealed/i.test(said)) return 'Vault is sealed: unseal it, then start again';
  if (/not (yet )?initialized/i.test(said)) return 'Vault is not initialized';
  return `Vault refuses ${what}: ${status}${said ? ` ${said}` : ''}`;
}

async function readText(path: string, option: string): Promise<string> {
  try {
    const text = readPlain(path).trim();
    if (text !== '') return text;
  } catch (error) {
    const {code, message} = error as NodeJS.ErrnoException;
    throw new Error(`secrets.vault.${option}: ${path} cannot be read: ${code ?? message}`, {
      cause: error,
    });
  }
  throw new Error(`secrets.vault.${option}: ${path} is empty`);
}
