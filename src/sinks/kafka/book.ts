/**
 * The book of all rows topics of a platform: one compacted topic of JSON texts, written by the engine's process and read by those
 * that deliver. It says which tables there are, how far their topics are whole, and which of them the views show.
 */
import type {Column, Table} from '../../model/types.ts';
import {isRowType} from './rows.ts';

/** `ends`: end of every partition of the table's topic; what is below it belongs to the entry. */
export type BookEntry =
  /** `topicId`: of the topic that was made for it; another one says that the table was dropped and made again, where nobody saw the drop. */
  | {kind: 'table'; table: Table; topicId?: string}
  /** Every row of the checkpoint `epoch` is below `ends`. `table`: `<namespace>.<name>`; `topicId`: of the topic that has them. */
  | {kind: 'mark'; table: string; epoch: number; ends: number[]; topicId?: string}
  /** The view shows the table as soon as it is delivered up to `ends`. */
  | {kind: 'view'; view: string; table: string; ends: number[]}
  | {kind: 'drop'; table: string}
  | {kind: 'dropView'; view: string};

/** Name of the book's topic. */
export const bookTopic = (clientId: string): string => `${clientId}.rows`;

/** Later entries take the place of earlier ones with the same key. */
export function bookKey(entry: BookEntry): string {
  switch (entry.kind) {
    case 'table':
      return `table ${entry.table.namespace}.${entry.table.name}`;
    case 'drop':
      return `table ${entry.table}`;
    case 'mark':
      return `mark ${entry.table}`;
    default:
      return `view ${entry.view}`;
  }
}

/** The table is there; `topicId` where topics have ids. */
export const tableEntry = (table: Table, topicId: string | undefined): BookEntry => ({
  kind: 'table',
  table,
  ...(topicId === undefined ? {} : {topicId}),
});

/** What the book says after some of its entries. */
export class Book {
  /** `<namespace>.<name>` -> the table, for those that were not dropped. */
  readonly tables = new Map<string, Table>();
  /** `<namespace>.<name>` -> id of the topic that was made for it, for those tables of which it is known. */
  readonly made = new Map<string, string>();
  readonly dropped = new Set<string>();
  readonly marks = new Map<string, Extract<BookEntry, {kind: 'mark'}>>();
  /** `<domain>.<query>` -> the table that it shows; null: the view is gone. */
  readonly views = new Map<string, Extract<BookEntry, {kind: 'view'}> | null>();

  /** Everything that counts now, as entries of a new book. */
  entries(): BookEntry[] {
    return [
      ...[...this.tables].map(([id, table]) => tableEntry(table, this.made.get(id))),
      ...this.marks.values(),
      ...[...this.dropped].map((table): BookEntry => ({kind: 'drop', table})),
      ...[...this.views].map(([view, shown]): BookEntry => shown ?? {kind: 'dropView', view}),
    ];
  }

  /** What was no entry, since it was asked last. */
  #passedOver = 0;

  /** How many records of others it was given since it was asked last. */
  takePassedOver(): number {
    const count = this.#passedOver;
    this.#passedOver = 0;
    return count;
  }

  /** Passes over what is no entry. */
  take(entry: BookEntry | undefined): void {
    switch (entry?.kind) {
      case undefined:
        this.#passedOver++;
        break;
      case 'table': {
        const id = `${entry.table.namespace}.${entry.table.name}`;
        this.tables.set(id, entry.table);
        if (entry.topicId === undefined) this.made.delete(id);
        else this.made.set(id, entry.topicId);
        this.dropped.delete(id);
        break;
      }
      case 'drop':
        this.tables.delete(entry.table);
        this.made.delete(entry.table);
        this.marks.delete(entry.table);
        this.dropped.add(entry.table);
        break;
      case 'mark':
        if (entry.epoch >= (this.marks.get(entry.table)?.epoch ?? -1)) this.marks.set(entry.table, entry);
        break;
      case 'view':
        this.views.set(entry.view, entry);
        break;
      case 'dropView':
        this.views.set(entry.view, null);
    }
  }
}

const kinds: Record<BookEntry['kind'], (entry: Record<string, unknown>) => boolean> = {
  table: ({table, topicId}) => isTable(table) && (topicId === undefined || isText(topicId)),
  mark: ({table, epoch, ends}) => isText(table) && isOffset(epoch) && isOffsets(ends),
  view: ({view, table, ends}) => isText(view) && isText(table) && isOffsets(ends),
  drop: ({table}) => isText(table),
  dropView: ({view}) => isText(view),
};
const isText = (value: unknown): value is string => typeof value === 'string';
const isOffset = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isOffsets = (value: unknown): boolean => Array.isArray(value) && value.every(isOffset);

/** Of namespaces, tables and columns: of what we write all are of this form, and a statement is made of them. */
const isName = (value: unknown): boolean => isText(value) && /^\w{1,128}$/.test(value);
const isNames = (value: unknown): value is string[] => Array.isArray(value) && value.every(isName);

/** Whether a table can be made of it: one that cannot would be tried for ever. */
function isTable(value: unknown): boolean {
  const {namespace, name, kind, columns, key, view} = (value ?? {}) as Record<string, unknown>;
  if (!isName(namespace) || !isName(name) || kind !== 'query' || !isNames(key) || key.length === 0)
    return false;
  if (!Array.isArray(columns) || !columns.every(isColumn)) return false;
  const has = (names: readonly string[]) => names.every((each) => columns.some(({name}) => name === each));
  if (!has(key)) return false;
  if (view === undefined) return true;
  const shown = (view ?? {}) as Record<string, unknown>;
  return isName(shown.name) && isNames(shown.columns) && has(shown.columns);
}

function isColumn(value: unknown): value is Column {
  const {name, type, nullable} = (value ?? {}) as Record<string, unknown>;
  return isName(name) && isText(type) && isRowType(type) && typeof nullable === 'boolean';
}

/** Undefined for what some other program wrote into the topic: no entry of ours. */
export function bookEntryOf(bytes: Uint8Array): BookEntry | undefined {
  try {
    const entry = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
    const kind = String(entry.kind);
    return Object.hasOwn(kinds, kind) && kinds[kind as BookEntry['kind']](entry)
      ? (entry as BookEntry)
      : undefined;
  } catch {
    return undefined;
  }
}
