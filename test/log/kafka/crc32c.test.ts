import assert from 'node:assert/strict';
import {test} from 'node:test';
import {crc32c, crc32cByTables} from '../../../src/log/kafka/crc32c.ts';
import {machine, shortenBytesLeast, shortenBytesMax} from '../../../src/log/kafka/machine.ts';
import {random} from '../../support/random.ts';

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

test('the checksum of a long message is the one that the tables give, wherever it lies and whatever goes before it', () => {
  assert.ok(machine(), 'WebAssembly is here');
  const chance = random(5);
  const bytes = Uint8Array.from({length: 2 * shortenBytesMax + 70_000}, () => chance.int(256));
  const lengths = [11_369, 11_370, shortenBytesMax, 2 * shortenBytesMax + 64_000];
  for (let more = -2; more < 140; more++) lengths.push(shortenBytesLeast + more);
  for (let round = 0; round < 60; round++)
    lengths.push(shortenBytesLeast + chance.int(round < 30 ? 20_000 : 300_000));
  for (const edge of [-1, 0, 1])
    lengths.push(shortenBytesMax + edge, shortenBytesMax + shortenBytesLeast + edge);
  for (const length of lengths) {
    const from = chance.int(5_000);
    const before = chance.int(2 ** 31);
    const to = from + length;
    assert.equal(
      crc32c(bytes, from, to, before),
      crc32cByTables(bytes, from, to, before),
      `${length} bytes from ${from} on`,
    );
  }
  // One bit anywhere changes it.
  const whole = crc32c(bytes, 0, 200_000);
  for (let round = 0; round < 200; round++) {
    const at = chance.int(200_000);
    const bit = 1 << chance.int(8);
    bytes[at]! ^= bit;
    assert.notEqual(crc32c(bytes, 0, 200_000), whole, `bit ${bit} of byte ${at}`);
    bytes[at]! ^= bit;
  }
  assert.equal(crc32c(bytes, 0, 200_000), whole);
});
