/** A sink that cannot hold a country of a name, while the file that says so is there, in front of a real `file` sink. */
import {existsSync} from 'node:fs';
import {PlatformError} from '../../src/errors.ts';
import {openFiles} from '../../src/sinks/file/open.ts';
import {columnIndex} from '../../src/sinks/tables.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';

const spec: SinkSpec = {
  name: 'picky',
  summary: 'Refuses rows of the country XX while a file is there.',
  fields: {
    dir: {type: 'dir', doc: 'Directory of the files.', required: true},
    refuse: {type: 'string', doc: 'Path of the file.', required: true},
  },
  capabilities: {isolation: 'worker', upsert: false, raw: false, query: false, views: false, durable: true},
  async open({refuse, ...options}, context) {
    const sink = await openFiles(options, context);
    return {
      ...sink,
      async write(table, batch) {
        const countries = batch.columns[columnIndex(table, 'country')]!;
        if (existsSync(String(refuse)) && countries.includes('XX'))
          throw new PlatformError('SINK_ROW', 'there is no country XX');
        await sink.write(table, batch);
      },
    };
  },
};

export const sinks = [spec];
