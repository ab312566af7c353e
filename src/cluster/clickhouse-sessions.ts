/** Statements of many requests over a few sessions of chDB. */
import {existsSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type ChdbConnection, createChdbConnection} from 'chdb/connection';

/** An error of ClickHouse: its code, its text, its name. */
export class FrontError extends Error {
  readonly code: number;
  readonly type: string;

  constructor(code: number, message: string, type: string) {
    super(message);
    this.code = code;
    this.type = type;
  }
}

export type Statement = {
  query: string;
  /** Data of an insert whose format the statement names last. */
  data: Buffer | undefined;
  parameters: [string, string][];
  settings: [string, string][];
  database: string;
  /** Of the answer, where the statement names none. */
  format: string;
};

export type Answer = {
  bytes: Uint8Array;
  format: string;
  rowsRead: number;
  rowsWritten: number;
  seconds: number;
};

export type Sessions = {
  /** @throws FrontError with what ClickHouse says. */
  run(statement: Statement): Promise<Answer>;
};

const sessionsMax = 4;
/** In memory where the machine has that: the data of an insert passes through it. */
const scratchPlace = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const backquoted = (value: string): string => `\`${value.replace(/[\\`]/g, '\\$&')}\``;
const text = (value: string): string => `'${value.replace(/[\\']/g, (char) => `\\${char}`)}'`;
const name = (value: string): string => {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(value))
    throw new FrontError(115, `Unknown setting '${value}'`, 'UNKNOWN_SETTING');
  return value;
};
const insertWithData = /^([\s\S]*\bINSERT\s+INTO\b[\s\S]*?)\s+FORMAT\s+(\w+)\s*;?\s*$/i;

/** A session with what was set in it: that lasts until it is set otherwise. */
export type Session = {
  connection: Pick<ChdbConnection, 'chdb' | 'close'>;
  database: string;
  settings: Map<string, string>;
  /** It only reads, for good, and nothing can be set in it. */
  isSealed: boolean;
};

/** Sessions of one kind, each lent to one statement at a time. */
export class SessionPool {
  readonly #open: () => Session;
  readonly #idle: Session[] = [];
  /** Undefined: there is room for another. */
  readonly #waiting: ((session: Session | undefined) => void)[] = [];
  #count = 0;

  /** @param open may throw: then the statement that wanted it fails, and no other */
  constructor(open: () => Session) {
    this.#open = open;
  }

