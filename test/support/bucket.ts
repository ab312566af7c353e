/** A bucket of a real object store for tests. */
import {type ObjectStore, startObjectStore} from '../../src/cluster/seaweedfs.ts';
import {PlatformError} from '../../src/errors.ts';
import type {S3Settings} from '../../src/store/s3.ts';

export type Bucket = {settings: S3Settings; port: number; stop(): Promise<void>};

/** Starts SeaweedFS with one empty bucket; undefined where it cannot be had. */
export async function startBucket(): Promise<Bucket | undefined> {
  let store: ObjectStore;
  try {
    store = await startObjectStore({bucket: 'checkpoints'});
  } catch (error) {
    if (error instanceof PlatformError && /^SERVER_(MISSING|FETCH)$/.test(error.code)) return undefined;
    throw error;
  }
  const {endpoint, region, bucket, accessKey, secretKey, port} = store;
  return {
    settings: {endpoint, region, bucket, accessKey, secretKey, pathStyle: true},
    port,
    stop: () => store.stop(),
  };
}
