/**
 * Which topics, among all that had their names, an outbox ships to. A table beside its others (outbox-tables.ts):
 *
 *   outbox_topics  the id of each topic; places, and the ids of records, are of that one
 */
import type {DatabaseSync} from 'node:sqlite';
import {corrupt, rowCrc} from './chain.ts';

const schema = `CREATE TABLE IF NOT EXISTS outbox_topics (topic TEXT PRIMARY KEY, id TEXT NOT NULL, crc INTEGER NOT NULL)
  STRICT, WITHOUT ROWID;`;

export class OutboxTopics {
  readonly #set;
  readonly #ids = new Map<string, string>();
  readonly #changed = new Set<string>();

  /** Throws LOG_CORRUPT. */
  constructor(database: DatabaseSync) {
    database.exec(schema);
    this.#set = database.prepare('INSERT OR REPLACE INTO outbox_topics VALUES (?, ?, ?)');
    const rows = database.prepare('SELECT topic, id, crc FROM outbox_topics').all() as {
      topic: string;
      id: string;
      crc: number;
    }[];
    for (const {topic, id, crc} of rows) {
      if (rowCrc(topic, id) !== crc) throw corrupt(topic, 0, 0, 'the checksum of its id differs');
      this.#ids.set(topic, id);
    }
  }

  /** Undefined for one that was not seen with an id. */
  idOf(topic: string): string | undefined {
    return this.#ids.get(topic);
  }

  note(topic: string, id: string): void {
    if (this.#ids.get(topic) === id) return;
    this.#ids.set(topic, id);
    this.#changed.add(topic);
  }

  get isChanged(): boolean {
    return this.#changed.size > 0;
  }

  /** Inside a commit. */
  write(): void {
    for (const topic of this.#changed) {
      const id = this.#ids.get(topic)!;
      this.#set.run(topic, id, rowCrc(topic, id));
    }
  }

  /** What `write` wrote is durable. */
  written(): void {
    this.#changed.clear();
  }
}
