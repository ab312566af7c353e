import {existsSync, renameSync} from 'node:fs';
import {PlatformError} from '../errors.ts';
import {acquireLock} from '../log/lock.ts';
import type {Platform} from '../model/types.ts';
import {ensureHome, placesOf} from './places.ts';

/**
 * The way out of a table that differs. In an embedded database nobody can alter it: it is filled again from the log. The table of a query on
 * a server may be left from before its checkpoints were lost: columns that are added by hand would be empty in its rows.
 * @param command fills it again @param isOfQuery another table is filled then, and this one stays
 */
export function explainDifference(
  error: unknown,
  platform: Pick<Platform, 'sinks'>,
  sink: string,
  {command, isOfQuery}: {command: string; isOfQuery: boolean},
): unknown {
  const isEmbedded = typeof platform.sinks[sink]?.options.dir === 'string';
  if (!(error instanceof PlatformError) || error.code !== 'SINK_TABLE_DIFFERS') return error;
  if (!isEmbedded && !isOfQuery) return error;
  const {code, message, place, hint} = error;
  return new PlatformError(code, message, {
    hint: isEmbedded
      ? command
      : `${command} fills a table beside it from the log, and this one stays; or: ${hint}`,
    cause: error,
    ...(place === undefined ? {} : {place}),
  });
}

/**
 * Moves the directory of an embedded sink aside. The next run finds that the sink knows less than the checkpoints and fills
 * it again from the log; raw events likewise. @returns the old directory and its new name
 * @throws LOCKED while a platform runs, NAME_UNKNOWN when the sink has no directory.
 */
export function moveSinkAside(platform: Platform, name: string): {from: string; to: string} {
  const dir = platform.sinks[name]?.options.dir;
  if (typeof dir !== 'string')
    throw new PlatformError('NAME_UNKNOWN', `sink "${name}" keeps no directory of its own`, {
      hint: 'rebuild its queries one by one: npx millrace rebuild <domain>.<query>',
    });
  const places = placesOf(platform);
  ensureHome(places);
  const lock = acquireLock(places.lock, {command: 'millrace rebuild'});
  try {
    if (!existsSync(dir))
      throw new PlatformError('NAME_UNKNOWN', `there is no ${dir}`, {
        hint: 'the next run makes it: npx millrace run',
      });
    let number = 1;
    while (existsSync(`${dir}.aside-${number}`)) number++;
    const to = `${dir}.aside-${number}`;
    renameSync(dir, to);
    return {from: dir, to};
  } finally {
    lock.release();
  }
}
