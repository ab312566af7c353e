import {createHash} from 'node:crypto';
import {join} from 'node:path';
import type {LoadedConfig} from '../config/load.ts';
import type {Secret} from '../config/secrets/secret.ts';
import {Reporter} from './reporter.ts';
import type {EngineConfig} from './types.ts';

/** `engine.embedded:` with its defaults filled in. */
export type EngineSection = {
  workers: number | 'auto';
  flush: number;
  checkpoint_interval: number;
  checkpoints: string;
  lease: number;
  s3: {
    endpoint?: string;
    region: string;
    access_key?: Secret;
    secret_key?: Secret;
    path_style: boolean;
    ca?: string;
  };
};

const leaseMsMin = 1_000;

/** The engine of a configuration; reports what does not fit together. */
export function engineOf(config: LoadedConfig, section: EngineSection | undefined): EngineConfig {
  const {workers, flush, checkpoint_interval, checkpoints, lease} = section ?? ({} as EngineSection);
  const reporter = new Reporter(config.platform.node, config.diagnostics);
  if (lease < leaseMsMin)
    reporter.error(['engine', 'embedded', 'lease'], 'VALUE_INVALID', 'a lease lasts at least 1s', {
      hint: 'it is renewed three times while it lasts, and a slow moment must not end it',
    });
  const base = {workers, flushMs: flush, checkpointIntervalMs: checkpoint_interval, leaseMs: lease};
  // What is no address of a bucket was read as a directory.
  const [, scheme] = /(?:^|\/)([A-Za-z][A-Za-z0-9+.-]*):\//.exec(checkpoints ?? '') ?? [];
  const path = ['engine', 'embedded', 'checkpoints'];
  if (/(^|\/)s3:/.test(checkpoints ?? '') && !checkpoints.startsWith('s3://'))
    reporter.error(path, 'VALUE_INVALID', 'this is no address in a bucket', {
      hint: 'write s3://bucket/prefix: the bucket in small letters, digits, dots and hyphens',
    });
  else if (scheme !== undefined && scheme !== 's3')
    reporter.error(path, 'VALUE_INVALID', `checkpoints cannot be kept at ${scheme}://`, {
      hint: 'write a directory, or s3://bucket/prefix: other stores are reached where they speak the protocol of S3, with s3.endpoint',
    });
  if (!checkpoints?.startsWith('s3://')) return {...base, checkpointsDir: checkpoints};
  const bucket = bucketOf(checkpoints, section!.s3, reporter);
  // A copy of another bucket is no copy of this one.
  const name = createHash('sha256').update(`${bucket?.endpoint} ${checkpoints}`).digest('hex').slice(0, 12);
  const checkpointsDir = join(config.root, '.millrace', `checkpoints-${name}`);
  return {...base, checkpointsDir, ...(bucket ? {bucket} : {})};
}

function bucketOf(
  url: string,
  {endpoint, region, access_key, secret_key, path_style, ca}: EngineSection['s3'],
  reporter: Reporter,
): EngineConfig['bucket'] {
  const path = ['engine', 'embedded', 's3'];
  if (!access_key || !secret_key) {
    const missing = access_key ? 'secret_key' : 'access_key';
    // One that is there and mistaken was reported.
    if (!reporter.has([...path, missing]))
      reporter.error(path, 'KEY_MISSING', `checkpoints in a bucket need s3.${missing}`, {
        hint: `add to engine.embedded: s3: {${missing}: "\${secret:s3_${missing}}"}`,
      });
    return undefined;
  }
  const [, name = '', rest = ''] = /^s3:\/\/([^/]+)\/*(.*?)\/*$/.exec(url) ?? [];
  return {
    name,
    prefix: rest === '' ? '' : `${rest}/`,
    endpoint: endpoint ?? `https://s3.${region}.amazonaws.com`,
    region,
    accessKey: access_key,
    secretKey: secret_key,
    pathStyle: path_style,
    ...(ca === undefined ? {} : {ca}),
  };
}
