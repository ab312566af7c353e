/** Asks the cache for a parcel that takes a while. Arguments: the cache, and a file that gets a line for every time it is fetched. */
import {createHash} from 'node:crypto';
import {appendFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {cached} from '../../src/cluster/cache.ts';
import {pause} from '../../src/cluster/process.ts';

const [, , cache, marks] = process.argv as [string, string, string, string];
await cached(
  {
    name: 'slow',
    files: {'a.txt': createHash('sha256').update('content').digest('hex')},
    async fetch(dir) {
      appendFileSync(marks, 'fetched\n');
      await pause(400);
      writeFileSync(join(dir, 'a.txt'), 'content');
    },
  },
  () => {},
  cache,
);
