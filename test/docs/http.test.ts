/** docs/http.md names every path that is served, and no other. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';

const read = (path: string) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8');

test('the page of HTTP paths has those of the server', () => {
  const served = [...read('src/platform/routes.ts').matchAll(/^ {4}'((?:GET|POST) [^']+)':/gm)].map(
    ([, key]) => key!,
  );
  assert.ok(served.length > 8, `${served.length} paths`);
  const [, open = '', withToken = ''] = read('docs/http.md').split(/^## (?:Open|With the token)$/m);
  const listed = (text: string) => [...text.matchAll(/^\| `((?:GET|POST) [^`]+)`/gm)].map(([, key]) => key!);
  assert.deepEqual([...listed(open), ...listed(withToken)].sort(), served.sort());
  assert.deepEqual(
    listed(open).filter((key) => key.includes('/v1/')),
    [],
  );
});
