/** A sink that cannot hold a country of a name (any country, where the file says `all`), while the file that says so is there (or anything, where it says `down`), in front of a real `file` sink. */
import {existsSync, readFileSync} from 'node:fs';
import {PlatformError} from '../../src/errors.ts';
import type {Table} from '../../src/model/types.ts';
import {openFiles} from '../../src/sinks/file/open.ts';
import {columnIndex} from '../../src/sinks/tables.ts';
import type {RowBatch, SinkSpec} from '../../src/sinks/types.ts';

const spec: SinkSpec = {
  name: 'picky',
  summary: 'Refuses rows of the country XX while a file is there.',
  fields: {
    dir: {type: 'dir', doc: 'Directory of the files.', required: true},
    refuse: {type: 'string', doc: 'Path of the file.', required: true},
  },
  capabilities: {isolation: 'worker', upsert: false, raw: true, query: false, views: false, durable: true},
  async open({refuse, ...options}, context) {
    const sink = await openFiles(options, context);
    const path = String(refuse);
    const check = (table: Table, batch: RowBatch) => {
      if (!existsSync(path)) return;
      const said = readFileSync(path, 'utf8');
      if (said === 'down') throw new PlatformError('SINK_UNAVAILABLE', 'it is down');
      const isAll = said === 'all' && batch.count > 0;
      if (isAll || batch.columns[columnIndex(table, 'country')]!.includes('XX'))
        throw new PlatformError('SINK_ROW', `there is no country ${isAll ? 'at all' : 'XX'}`);
    };
    return {
      ...sink,
      async write(table, batch) {
        check(table, batch);
        await sink.write(table, batch);
      },
      async writeRaw(table, batch) {
        check(table, batch);
        await sink.writeRaw!(table, batch);
      },
    };
  },
};

export const sinks = [spec];
