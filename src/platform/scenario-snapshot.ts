/** Accepted results: `config/tests/snapshots/<test file>`, written only when somebody asks for it. */
import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {basename, dirname, join, relative} from 'node:path';
import {stringify} from 'yaml';
import type {Diagnostics} from '../config/diagnostics.ts';
import {readYaml} from '../config/files.ts';
import {child} from '../config/nodes.ts';
import {readExpectation} from './scenario-expect.ts';
import type {Expectation, Outcome, Suite} from './scenario-types.ts';
import {writtenValue} from './scenario-values.ts';

/** Where the snapshots of a test file lie. */
export const snapshotPath = ({path}: Suite): string => join(dirname(path), 'snapshots', basename(path));

/** What was accepted, by name of the test. Mistakes in the file go to `diagnostics`. */
export function readSnapshots(
  suite: Suite,
  root: string,
  diagnostics: Diagnostics,
): Map<string, Expectation> {
  const accepted = new Map<string, Expectation>();
  const path = snapshotPath(suite);
  if (!existsSync(path)) return accepted;
  const {node} = readYaml(root, path, diagnostics);
  const tests = child(node, 'tests');
  if (tests?.kind !== 'map') return accepted;
  const {domain, plans} = suite;
  for (const [name, {value}] of tests.entries) {
    const expectation = readExpectation(value, ['tests', name], {
      domain,
      plans,
      date: '2026-01-05',
      diagnostics,
    });
    if (expectation) accepted.set(name, expectation);
  }
  return accepted;
}

/** Writes what came out as what is accepted from now on. @returns the path. */
export function writeSnapshots(suite: Suite, root: string, outcomes: Map<string, Outcome>): string {
  const path = snapshotPath(suite);
  const tests = Object.fromEntries([...outcomes].map(([name, outcome]) => [name, written(suite, outcome)]));
  const shown = relative(root, path);
  mkdirSync(dirname(path), {recursive: true});
  writeFileSync(
    path,
    `# Accepted results of ${suite.file}, written by: millrace test --update\n# Read what changed here before you commit it.\n${stringify({tests}, {lineWidth: 0})}`,
  );
  return shown;
}

function written({plans}: Suite, {rows, deadLetters, late}: Outcome): unknown {
  return {
    rows: Object.fromEntries(
      plans.map(({query, table}) => [
        query,
        (rows.get(query) ?? []).map((row) =>
          Object.fromEntries(
            table.columns
              .filter(({name}) => name !== 'deleted')
              .map(({name, type}) => [name, writtenValue(row[name]!, type)]),
          ),
        ),
      ]),
    ),
    dead_letters: deadLetters.map(({event_type = '', stage = '', code = '', event_id = ''}) =>
      Object.fromEntries(
        Object.entries({event_type, stage, code, event_id}).filter(([, value]) => value !== ''),
      ),
    ),
    late: late.map(({missed, ...fields}) => ({...fields, missed: String(missed).split(' ')})),
  };
}
