import assert from 'node:assert/strict';
import {test} from 'node:test';
import {crc32c} from '../../../src/log/kafka/crc32c.ts';

/** RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms. */
const vectors: [Uint8Array, number][] = [
  [new TextEncoder().encode('123456789'), 0xe3069283],
  [new Uint8Array(32), 0x8a9136aa],
  [new Uint8Array(32).fill(0xff), 0x62a8ab43],
  [Uint8Array.from({length: 32}, (_, index) => index), 0x46dd794e],
  [Uint8Array.from({length: 32}, (_, index) => 31 - index), 0x113fdb5c],
];

test('the checksums of the specification', () => {
  for (const [bytes, wanted] of vectors) assert.equal(crc32c(bytes), wanted);
});

test('a checksum can be continued, at every length and from any place', () => {
  const bytes = Uint8Array.from({length: 100}, (_, index) => (index * 89) & 255);
  const whole = crc32c(bytes);
  for (let cut = 0; cut <= bytes.length; cut++) {
    assert.equal(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut)), whole);
    assert.equal(crc32c(bytes.subarray(cut)), crc32c(bytes, cut));
  }
});
