/** Reading what is protected: each thread has its own reader, with the key that the main thread gave to all of them. */
import {getEnvironmentData, setEnvironmentData} from 'node:worker_threads';
import {type Protected, type TokenReader, useTokenReader} from '../schema/protected.ts';
import {KeyReader} from './keys.ts';
import {isToken, openRecord, openToken, recordKeyName, tokenParts} from './tokens.ts';
import {type MasterKeys, masterKeys, standIn} from './values.ts';

/** Where keys are, and the platform's key as text: for other threads and processes. Never print it. */
export type PrivacySetting = {dir: string; key: string};

const dataKey = 'millrace.privacy';
/** Texts that a thread remembers; then it begins anew. */
const knownMax = 50_000;
/** A value that was forgotten reads NULL everywhere after this much time, ms. */
export const refreshMs = 100;

class Reader implements TokenReader {
  epoch = 0;
  readonly #keys: MasterKeys;
  readonly #store: KeyReader;
  readonly #known = new Map<string, string | null>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor({dir, key}: PrivacySetting) {
    this.#keys = masterKeys(key);
    this.#store = new KeyReader(dir, this.#keys);
  }

  read(text: string, of: Protected): string | null {
    this.refresh();
    const id = `${of.attribute}\0${of.kind}\0${text}`;
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const value = this.#read(text, of);
    if (this.#known.size >= knownMax) this.#known.clear();
    if (text.length < 4096) this.#known.set(id, value);
    return value;
  }

  #read(text: string, {attribute, kind}: Protected): string | null {
    if (!isToken(text)) return standIn(this.#keys, kind, attribute, text);
    const parts = tokenParts(text);
    const key = parts && this.#store.keyOf(parts.name);
    if (!parts || !key || kind === 'drop') return null;
    const value = openToken(this.#keys, key, parts.sealed, kind);
    if (value !== undefined) return value;
    // What was written as a hash or as a mask stays that when the configuration says the other one now.
    const other = kind === 'hash' ? 'mask' : 'hash';
    return openToken(this.#keys, key, parts.sealed, other) ?? null;
  }

  refresh(): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedMs < refreshMs) return;
    this.#lookedMs = nowMs;
    const epoch = this.#store.epoch();
    if (epoch === this.epoch) return;
    this.epoch = epoch;
    this.#known.clear();
  }

  /** The plain record of a dead letter; null when it was forgotten. */
  record(original: Uint8Array): Uint8Array | null {
    const name = recordKeyName(original);
    if (!name) return original;
    const key = this.#store.keyOf(name);
    return (key && openRecord(this.#keys, key, original)) ?? null;
  }

  close(): void {
    this.#store.close();
  }
}

let reader: Reader | undefined;

/** Gives this thread, and those that are started from now on, the key; undefined: there is none. */
export function setPrivacy(setting: PrivacySetting | undefined): void {
  setEnvironmentData(dataKey, setting as never);
  openPrivacy(setting);
}

/** Lets this thread read what is protected. @param setting default: what the main thread was given when this one was started */
export function openPrivacy(
  setting: PrivacySetting | undefined = getEnvironmentData(dataKey) as never,
): void {
  reader?.close();
  reader = setting && new Reader(setting);
  useTokenReader(reader);
}

/** What this thread was given, for a process of its own. */
export const privacySetting = (): PrivacySetting | undefined => getEnvironmentData(dataKey) as never;

/** The record of a dead letter as it came; null when it was forgotten or there is no key for it. Only for what replays it. */
export const openOriginal = (original: Uint8Array): Uint8Array | null =>
  reader ? reader.record(original) : recordKeyName(original) ? null : original;
