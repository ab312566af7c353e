import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, type TestContext} from 'node:test';
import {startBucket} from '../support/bucket.ts';
import {bucketSuite} from './checkpoint-bucket.ts';
import {checkpointStoreSuite} from './checkpoint-stores.ts';

const temporary = (t: TestContext): string => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-checkpoints-'));
  t.after(() => rmSync(dir, {recursive: true, force: true}));
  return dir;
};

checkpointStoreSuite('directory', (t) => {
  const dir = temporary(t);
  return {machine: () => ({dir}), points: ['state.before-commit', 'state.after-commit'], kills: 10};
});

const bucket = await startBucket();
after(() => bucket?.stop());
let stores = 0;
const shared = (t: TestContext) => {
  const prefix = `store-${++stores}/`;
  return {
    machine: () => ({dir: temporary(t), remote: {s3: bucket!.settings, prefix}}),
    points: [
      'state.before-piece',
      'state.before-head',
      'state.after-head',
      'state.before-snapshot',
      'state.after-snapshot',
    ],
    kills: 30,
  };
};
bucketSuite(bucket, shared);
if (bucket) checkpointStoreSuite('s3', shared);
