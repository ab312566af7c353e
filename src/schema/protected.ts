/**
 * Personal data in schemas: a field with the property `millrace.pii` holds tokens instead of values, and whoever reads it gets
 * what stands for the value. How a token is opened is `src/privacy/`'s business; each thread that reads tells it here.
 */
import {readText} from './read.ts';
import type {AvroField, AvroRecord} from './types.ts';

/** Property of a field; its value is the kind of protection. */
export const piiProperty = 'millrace.pii';

/** What is protected: the attribute as `<domain>.<name>`, and how. */
export type Protected = {attribute: string; kind: string};

/** Opens tokens in this thread. */
export type TokenReader = {
  /** What stands for the value of a token, or of a value that was written before the attribute was protected; null: forgotten. */
  read(text: string, of: Protected): string | null;
  /** Grows whenever something was forgotten: what was read before may read NULL now. */
  epoch: number;
  /** Looks whether something was forgotten since. Cheap enough for every batch. */
  refresh(): void;
};

/** Without a key: everything protected is NULL. */
const closed: TokenReader = {read: () => null, epoch: 0, refresh() {}};
let reader = closed;

/** What texts begin with in this thread that stand for their values already; undefined: none does. */
let standInMark: string | undefined;
const marked: TokenReader = {
  read: (text, of) =>
    standInMark !== undefined && text.startsWith(standInMark)
      ? text.slice(standInMark.length)
      : reader.read(text, of),
  get epoch() {
    return reader.epoch;
  },
  refresh: () => reader.refresh(),
};

/** The reader of this thread. */
export const tokenReader = (): TokenReader => (standInMark === undefined ? reader : marked);

/** From now on texts with that beginning are read as what follows it. @param mark random, so that no sender can know it */
export function useStandIns(mark: string): void {
  standInMark = mark;
}

/** Sets the reader of this thread. @param next undefined: there is no key */
export function useTokenReader(next: TokenReader | undefined): void {
  reader = next ?? closed;
}

/** How a field of a record is protected; undefined for one that is not. */
export function protectionOf(field: AvroField, {name, namespace}: AvroRecord): Protected | undefined {
  const kind = field[piiProperty];
  if (typeof kind !== 'string') return undefined;
  const space = namespace ?? name.slice(0, Math.max(0, name.lastIndexOf('.')));
  return {attribute: `${space}.${field.name}`, kind};
}

/** A reader of the text in [start, end) of a protected field. */
export const protectedText =
  (of: Protected) =>
  (u8: Uint8Array, start: number, end: number): string | null =>
    tokenReader().read(readText(u8, start, end), of);

/** The schema as a sender has it, with plain values: nothing in it is opened. */
export const unprotected = (schema: AvroRecord): AvroRecord => ({
  ...schema,
  fields: schema.fields.map(({[piiProperty]: _, ...field}) => field as AvroField),
});
