import assert from 'node:assert/strict';
import {test} from 'node:test';
import {encodePath, encodeQuery, signatureOf} from '../../src/store/signature.ts';

// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, examples "GET Bucket Lifecycle" and "Get Bucket (List Objects)".
const key = {
  accessKey: 'AKIAIOSFODNN7EXAMPLE',
  secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
};
const request = {
  method: 'GET',
  host: 'examplebucket.s3.amazonaws.com',
  path: '/',
  body: new Uint8Array(),
  timeMs: Date.UTC(2013, 4, 24),
};

for (const [what, query, expected] of [
  [
    'a query without a value',
    {lifecycle: ''},
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ],
  [
    'a query of two',
    {prefix: 'J', 'max-keys': '2'},
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ],
] as const)
  test(`${what} is signed as the documentation of AWS says`, () => {
    const {authorization, ...headers} = signatureOf(key, {...request, query});
    assert.equal(
      authorization,
      `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${expected}`,
    );
    assert.deepEqual(headers, {
      'x-amz-date': '20130524T000000Z',
      'x-amz-content-sha256': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    });
  });

test('paths keep their slashes, everything but the unreserved characters is encoded', () => {
  assert.equal(encodePath("/a b/(c)*'!~_.-/ü+"), '/a%20b/%28c%29%2A%27%21~_.-/%C3%BC%2B');
  assert.equal(encodeQuery({b: '1&2', a: 'x y'}), 'a=x%20y&b=1%262');
});
