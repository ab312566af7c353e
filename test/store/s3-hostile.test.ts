/** An object store that answers wrongly: a checkpoint is never taken for absent, or for written, because of it. */
import assert from 'node:assert/strict';
import {type TestContext, test} from 'node:test';
import {PlatformError} from '../../src/errors.ts';
import {createS3Client, type S3Client} from '../../src/store/s3.ts';
import {type Answer, dripping, endless, html, says, serve, silent} from '../support/hostile.ts';

async function open(t: TestContext, answer: Answer, timeoutMs = 60_000): Promise<S3Client> {
  const endpoint = await serve(t, answer);
  const keys = {accessKey: 'a', secretKey: 'canary-of-store'};
  const client = createS3Client({
    endpoint,
    region: 'r',
    bucket: 'b',
    ...keys,
    pathStyle: true,
    timeoutMs,
  });
  t.after(() => client.close());
  return client;
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    (found) => `found ${JSON.stringify(found)}`,
    (error: unknown) => {
      assert.ok(error instanceof PlatformError, String((error as Error).stack));
      assert.ok(error.hint);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /canary-of-store/);
      return error.code;
    },
  );

const list = (inside: string) =>
  says(`<?xml version="1.0"?><ListBucketResult xmlns="x">${inside}</ListBucketResult>`);
const page = '<Contents><Key>p/a</Key></Contents>';

const odd: [string, Answer, ...codes: string[]][] = [
  ['HTML', html, 'STORE_REFUSED', 'STORE_REFUSED', 'STORE_REFUSED'],
  [
    'a 404 that is not the store’s',
    (_, response) => response.writeHead(404).end('<html>'),
    'STORE_REFUSED',
    'STORE_REFUSED',
    'STORE_REFUSED',
  ],
  [
    'a redirect to another host',
    (_, response) => response.writeHead(307, {location: 'http://other.example/'}).end(),
    'STORE_REFUSED',
    'STORE_REFUSED',
    'STORE_REFUSED',
  ],
  ['nothing', silent, 'STORE_UNAVAILABLE', 'STORE_UNAVAILABLE', 'STORE_UNAVAILABLE'],
  ['a byte now and then', dripping, 'STORE_UNAVAILABLE', 'STORE_UNAVAILABLE', 'STORE_UNAVAILABLE'],
];
for (const [name, answer, ...codes] of odd)
  test(`${name} is no answer of a store`, async (t) => {
    const client = await open(t, answer, codes[0] === 'STORE_UNAVAILABLE' ? 400 : undefined);
    const found = await Promise.all(
      [client.get('p/a'), client.put('p/a', Buffer.from('x'), {kind: 'absent'}), client.list('p/')].map(
        codeOf,
      ),
    );
    assert.deepEqual(found, codes);
  });

test('an answer to a put or a list that does not end is cut off', async (t) => {
  const client = await open(t, endless);
  assert.equal(await codeOf(client.put('p/a', Buffer.from('x'))), 'STORE_UNAVAILABLE');
  assert.equal(await codeOf(client.list('p/')), 'STORE_UNAVAILABLE');
});

test('a list of empty pages that each name another one is refused', async (t) => {
  let number = 0;
  const answer: Answer = (...call) => {
    const next = `<NextContinuationToken>${number++}</NextContinuationToken>`;
    list(`<IsTruncated>true</IsTruncated>${next}`)(...call);
  };
  assert.equal(await codeOf((await open(t, answer)).list('p/')), 'STORE_REFUSED');
});

for (const [name, inside] of [
  [
    'repeats its token',
    `${page}<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>`,
  ],
  ['goes on and does not say where', `${page}<IsTruncated>true</IsTruncated>`],
  ['has keys of others, which would be deleted as orphans', '<Contents><Key>q/a</Key></Contents>'],
  ['has a key that cannot be read', '<Contents><Key>p/%zz</Key></Contents>'],
] as const)
  test(`a list that ${name} is refused`, async (t) => {
    assert.equal(await codeOf((await open(t, list(inside))).list('p/')), 'STORE_REFUSED');
  });
