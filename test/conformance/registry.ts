/**
 * What every schema registry promises (`SchemaRegistry` of `src/schema/registry.ts`), run against each implementation:
 * `conformance('embedded', async () => ({registry, reopen, close}))`. Subjects and schemas of a test are its own, so that a
 * server can be shared.
 */
import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {test} from 'node:test';
import type {PlatformError} from '../../src/errors.ts';
import type {SchemaRegistry} from '../../src/schema/registry.ts';
import type {AvroField, AvroRecord} from '../../src/schema/types.ts';

/** A registry that was opened for one test. */
export type OpenRegistry = {
  registry: SchemaRegistry;
  /** Another opening, as a start of the platform makes one. */
  reopen(): Promise<SchemaRegistry>;
  close(): Promise<void>;
};

const a: AvroField = {name: 'a', type: 'string'};
const b: AvroField = {name: 'b', type: ['null', 'long'], default: null};
const c: AvroField = {name: 'c', type: 'double'};
const phase: AvroField = {
  name: 'phase',
  type: {type: 'enum', name: 'phase', symbols: ['run', 'stop']},
  doc: 'How it stands.',
};

/** Registers the suite's tests under `name`. @param options of every test: `skip` with a reason */
export function conformance(
  name: string,
  open: () => Promise<OpenRegistry>,
  options: {skip: string | false} = {skip: false},
): void {
  const registryTest = (
    what: string,
    body: (
      opened: OpenRegistry,
      names: {subject: string; record: (...fields: AvroField[]) => AvroRecord},
    ) => Promise<void>,
  ) =>
    test(`${name}: ${what}`, options, async () => {
      const own = `t${randomBytes(6).toString('hex')}`;
      const opened = await open();
      try {
        await body(opened, {
          subject: `${own}.order-value`,
          record: (...fields) => ({type: 'record', name: own, namespace: 'shop', fields}),
        });
      } finally {
        await opened.close();
      }
    });

  registryTest(
    'a schema is registered once and has one id, whoever asks and under which subject',
    async (opened, names) => {
      const {registry} = opened;
      const {subject, record} = names;
      const schema = record(a, phase);
      const first = await registry.register(subject, schema);
      assert.deepEqual(first, {id: first.id, subject, version: 1, schema});
      assert.deepEqual(await registry.register(subject, schema), first);
      const other = await registry.register(`${subject}2`, schema);
      assert.deepEqual([other.id, other.version], [first.id, 1]);
      const again = await opened.reopen();
      assert.deepEqual(await again.register(subject, schema), first);
      assert.deepEqual(again.pending(), []);
      again.close();
    },
  );

  registryTest(
    'a schema that may follow is the next version; versions, the latest and ids are told',
    async ({registry}, {subject, record}) => {
      const one = await registry.register(subject, record(a));
      const two = await registry.register(subject, record(a, b));
      assert.deepEqual([one.version, two.version], [1, 2]);
      assert.notEqual(one.id, two.id);
      assert.deepEqual(await registry.versions(subject), [one, two]);
      assert.deepEqual(await registry.latest(subject), two);
      assert.deepEqual((await registry.byId(one.id))?.schema, one.schema);
      assert.deepEqual((await registry.byId(two.id))?.schema, two.schema);
      assert.ok((await registry.subjects()).includes(subject));
      const own = await registry.own();
      assert.deepEqual(
        own.filter(({id}) => id === one.id || id === two.id).map(({schema}) => schema),
        [one.schema, two.schema],
      );
    },
  );

  registryTest(
    'a schema that may not follow is refused with every reason, by field; nothing is registered',
    async ({registry}, {subject, record}) => {
      await registry.register(subject, record(a, b));
      const next = record({...a, type: 'long'}, b, c);
      const reasons = await registry.check(subject, next);
      assert.deepEqual(
        reasons.map(({code, path}) => `${code} ${path.replace(/^[^.]*/, '')}`),
        ['TYPE_MISMATCH .a', 'READER_FIELD_MISSING_DEFAULT_VALUE .c'],
      );
      await assert.rejects(registry.register(subject, next), (error: PlatformError) => {
        assert.equal(error.code, 'SCHEMA_INCOMPATIBLE');
        assert.match(error.message, /\.a: TYPE_MISMATCH[\s\S]*\.c: READER_FIELD_MISSING/);
        return true;
      });
      assert.equal((await registry.versions(subject)).length, 1);
      assert.deepEqual(await registry.check(subject, next, 'none'), []);
    },
  );

  registryTest('every rule is the one that it is named after', async ({registry}, {subject, record}) => {
    await registry.register(subject, record(a, b));
    const outcomes: Record<string, boolean> = {};
    const more = record(a, b, c);
    const less = record(b);
    for (const mode of ['backward', 'forward', 'full', 'none'] as const) {
      outcomes[`${mode}, a field more`] = (await registry.check(subject, more, mode)).length === 0;
      outcomes[`${mode}, a field less`] = (await registry.check(subject, less, mode)).length === 0;
    }
    assert.deepEqual(outcomes, {
      'backward, a field more': false,
      'backward, a field less': true,
      'forward, a field more': true,
      'forward, a field less': false,
      'full, a field more': false,
      'full, a field less': false,
      'none, a field more': true,
      'none, a field less': true,
    });
  });

  registryTest('what is not there is not there', async ({registry}, {subject}) => {
    assert.equal(await registry.byId(2_000_000_000), undefined);
    assert.equal(await registry.latest(subject), undefined);
    assert.deepEqual(await registry.versions(subject), []);
    assert.deepEqual(await registry.check(subject, '"string"'), []);
  });

  registryTest(
    'a rule that is to be enforced can be set and changed',
    async ({registry}, {subject, record}) => {
      await registry.register(subject, record(a, b), 'full', {enforce: true});
      await registry.register(subject, record(b), 'backward', {enforce: true});
      // Data of this can be read with the version before, not the other way round.
      const two = await registry.register(subject, record(b, c), 'forward', {enforce: true});
      assert.equal(two.version, 3);
    },
  );
}
