import assert from 'node:assert/strict';
import {test} from 'node:test';
import {murmur2, partitionOf, partitionOfBytes} from '../../src/log/partition.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

test("murmur2 gives the values of Kafka's own test", () => {
  // org.apache.kafka.common.utils.UtilsTest.testMurmur2
  const vectors: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ];
  for (const [text, expected] of vectors) assert.equal(murmur2(bytes(text)), expected, text);
});

test('a range of a larger array hashes as the range alone', () => {
  const padded = bytes('..foobar...');
  assert.equal(murmur2(padded, 2, 8), -790332482);
});

test("a negative hash gives Kafka's partition: the sign bit is cleared, not the sign", () => {
  // -973932308 & 0x7fffffff = 1173551340
  assert.equal(partitionOfBytes(bytes('21'), 1000), 340);
  assert.equal(partitionOf('21', 'unused', 1000), 340);
});

test('a record without a key goes by its event id', () => {
  assert.equal(partitionOf(null, '21', 1000), 340);
});

test('keys longer than the scratch buffer and beyond ASCII are hashed by their UTF-8 bytes', () => {
  const key = 'ä€😀'.repeat(1000);
  assert.equal(partitionOf(key, '', 7), partitionOfBytes(bytes(key), 7));
});
