import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {Diagnostics} from '../../src/config/diagnostics.ts';
import {type ConfigNode, child, nodeAt, placeInside, type ScalarNode} from '../../src/config/nodes.ts';
import {SourceFile} from '../../src/config/source.ts';
import {decodeText, parseYaml} from '../../src/config/yaml.ts';
import {yamlLimits} from '../../src/config/yaml-nodes.ts';

function parse(text: string) {
  const diagnostics = new Diagnostics();
  const node = parseYaml(new SourceFile('/x/a.yaml', 'a.yaml', text), diagnostics);
  return {node, codes: diagnostics.all().map(({code, line}) => `${code}:${line ?? '-'}`)};
}

function refuses(text: string, ...codes: string[]): void {
  const parsed = parse(text);
  assert.deepEqual(parsed.codes, codes);
  assert.equal(parsed.node, undefined);
}

test('a billion laughs is refused before it is followed', () => {
  const levels = Array.from(
    {length: 9},
    (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(', ')}]`,
  );
  refuses(['l0: &l0 ha', ...levels].join('\n'), 'YAML_ALIASES:1');
});

test('aliases that nest deeper than the text does are refused', () => {
  const levels = Array.from({length: 200}, (_, i) => `l${i + 1}: &l${i + 1} [*l${i}]`);
  refuses(['l0: &l0 ha', ...levels].join('\n'), 'YAML_TOO_DEEP:1');
});

test('more aliases than allowed are refused while reading', () => {
  refuses(`a: &a 1\nb: [${'*a, '.repeat(yamlLimits.aliasesMax + 1)}]`, 'YAML_ALIASES:2');
});

test('deep nesting is refused, in flow and block style', () => {
  refuses('['.repeat(100_000), 'YAML_TOO_DEEP:1');
  refuses('{a: '.repeat(50_000), 'YAML_TOO_DEEP:1');
  refuses('- '.repeat(100_000), 'YAML_TOO_DEEP:1');
  refuses(Array.from({length: 500}, (_, i) => `${' '.repeat(i)}a:`).join('\n'), 'YAML_TOO_DEEP:64');
});

test('tags, directives and merge keys are refused', () => {
  refuses('a: !!binary aGk=\nb: !mine 1', 'YAML_TAG:1', 'YAML_TAG:2');
  refuses('%YAML 1.1\n---\na: yes', 'YAML_DIRECTIVE:1');
  refuses('a: &a {x: 1}\nb:\n  <<: *a', 'YAML_MERGE_KEY:3');
});

test('a tag sign inside text is text', () => {
  const {node, codes} = parse('a: "!x *y"\nb: |\n  !z\n  *w\nc: hi !there');
  assert.deepEqual(codes, []);
  assert.equal((child(node, 'b') as ScalarNode).value, '!z\n*w\n');
});

test('duplicate keys are refused with both places', () => {
  const diagnostics = new Diagnostics();
  parseYaml(new SourceFile('/x', 'x', 'a: 1\nb: {c: 1, c: 2}\na: 2'), diagnostics);
  assert.deepEqual(
    diagnostics.all().map(({code, line, column, hint}) => [code, line, column, hint]),
    [
      ['YAML_DUPLICATE_KEY', 2, 11, 'the first is on line 2; keep one'],
      ['YAML_DUPLICATE_KEY', 3, 1, 'the first is on line 1; keep one'],
    ],
  );
});

test('keys that reach a prototype are refused, also in quotes', () => {
  refuses('__proto__: {a: 1}', 'YAML_KEY:1');
  refuses('a: {"constructor": 1}', 'YAML_KEY:1');
  refuses('a:\n  - prototype: 1', 'YAML_KEY:2');
  assert.equal(({} as {a?: number}).a, undefined);
});

test('a second document, a list as key and a secret in a key are refused', () => {
  refuses('a: 1\n---\nb: 2', 'YAML_DOCUMENTS:2');
  refuses('? [a]\n: 1', 'YAML_KEY:1');
  refuses('"${secret:x}": 1', 'SECRET_NOT_HERE:1');
});

test('unknown anchors and anchors around themselves are refused', () => {
  refuses('a: *nope', 'YAML_ALIASES:1');
  refuses('a: &a [1, *a]', 'YAML_ALIASES:1');
});

test('of syntax errors that follow from one another the first is told', () => {
  refuses("a: 'x' || y\nb: 1\nc: 2", 'YAML_SYNTAX:1');
});

test('keys are the words as written: null, true and numbers too', () => {
  const {node} = parse('null: [NA]\ntrue: 1\n1.10: x\nno: no');
  assert.deepEqual(
    [...(node as {entries: Map<string, unknown>}).entries.keys()],
    ['null', 'true', '1.10', 'no'],
  );
  assert.equal((child(node, 'no') as ScalarNode).value, 'no');
});

test('an empty file is an empty map', () => {
  for (const text of ['', '# nothing\n', '---\n', 'null'])
    assert.equal((parse(text).node as {entries: Map<string, unknown>}).entries.size, 0, JSON.stringify(text));
});

test('text that is not UTF-8 or too large is refused', () => {
  const diagnostics = new Diagnostics();
  assert.equal(decodeText(Uint8Array.of(0x61, 0x3a, 0x0a, 0xff), 'bad.yaml', diagnostics), undefined);
  assert.equal(decodeText(new Uint8Array(yamlLimits.bytesMax + 1), 'large.yaml', diagnostics), undefined);
  assert.equal(decodeText(Buffer.from('\ufeffa: 1'), 'bom.yaml', diagnostics), 'a: 1');
  assert.deepEqual(
    diagnostics.all().map(({file, code, message}) => [file, code, message]),
    [
      ['bad.yaml', 'YAML_ENCODING', 'the file is not UTF-8 (line 2)'],
      ['large.yaml', 'YAML_TOO_LARGE', 'the file has 1048577 bytes, at most 1048576 are read'],
    ],
  );
});

test('an alias has the place of its anchor', () => {
  const {node} = parse('a: &x {k: v}\nb: *x');
  const {place} = nodeAt(node as ConfigNode, ['b', 'k']).node;
  assert.deepEqual(place.file.position(place.start), {line: 1, column: 11});
});

test('a part of a scalar is found in plain, quoted, folded and literal text', () => {
  const marked = (yaml: string, word: string) => {
    const {node} = parse(yaml);
    const scalar = child(node, 'e') as ScalarNode;
    const offset = (scalar.value as string).indexOf(word);
    assert.ok(offset >= 0, yaml);
    const {file, start, end} = placeInside(scalar, offset, word.length);
    const {line, column} = file.position(start);
    return `${line}:${column} ${file.text.slice(start, end)}`;
  };
  assert.equal(marked('e: amount > zero', 'zero'), '1:13 zero');
  assert.equal(marked("e: 'it''s = zero'", 'zero'), '1:13 zero');
  assert.equal(marked('e: "a\\t\\u0041 = zero"', 'zero'), '1:17 zero');
  assert.equal(marked('e: a >\n   zero', 'zero'), '2:4 zero');
  assert.equal(marked('e: >\n  a >\n  zero', 'zero'), '3:3 zero');
  assert.equal(marked('e: |\n    a >\n      zero\n', 'zero'), '3:7 zero');
  assert.equal(marked('e: "a >\n  zero"', 'zero'), '2:3 zero');
  assert.equal(marked('e: "a \\\n  zero"', 'zero'), '2:3 zero');
});

const yamlish = fc.oneof(
  fc.string({unit: 'binary', maxLength: 200}),
  fc
    .array(
      fc.constantFrom(
        'a: ',
        'b',
        ': ',
        '- ',
        '\n',
        '\n  ',
        '{',
        '}',
        '[',
        ']',
        ',',
        '"',
        "'",
        '&a ',
        '*a',
        '|\n',
        '>-\n',
        '!x ',
        '<<: ',
        '# c',
        '? ',
        '---\n',
        '...',
        '%',
        '\t',
        '\r\n',
        '\ud83d\ude00',
        '__proto__',
        '\\u00',
        '1e999',
        '~',
      ),
      {maxLength: 60},
    )
    .map((parts) => parts.join('')),
);

test('whatever the text, parsing answers, and every place lies in the file', () => {
  fc.assert(
    fc.property(yamlish, (text) => {
      const diagnostics = new Diagnostics();
      const file = new SourceFile('/x', 'x', text);
      const node = parseYaml(file, diagnostics);
      assert.equal(node === undefined, diagnostics.hasErrors);
      const lines = text.split('\n').length;
      for (const {line, column, source} of diagnostics.all()) {
        assert.ok(line! >= 1 && line! <= lines);
        assert.ok(column! <= text.split('\n')[line! - 1]!.length + 1);
        assert.ok(column! >= 1 && source!.length <= 120);
      }
      if (node) checkPlaces(node, text.length);
    }),
    {numRuns: 2000},
  );
});

function checkPlaces(node: ConfigNode, length: number): void {
  const {start, end} = node.place;
  assert.ok(0 <= start && start <= end && end <= length);
  if (node.kind === 'list') for (const item of node.items) checkPlaces(item, length);
  else if (node.kind === 'map') for (const {value} of node.entries.values()) checkPlaces(value, length);
  else if (typeof node.value === 'string')
    for (let i = 0; i <= node.value.length; i++) {
      const inside = placeInside(node, i, 1);
      assert.ok(start <= inside.start && inside.start <= inside.end && inside.end <= Math.max(end, start));
    }
}
