/** What journals of replays say of letters. A journal may be larger than memory: it is walked in pieces, and kept where SQLite keeps it. */
import {DatabaseSync, type StatementSync} from 'node:sqlite';
import {setImmediate} from 'node:timers/promises';
import {PlatformError} from '../errors.ts';
import {batchesFrom} from '../log/scan.ts';
import {troubleOf} from '../log/sqlite.ts';
import type {LogReader} from '../log/types.ts';
import {compileDecoder} from '../schema/decode.ts';
import {walkDecoded} from '../schema/frame.ts';
import {type ReplayEntry, replayEntryOf, replayEntrySchema, replayJournalTopic} from '../schema/replay.ts';
import type {LetterReplay} from './letters.ts';

/** Of entries, before others have a turn: some milliseconds. */
const readAtOnce = 500;
const cacheKiB = 16 * 1024;

const decodeEntry = compileDecoder(replayEntrySchema);

/** A database without a name: SQLite keeps what its cache does not hold in a file that nobody else sees, and that ends with it. */
const schema = `PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA page_size = 8192; PRAGMA cache_size = -${cacheKiB};
CREATE TABLE replays (letter TEXT NOT NULL, replay TEXT NOT NULL); CREATE INDEX by_letter ON replays (letter)`;

type Store = {database: DatabaseSync; add: StatementSync; find: StatementSync};

/** The attempts by letter; to be closed. */
export class LetterHistory {
  /** `<topic>/<partition>` -> offset of the next entry. */
  readonly #places = new Map<string, number>();
  #store: Store | undefined;

  /**
   * Adds what a domain's journal says that was not read yet; ends at `signal`.
   * @throws LOG_CORRUPT when it is damaged, FILE_ACCESS when what is kept of it finds no room, KAFKA_*
   */
  async read(log: LogReader, domain: string, signal?: AbortSignal): Promise<void> {
    const topic = replayJournalTopic(domain);
    await log.refresh([topic]);
    for (let partition = 0; partition < log.partitions(topic); partition++) {
      const place = `${topic}/${partition}`;
      const from = Math.max(this.#places.get(place) ?? 0, log.startOffset(topic, partition));
      let read = 0;
      for await (const {kind, bytes, count, baseOffset} of batchesFrom(log, topic, partition, from)) {
        if (kind === 'data') {
          walkDecoded({bytes, count}, decodeEntry, (index, values) => {
            if (baseOffset + index >= from) this.#add(replayEntryOf(values));
          });
          read += count;
        }
        this.#places.set(place, baseOffset + count);
        if (read >= readAtOnce) {
          read = 0;
          await setImmediate();
        }
        if (signal?.aborted) return;
      }
    }
  }

  /** Attempts to replay a letter, oldest first. */
  of(letter: string): LetterReplay[] {
    if (!this.#store) return [];
    try {
      return this.#store.find.all(letter).map(({replay}) => JSON.parse(replay as string));
    } catch (error) {
      throw explained(error);
    }
  }

  close(): void {
    this.#store?.database.close();
    this.#store = undefined;
  }

  #add({kind, letter, timeMs, actor, outcome, code, message}: ReplayEntry): void {
    if (kind !== 'letter' || letter === null) return;
    const replay: LetterReplay = {timeMs, actor, outcome: outcome ?? '', code, message};
    try {
      this.#store ??= openStore();
      this.#store.add.run(letter, JSON.stringify(replay));
    } catch (error) {
      throw explained(error);
    }
  }
}

function openStore(): Store {
  const database = new DatabaseSync('');
  database.exec(schema);
  // One transaction, which nobody waits for: without it each entry would be one.
  database.exec('BEGIN');
  const add = database.prepare('INSERT INTO replays VALUES (?, ?)');
  const find = database.prepare('SELECT replay FROM replays WHERE letter = ? ORDER BY rowid');
  return {database, add, find};
}

function explained(error: unknown): unknown {
  const trouble = troubleOf(error);
  if (!trouble) return error;
  return new PlatformError('FILE_ACCESS', `what journals of replays say cannot be kept (${trouble.words})`, {
    hint: 'make room for temporary files: in SQLITE_TMPDIR, TMPDIR, /var/tmp or /tmp, the first that there is',
    cause: error,
  });
}
