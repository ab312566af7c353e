/** The writing side: batches of event types with personal data, on their way to the log. */

import {randomBytes} from 'node:crypto';
import type {EventType} from '../model/types.ts';
import {avroSchema} from '../schema/avro.ts';
import {compileDecoder} from '../schema/decode.ts';
import {compileEncoder} from '../schema/encode.ts';
import {collectNames} from '../schema/flat.ts';
import {frameHeaderBytes, schemaIdOf, walkRecords, writeRecordLength} from '../schema/frame.ts';
import {type Protected, protectionOf} from '../schema/protected.ts';
import {cursor, readIndex, readLength, readText} from '../schema/read.ts';
import {deadLetterSchema} from '../schema/side.ts';
import {type Skip, skipper} from '../schema/skip.ts';
import type {AvroValue} from '../schema/types.ts';
import {writeBytes} from '../schema/write.ts';
import {KeyWriter} from './keys.ts';
import {sealRecord, sealToken} from './tokens.ts';
import {keyName, keyNameBytes, type MasterKeys, masterKeys, standIn} from './values.ts';

type Bytes = {count: number; bytes: Uint8Array};

/** Text of the field, which is null or text; `of`: what it is protected as. */
type Step = {skip: Skip; of: Protected | undefined};

/** Values that are remembered, and the longest of them, in characters: all together stay below some 20 MB. */
const knownMax = 50_000;
const knownLength = 256;
/** Bytes of a token at most, with its length and branch: masks keep the domain of an address. */
const tokenBytesMax = 600;

export type Protector = {
  /** Whether batches of a topic are rewritten. */
  covers(topic: string): boolean;
  /** The batch with tokens for values; it may be written once `commit` has returned. */
  protect(topic: string, batch: Bytes): Uint8Array;
  /** Whether keys were made since the last `commit`. */
  readonly pending: boolean;
  /** Keys on disk. @throws LOG_DISK_FULL, LOG_IO: then nothing that was protected since the last one may be written */
  commit(): void;
  keys: KeyWriter;
  master: MasterKeys;
  /** Forgets what it remembers: after keys were destroyed. */
  clear(): void;
  close(): void;
};

/** Whether an event type has personal data. */
export const hasPii = ({fields}: Pick<EventType, 'fields'>): boolean =>
  fields.some(({pii}) => pii !== undefined);

/**
 * @param domains those of the platform. @param key text of the platform's key.
 * @throws PII_KEY_OTHER, PII_KEYS and what opening files throws
 */
export function createProtector(
  domains: readonly {name: string; eventTypes: EventType[]}[],
  {dir, key}: {dir: string; key: string},
): Protector {
  const master = masterKeys(key);
  const keys = new KeyWriter(dir, master);
  /** By attribute, by value. */
  const tokens = new Map<string, Map<string, Uint8Array | null>>();
  const tokenOf = ({attribute, kind}: Protected, value: string): Uint8Array | null => {
    let own = tokens.get(attribute);
    if (!own) tokens.set(attribute, (own = new Map()));
    const known = own.get(value);
    if (known !== undefined) return known;
    const text = standIn(master, kind, attribute, value);
    const name = keyName(master, attribute, value);
    const token = text === null ? null : Buffer.from(sealToken(master, name, keys.keyOf(name), kind, text));
    if (own.size >= knownMax) own.clear();
    if (value.length <= knownLength) own.set(value, token);
    return token;
  };
  const steps = new Map<string, Step[]>();
  const letters = new Set<string>();
  for (const {name, eventTypes} of domains) {
    for (const eventType of eventTypes) if (hasPii(eventType)) steps.set(eventType.topic, stepsOf(eventType));
    if (eventTypes.some(hasPii)) letters.add(`dlq.${name}`);
  }
  const sealLetters = letterSealer((plain) => {
    const name = randomBytes(keyNameBytes);
    return sealRecord(master, name, keys.keyOf(name), plain);
  });
  return {
    covers: (topic) => steps.has(topic) || letters.has(topic),
    protect(topic, batch) {
      const fields = steps.get(topic);
      return fields ? rewrite(batch, fields, tokenOf) : sealLetters(batch);
    },
    get pending() {
      return keys.pending;
    },
    commit() {
      try {
        keys.commit();
      } catch (error) {
        // Tokens of keys that are not on disk are nobody's.
        tokens.clear();
        throw error;
      }
    },
    keys,
    master,
    clear: () => tokens.clear(),
    close: () => keys.close(),
  };
}

function stepsOf(eventType: EventType): Step[] {
  const schema = avroSchema(eventType);
  const names = collectNames(schema);
  const last = schema.fields.findLastIndex((field) => protectionOf(field, schema) !== undefined);
  return schema.fields.slice(0, last + 1).map((field) => ({
    skip: skipper(field.type, names, eventType.domain),
    of: protectionOf(field, schema),
  }));
}

/** Protected fields are `["null", "string"]`: a branch, and a length with its text. */
function rewrite(
  batch: Bytes,
  steps: readonly Step[],
  tokenOf: (of: Protected, value: string) => Uint8Array | null,
): Uint8Array {
  const {bytes, count} = batch;
  const protectedFields = steps.filter(({of}) => of).length;
  const out = new Uint8Array(bytes.length + count * protectedFields * tokenBytesMax);
  let end = 0;
  const copy = (from: number, to: number) => {
    out.set(bytes.subarray(from, to), end);
    end += to - from;
  };
  walkRecords(batch, (_, start, stop) => {
    const head = end;
    end += 4;
    let copied = start;
    let pos = start + frameHeaderBytes;
    for (const {skip, of} of steps) {
      if (!of) {
        pos = skip(bytes, pos, stop, 0);
        continue;
      }
      const branch = pos;
      const index = readIndex(bytes, pos, stop, 2);
      pos = cursor.pos;
      if (index === 0) continue;
      const length = readLength(bytes, pos, stop);
      const at = cursor.pos;
      const token = tokenOf(of, readText(bytes, at, at + length));
      copy(copied, branch);
      out[end++] = token === null ? 0 : 2;
      if (token !== null) end = writeBytes(token, out, end);
      pos = at + length;
      copied = pos;
    }
    copy(copied, stop);
    writeRecordLength(end - head - 4, out, head);
  });
  return out.subarray(0, end);
}

const decodeLetter = compileDecoder(deadLetterSchema);
const originalAt = deadLetterSchema.fields.findIndex(({name}) => name === 'original');

/** The records of dead letters, each sealed by a key of its own. */
function letterSealer(seal: (plain: Uint8Array) => Uint8Array): (batch: Bytes) => Uint8Array {
  return (batch) => {
    const rows: AvroValue[][] = [];
    let schemaId = 0;
    walkRecords(batch, (_, start, stop) => {
      schemaId = schemaIdOf(batch.bytes, start, stop);
      const values = decodeLetter(batch.bytes, start + frameHeaderBytes, stop);
      values[originalAt] = seal(values[originalAt] as Uint8Array);
      rows.push(values);
    });
    const encoder = compileEncoder(deadLetterSchema, schemaId);
    const out = new Uint8Array(rows.reduce((size, row) => size + 4 + encoder.sizeMax(row), 0));
    let end = 0;
    for (const row of rows) end = encoder.encodeRecord(row, out, end);
    return out.subarray(0, end);
  };
}
