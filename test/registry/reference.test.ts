/** Parsing, text and compatibility against Java's Avro, the reference implementation. */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {canRead} from '../../src/schema/compatibility.ts';
import {documentOf} from '../../src/schema/registry-document.ts';
import {Refusal} from '../../src/schema/registry-refusal.ts';
import type {AvroSchema} from '../../src/schema/types.ts';
import {type Random, random} from '../support/random.ts';
import {mutate, randomRecord} from './random-schema.ts';

const root = join(import.meta.dirname, '../..');
const jars = join(root, '.cache/avro-java');
const skip =
  existsSync(jars) || process.env.CI === 'true'
    ? false
    : 'needs Java’s Avro in .cache/avro-java: .ci/run installs it';

/** A line for each pair of reader and writer, as `java/Verdicts.java` writes it. */
async function verdicts(pairs: [string, string][]): Promise<string[][]> {
  const child = spawn(
    'java',
    ['-Dslf4j.internal.verbosity=ERROR', '-cp', `${jars}/*`, join(import.meta.dirname, 'java/Verdicts.java')],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  child.stdin.end(pairs.map((pair) => `${pair.join('\t')}\n`).join(''));
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString().split('\n').slice(0, -1);
  assert.equal(lines.length, pairs.length);
  return lines.map((line) => line.split('\t'));
}

const parsed = (text: string) => {
  try {
    return documentOf({text}, () => undefined, {checkDefaults: true, normal: false});
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
};

/** Ours finds a field under its name first; Java's gives up when an alias finds another. */
const ambiguous = (answer: string[]) => answer[0] === 'throws' && /matches multiple fields/.test(answer[1]!);

const pairOf = (seed: number, chance: Random = random(seed)): [string, string] => {
  const writer = randomRecord(chance, 3);
  const reader = chance.int(5) === 0 ? randomRecord(chance, 3) : mutate(chance, writer);
  const [one, other] = chance.int(2) === 0 ? [reader, writer] : [writer, reader];
  return [JSON.stringify(one), JSON.stringify(other)];
};

const odd = [
  '"string"',
  '{"type":"string"}',
  '{"type":"int","x":9223372036854775807}',
  '["null","null"]',
  '[["null"]]',
  '{"type":"nothing"}',
  '{"type":"array"}',
  '{"type":"map","items":"int"}',
  '{"type":"fixed","name":"f"}',
  '{"type":"fixed","name":"f","size":-1}',
  '{"type":"enum","name":"e","symbols":["a","a"]}',
  '{"type":"enum","name":"e","symbols":["a-b"]}',
  '{"type":"enum","name":"e","symbols":["a"],"default":"b"}',
  '{"type":"enum","name":"e","symbols":[]}',
  '{"type":"record","name":"r"}',
  '{"type":"record","fields":[]}',
  '{"type":"record","name":"1r","fields":[]}',
  '{"type":"record","name":"a..r","fields":[]}',
  '{"type":"record","name":"r","fields":[{"name":"x"}]}',
  '{"type":"record","name":"r","fields":[{"type":"int"}]}',
  '{"type":"record","name":"r","fields":[{"name":"x","type":"int"},{"name":"x","type":"int"}]}',
  '{"type":"record","name":"r","fields":[{"name":"x","type":"int","default":"a"}]}',
  '{"type":"record","name":"r","fields":[{"name":"x","type":"int","default":2147483648}]}',
  '{"type":"record","name":"r","fields":[{"name":"x","type":"long","default":9223372036854775807}]}',
  '{"type":"record","name":"r","fields":[{"name":"x","type":["null","int"],"default":1}]}',
  '{"type":"record","name":"r","fields":[{"name":"x","type":["null","int"],"default":"a"}]}',
  '{"type":"record","name":"r","fields":[{"name":"x","type":"int","order":"upwards"}]}',
  '{"type":"record","name":"r","fields":[{"name":"x","type":{"type":"array","items":"int"},"default":[1,2]}]}',
  '{"type":"record","name":"r","fields":[{"name":"x","type":"r"}]}',
  '{"type":"record","name":"r","namespace":"n","fields":[{"name":"x","type":["null","n.r"]}]}',
  '{"type":"record","name":"n.r","namespace":"m","fields":[]}',
  '{"type":"record","name":"r","namespace":"n","fields":[{"name":"x","type":{"type":"fixed","name":"f","namespace":"","size":1}}]}',
  '{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"fixed","name":"f","size":1}},{"name":"b","type":{"type":"fixed","name":"f","size":2}}]}',
  '{"type":"record","name":"r","aliases":"x","fields":[]}',
  '{"type":"record","name":"r","aliases":["x","n.y"],"doc":"d","p":{"b":1,"a":2},"fields":[]}',
  '{"type":["null"]}',
  '[]',
  '{}',
  '5',
  'null',
  'string',
  '{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}',
  '{"type":"bytes","logicalType":"decimal","precision":1,"scale":2}',
  '{"type":"int","logicalType":"uuid"}',
];

const pairs = Array.from({length: 4000}, (_, seed) => pairOf(seed));
/** Both tests ask at once: starting Java takes longer than the verdicts. */
let asking: Promise<string[][]> | undefined;
const asked = () =>
  (asking ??= verdicts([...pairs, ...odd.map((text): [string, string] => [text, '"null"'])]));

test('random pairs of schemas get the verdict, and the text, that Java’s Avro gives them', {
  skip,
}, async () => {
  const answers = (await asked()).slice(0, pairs.length);
  const counts = {compatible: 0, incompatible: 0, invalid: 0, ambiguous: 0};
  answers.forEach((answer, seed) => {
    const [reader, writer] = pairs[seed]!.map(parsed) as [
      ReturnType<typeof parsed>,
      ReturnType<typeof parsed>,
    ];
    const shown = `seed ${seed}: ${pairs[seed]!.join(' reads ')}: ${answer.join(' | ')}`;
    if (typeof reader === 'string' || typeof writer === 'string') {
      assert.equal(answer[0], 'invalid', `${shown}: ${typeof reader === 'string' ? reader : writer}`);
      counts.invalid++;
      return;
    }
    if (ambiguous(answer)) {
      counts.ambiguous++;
      return;
    }
    assert.deepEqual([reader.text, writer.text], answer.slice(0, 2), shown);
    const reasons = canRead(JSON.parse(reader.whole) as AvroSchema, JSON.parse(writer.whole) as AvroSchema);
    assert.equal(reasons.length === 0, answer[2] === '', `${shown}: ${JSON.stringify(reasons)}`);
    counts[reasons.length === 0 ? 'compatible' : 'incompatible']++;
  });
  assert.ok(counts.compatible > 1000 && counts.incompatible > 1000, JSON.stringify(counts));
});

test('odd schemas are taken or refused as Java’s Avro does', {skip}, async () => {
  const answers = (await asked()).slice(pairs.length);
  answers.forEach((answer, index) => {
    const ours = parsed(odd[index]!);
    const shown = `${odd[index]}: ${typeof ours === 'string' ? ours : ours.text}; Java: ${answer.join(' ')}`;
    assert.equal(typeof ours === 'string', answer[0] === 'invalid', shown);
    if (typeof ours !== 'string') assert.equal(ours.text, answer[0], shown);
  });
});