  /** Rather one with these settings than another. Rejects when there is none and none can be opened. */
  async take(wanted: Map<string, string>): Promise<Session> {
    const fitting = this.#idle.findIndex((session) => isSetTo(session, wanted));
    if (fitting >= 0) return this.#idle.splice(fitting, 1)[0]!;
    if (this.#count < sessionsMax) return this.#openOne();
    const next =
      this.#idle.shift() ??
      (await new Promise<Session | undefined>((resolve) => this.#waiting.push(resolve)));
    return next ?? this.take(wanted);
  }

  giveBack(session: Session): void {
    const next = this.#waiting.shift();
    if (next) next(session);
    else this.#idle.push(session);
  }

  /** Ends a session that is lent: what a failed statement left in it would show in the next answer. */
  async drop({connection}: Session): Promise<void> {
    try {
      await connection.close();
    } catch {
      // It may be closed already, and nobody uses it again.
    } finally {
      this.#leave();
    }
  }

  #openOne(): Session {
    this.#count += 1;
    try {
      return this.#open();
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  #leave(): void {
    this.#count -= 1;
    this.#waiting.shift()?.(undefined);
  }
}

const isSetTo = ({settings}: Session, wanted: Map<string, string>): boolean =>
  settings.size === wanted.size && [...wanted].every(([key, value]) => settings.get(key) === value);

/** Brings a session to the settings that are wanted, in one statement if any. */
async function adjust(session: Session, wanted: Map<string, string>, database: string): Promise<void> {
  const {connection, settings} = session;
  const set = async (sql: string) => void (await connection.chdb.queryAsync(sql, {format: 'Null'}));
  if (session.database !== database) {
    await set(`USE ${backquoted(database)}`);
    session.database = database;
  }
  const changes = [
    ...[...wanted]
      .filter(([key, value]) => settings.get(key) !== value)
      .map(([key, value]) => `${name(key)} = ${text(value)}`),
    ...[...settings.keys()].filter((key) => !wanted.has(key)).map((key) => `${name(key)} = DEFAULT`),
  ];
  if (changes.length > 0) await set(`SET ${changes.join(', ')}`);
  session.settings = wanted;
}

/** @param dir directory of the database; nobody else may have it open */
export function createSessions(dir: string): Sessions {
  const open = (): Session => ({
    connection: createChdbConnection({path: dir}),
    database: 'default',
    settings: new Map(),
    isSealed: false,
  });
  const writing = new SessionPool(open);
  /** Once a session only reads, that cannot be taken back. */
  const reading = new SessionPool(open);
  // Data in formats that chDB takes from a file alone.
  const scratch = mkdtempSync(join(scratchPlace, 'millrace-front-'));
  process.on('exit', () => rmSync(scratch, {recursive: true, force: true}));
  let files = 0;

  const insertFile = async (
    session: Session['connection'],
    insert: string,
    dataFormat: string,
    data: Buffer,
  ) => {
    const file = join(scratch, String((files += 1)));
    writeFileSync(file, data);
    try {
      return await session.chdb.queryAsync(
        `${insert} FROM INFILE ${text(file)} COMPRESSION 'none' FORMAT ${dataFormat}`,
        {format: 'Null'},
      );
    } finally {
      rmSync(file);
    }
  };
  const execute = async (
    session: Session['connection'],
    {query, data, format}: Statement,
  ): Promise<Answer> => {
    const [, insert, dataFormat] = (data && insertWithData.exec(query)) || [];
    if (insert !== undefined) {
      const {rowsRead = 0, elapsed = 0} =
        data!.length > 0 ? await insertFile(session, insert, dataFormat!, data!) : {};
      return {bytes: new Uint8Array(), format, rowsRead: 0, rowsWritten: rowsRead, seconds: elapsed};
    }
    const whole = data && data.length > 0 ? `${query}\n${data.toString('utf8')}` : query;
    const result = await session.chdb.queryAsync(whole, {format});
    return {
      bytes: result.bytes(),
      format,
      rowsRead: result.rowsRead,
      rowsWritten: 0,
      seconds: result.elapsed,
    };
  };
  return {
    async run(statement) {
      const {database, parameters, settings} = statement;
      const isReading = settings.some(([key, value]) => key === 'readonly' && value !== '0');
      const pool = isReading ? reading : writing;
      const wanted = new Map(settings.filter(([key]) => key !== 'readonly'));
      const session = await pool.take(wanted).catch((error) => {
        throw frontError(error);
      });
      try {
        const isFitting =
          isSetTo(session, wanted) && session.database === database && parameters.length === 0;
        if (session.isSealed && !isFitting) {
          await session.connection.close();
          Object.assign(session, open());
        }
        const {connection} = session;
        const set = async (sql: string) => void (await connection.chdb.queryAsync(sql, {format: 'Null'}));
        await adjust(session, wanted, database);
        for (const [key, value] of parameters) await set(`SET param_${name(key)} = ${text(value)}`);
        // Not 2, with which the one user of chDB, who may do everything, could read the files of this machine.
        if (isReading && !session.isSealed) await set('SET readonly = 1');
        session.isSealed = isReading;
        const answer = await execute(connection, statement);
        pool.giveBack(session);
        return answer;
      } catch (error) {
        await pool.drop(session);
        throw frontError(error);
      }
    },
  };
}

/** `Code: 60. DB::Exception: Unknown table ... (UNKNOWN_TABLE)`, with or without its head. */
function frontError(error: unknown): FrontError {
  if (error instanceof FrontError) return error;
  const {message, code, type} = error as Error & {code?: string | number; type?: string};
  const found = /Code: (\d+)\. DB::Exception: ([\s\S]*?)\s*\(([A-Z0-9_]{3,})\)/.exec(message);
  if (found) return new FrontError(Number(found[1]), found[2]!, found[3]!);
  return new FrontError(
    /^\d+$/.test(String(code)) ? Number(code) : 1002,
    message,
    type ?? 'UNKNOWN_EXCEPTION',
  );
}
