import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join, resolve} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {asTyped, invocation, useKeyPlaces, withKeyPlaces} from '../src/invocation.ts';

const home = dirname(dirname(fileURLToPath(import.meta.url)));

test('inside the clone npx finds the program', () => {
  assert.equal(invocation(home), 'npx millrace');
  assert.equal(invocation(join(home, 'examples')), 'npx millrace');
});

test('elsewhere it is started by its path, unless it is installed there', () => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-invocation-'));
  try {
    const [, path] = invocation(dir).match(/^node (.*)$/)!;
    assert.equal(resolve(dir, path!), join(home, 'bin', 'millrace.js'));
    assert.equal(asTyped('then: npx millrace run', dir), `then: node ${path} run`);
    mkdirSync(join(dir, 'node_modules/.bin'), {recursive: true});
    writeFileSync(join(dir, 'node_modules/.bin/millrace'), '');
    assert.equal(invocation(join(dir, 'sub')), 'npx millrace');
  } finally {
    rmSync(dir, {recursive: true, force: true});
  }
});

test('a sibling whose name begins like that of the clone is not inside it', () => {
  assert.match(invocation(`${home}-copy`), /^node /);
});

test('a key is told with its place, whatever its file is called', (t) => {
  const place = "config/environments/$&$'.yaml:1:2";
  useKeyPlaces(new Map([['log.kafka.brokers', place]]));
  t.after(() => useKeyPlaces(new Map()));
  assert.equal(withKeyPlaces('see log.kafka.brokers now'), `see log.kafka.brokers (${place}) now`);
});
