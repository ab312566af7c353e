/**
 * What every secret backend promises (`SecretBackend` of `src/config/secrets/types.ts`), run against each implementation:
 * `conformance('file', async (secrets) => backend)`, where the backend holds these names and values.
 */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {SecretBackend} from '../../src/config/secrets/types.ts';

const canary = 'CANARY of the suite';

/** Registers the suite's tests under `name`. @param options of every test: `skip` with a reason */
export function conformance(
  name: string,
  open: (secrets: Record<string, string>) => Promise<SecretBackend>,
  options: {skip: string | false} = {skip: false},
): void {
  const backendTest = (
    what: string,
    secrets: Record<string, string>,
    body: (backend: SecretBackend) => Promise<void>,
  ) =>
    test(`${name}: ${what}`, options, async () => {
      const backend = await open(secrets);
      try {
        await body(backend);
      } finally {
        await backend.close?.();
      }
    });

  const values = {
    plain: 'abc',
    password: 'p@ss "word" \'with\' \\ $HOME ${secret:plain} # and = signs',
    unicode: 'Zürich 東京 🔑',
    'with.dots-and_more': canary,
  };
  backendTest('a secret is its text, whatever that holds', values, async (backend) => {
    for (const [key, value] of Object.entries(values)) assert.equal(await backend.read(key), value, key);
  });

  backendTest('many may be asked for at once, and again', values, async (backend) => {
    const names = Array.from({length: 40}, (_, index) => Object.keys(values)[index % 4]!);
    const read = () => Promise.all(names.map((each) => backend.read(each)));
    assert.deepEqual(await read(), await read());
  });

  backendTest(
    'a name that is not there is undefined, never a failure, and no name of JavaScript',
    values,
    async (backend) => {
      for (const each of ['nothing', 'constructor', 'toString', '__proto__', 'plain2', 'elsewhere#plain']) {
        assert.equal(await backend.read(each), undefined, each);
        assert.doesNotMatch((await backend.hint?.(each)) ?? '', new RegExp(canary));
      }
    },
  );
}
