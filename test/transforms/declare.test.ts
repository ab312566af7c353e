import assert from 'node:assert/strict';
import {execFileSync, spawnSync} from 'node:child_process';
import {existsSync, readFileSync, rmSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';
import type {ValueType} from '../../src/expr/types.ts';
import {declareTypes} from '../../src/transforms/declare.ts';
import {moduleDigest} from '../../src/transforms/digest.ts';
import {openTransforms} from '../../src/transforms/open.ts';
import {domain, order} from '../ingest/world.ts';
import {field} from '../support/fields.ts';
import {withModules} from './world.ts';

const types: ValueType[] = [
  'string',
  'int',
  'long',
  'double',
  'boolean',
  'timestamp',
  'date',
  'uuid',
  'money',
  'enum',
];
const everything = domain(
  order({
    fields: [
      ...order().fields.slice(0, 2),
      ...types.flatMap((type) => {
        const symbols = type === 'enum' ? {symbols: ['red', 'green']} : {};
        return [
          field(`a_${type}`, type, {...symbols, doc: 'ends */ declare const x: 1; /*\n and goes on'}),
          field(`needs_${type}`, type, {...symbols, required: true}),
        ];
      }),
      field('constructor', 'string'),
    ],
  }),
);

const good = `import type {Transform} from './shop.d.ts';
const transform: Transform<'order'> = async (event, {reject}) => {
  const when: number = event.timestamp + (event.a_timestamp ?? 0);
  const id: string = event.event_id;
  const color: 'red' | 'green' | null = event.a_enum;
  const money: string | null = event.a_money;
  const long: number | bigint | null = event.needs_long;
  if (typeof event.anything === 'object') return reject('NOT_OURS', id + color + money + long);
  if (when > 5) return null;
  return [event, {...event, a_long: 5n, a_date: new Date(0), a_timestamp: '2024-01-01T00:00:00Z', a_money: 1.5, timestamp: new Date()}];
};
export default transform;
`;
/** Each line is a mistake that the types find. */
const mistakes: [string, RegExp][] = [
  [`return {...event, a_enum: 'blue' as const};`, /blue/],
  [`return {...event, a_int: '5'};`, /a_int/],
  [`return {...event, needs_boolean: 1};`, /needs_boolean/],
  [`return {a_string: 'x'};`, /needs_/],
  [`return {...event, a_string: event.a_strnig};`, /unknown/],
  [`return reject('not ours');`, /Uppercase/],
  [`return 'text';`, /string/],
];

test('the types hold a good transform and find the mistakes of others', async () => {
  await withModules(async (modules) => {
    modules.write('shop.d.ts', declareTypes(everything));
    const files = [modules.write('good.ts', good)];
    for (const [n, [line]] of mistakes.entries())
      files.push(
        modules.write(
          `bad${n}.ts`,
          `import type {Transform} from './shop.d.ts';\nconst transform: Transform<'order'> = (event, {reject}) => {\n  void reject;\n  ${line}\n};\nexport default transform;\n`,
        ),
      );
    const root = fileURLToPath(new URL('../..', import.meta.url));
    const options =
      '--noEmit --strict --target esnext --module nodenext --allowImportingTsExtensions --types'.split(' ');
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const {stdout} = spawnSync(process.execPath, [compiler, ...options, '', ...files], {
      cwd: modules.dir,
      encoding: 'utf8',
    });
    const problems = stdout.split(/\n(?=\S)/);
    const of = (name: string) => problems.filter((problem) => problem.startsWith(name)).join('\n');
    assert.equal(of('good.ts'), '');
    assert.equal(of('shop.d.ts'), '', 'the declarations themselves are right');
    for (const [n, [line, wanted]] of mistakes.entries()) assert.match(of(`bad${n}.ts`), wanted, line);
  });
});

test('in development the types are written beside the transforms, and written again only when they changed', async () => {
  await withModules(async (modules) => {
    const eventType = modules.eventType('export default (event) => event;');
    const path = join(dirname(eventType.transform!.path), 'shop.d.ts');
    const open = (develop: boolean) =>
      openTransforms([domain(eventType)], {telemetry: modules.telemetry, develop}).close();
    await open(false);
    assert.equal(existsSync(path), false);
    await open(true);
    assert.equal(readFileSync(path, 'utf8'), declareTypes(domain(eventType)));
    modules.write('shop.d.ts', 'old');
    await open(true);
    assert.match(readFileSync(path, 'utf8'), /export type Transform/);
    const messages = () => modules.logged.map(({message}) => message);
    assert.deepEqual(messages(), []);
    rmSync(path);
    execFileSync('mkfifo', [path]);
    await open(true);
    assert.equal(messages().length, 1);
    assert.match(messages()[0]!, /shop\.d\.ts was not written: it is a pipe/);
    assert.match(moduleDigest(path), /^[0-9a-f]{64}$/, 'it is not waited for');
  });
});
