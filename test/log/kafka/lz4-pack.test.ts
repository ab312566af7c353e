/** Frames that are packed here: what our own reader and the lz4 of others (writer.test.ts: Kafka's Java client) make of them. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {lz4Frames} from '../../../src/log/kafka/lz4.ts';
import {lz4Frame} from '../../../src/log/kafka/lz4-pack.ts';

const backAndForth = (bytes: Uint8Array) => {
  const packed = lz4Frame(bytes);
  assert.deepEqual(Buffer.from(lz4Frames(Uint8Array.from(packed), 1 << 24)), Buffer.from(bytes));
  return packed;
};

/** Bytes of which some repeat what stood before them, near or far. */
const repetitive = fc
  .array(
    fc.oneof(
      fc.uint8Array({maxLength: 40}),
      fc.record({length: fc.integer({min: 1, max: 3_000}), back: fc.integer({min: 1, max: 70_000})}),
    ),
    {maxLength: 60},
  )
  .map((pieces) => {
    const bytes: number[] = [];
    for (const piece of pieces)
      if (piece instanceof Uint8Array) bytes.push(...piece);
      else
        for (let i = 0; i < piece.length; i++)
          bytes.push(bytes.length < piece.back ? i & 255 : bytes[bytes.length - piece.back]!);
    return Uint8Array.from(bytes);
  });

test('whatever is packed comes back as it was', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({maxLength: 400}), repetitive), (bytes) => void backAndForth(bytes)),
    {
      numRuns: 400,
    },
  );
});

test('several blocks, repetitions across their borders, and bytes that cannot be packed', () => {
  const line = Buffer.from('{"user_id":"u-17","country":"DE","amount":12.34}\n');
  const text = Buffer.concat(Array.from({length: 20_000}, () => line));
  assert.ok(backAndForth(text).length < text.length / 50);
  let state = 1;
  const noise = Uint8Array.from({length: 600_000}, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    return state >>> 16;
  });
  assert.ok(backAndForth(noise).length < noise.length + 100);
  backAndForth(Buffer.concat([noise, noise.subarray(0, 60_000), text]));
});

test('the header is that of the specification', () => {
  // As the lz4 command writes it for independent blocks of 256 KiB without checksums.
  assert.deepEqual([...lz4Frame(new Uint8Array(0))], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x50, 0xfb, 0, 0, 0, 0]);
});
