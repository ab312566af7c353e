/** The embedded log: SQLite in one directory, one writer, any number of readers. See `types.ts` for what they promise. */

export type {LogWriterOptions} from './group.ts';
export {type LogReaderOptions, openLogReader} from './reader.ts';
export {openLogWriter} from './writer.ts';
