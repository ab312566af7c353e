import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {setTimeout as sleep} from 'node:timers/promises';
import {PlatformError} from '../../src/errors.ts';
import {until} from '../support/until.ts';
import {brief, Modules, orderInput, runAll, withModules} from './world.ts';

const inputs = (count: number, extra: Parameters<typeof orderInput>[1] = null) =>
  Array.from({length: count}, (_, n) => orderInput(n, extra));

test('an event becomes one, several, none, or a rejection; also from an async function', async () => {
  await withModules(async (modules) => {
    const runner = modules.runner(
      modules.eventType(`export default async (event, {reject}) => {
        switch (event.quantity) {
          case 0: return {...event, country: 'one'};
          case 1: return [{...event, country: 'a'}, {...event, country: 'b'}];
          case 2: return [];
          case 3: return null;
          case 4: return;
          case 5: return reject('NOT_OURS', 'of ' + event.country);
          case 6: await null; return {country: typeof event.amount + event.amount};
          case 7: return {country: event.extra.deep[0] + event.timestamp};
        }
      };`),
    );
    assert.deepEqual(
      (await runAll(runner, inputs(8, '{"extra":{"deep":["x"]},"country":"ignored"}'))).map(brief),
      ['one', 'a b', '', '', '', 'REJECTED:NOT_OURS: of DE', 'string6.50', 'x1700000000007'],
    );
  });
});

test('what is no event, or too much of it, is refused with what is wrong', async () => {
  await withModules(async (modules) => {
    const bodies: [string, RegExp][] = [
      ['return "text"', /^TRANSFORM_OUTPUT: the transform returned string, and not an event/],
      ['return true', /returned boolean/],
      ['return [event, 7]', /^TRANSFORM_OUTPUT: result 2 of 2 is no event$/],
      ['return [[event]]', /result 1 of 1 is no event/],
      ['return [event, reject("X")]', /result 2 of 2 is a rejection; return reject\(\.\.\.\) alone/],
      ['return Array(11).fill(event)', /^TRANSFORM_OUTPUT: the transform returned 11 events of one record/],
      ['const a = []; a.length = 2 ** 32 - 1; return a', /returned 4294967295 events/],
      ['return {...event, country: "x".repeat(2 ** 28)}', /hold more than 1048576 characters/],
      [
        'return Array(10).fill({...event, country: "x".repeat(2 ** 17)})',
        /hold more than 1048576 characters/,
      ],
      ['throw null', /^TRANSFORM_ERROR: threw null$/],
      ['throw "text"', /^TRANSFORM_ERROR: threw "text"$/],
      ['throw Object.create(null)', /^TRANSFORM_ERROR: threw something that has no text$/],
      ['throw new RangeError("too\\nlong")', /^TRANSFORM_ERROR: order.ts:\d+: RangeError: too$/],
      [
        'return event.missing.deep',
        /^TRANSFORM_ERROR: order.ts:\d+: TypeError: Cannot read properties of undefined/,
      ],
      [
        'return {get country() { throw new Error("getter"); }}',
        /^TRANSFORM_ERROR: order.ts:\d+: Error: getter$/,
      ],
      ['return {then(yes, no) { no(new Error("thenable")); }}', /Error: thenable/],
      [
        'return reject("no code")',
        /^TRANSFORM_ERROR: .*the code is made of capitals, digits and _, not no code$/,
      ],
      ['return reject()', /not undefined$/],
      ['(function again() { again(); })()', /^TRANSFORM_ERROR: .*RangeError: Maximum call stack/],
      ['return event', /^DE$/],
    ];
    const cases = bodies.map(([body], n) => `case ${n}: { ${body}; }`).join('\n');
    const runner = modules.runner(
      modules.eventType(`export default (event, {reject}) => {\n switch (event.quantity) {\n${cases}\n}\n};`),
    );
    const outcomes = (await runAll(runner, inputs(bodies.length))).map(brief);
    for (const [n, [body, wanted]] of bodies.entries()) assert.match(outcomes[n]!, wanted, body);
  });
});

test('values that no field can hold stay in the thread as what they are: not scalars', async () => {
  await withModules(async (modules) => {
    const runner = modules.runner(
      modules.eventType(`export default () => ({
        country: Symbol('s'), amount: () => 1, user_id: {}, quantity: 10n ** 400n, timestamp: new Date(5),
      });`),
    );
    const [outcome] = await runner.run(inputs(1));
    assert.ok(outcome?.kind === 'events');
    assert.deepEqual(outcome.values, [null, new Date(5), [], [], [], 2n ** 70n]);
  });
});

test('a record on which the transform never returns is found, the others are done, before and after it', async () => {
  for (const [what, code] of [
    ['for (;;);', 'TRANSFORM_TIMEOUT: the transform did not return within 150 ms'],
    ['return new Promise(() => {});', 'TRANSFORM_TIMEOUT: the transform did not return within 150 ms'],
    ['process.exit(3);', 'TRANSFORM_ENDED: the transform ended its thread (exit code 3)'],
  ] as const)
    await withModules(async (modules) => {
      const runner = modules.runner(
        modules.eventType(
          `export default (event) => { if (event.quantity === 0 || event.quantity === 3) { ${what} } return event; };`,
          {timeoutMs: 150},
        ),
      );
      const outcomes = (await runAll(runner, inputs(6))).map(brief);
      assert.deepEqual(outcomes, [code, 'DE', 'DE', code, 'DE', 'DE'], what);
    });
});

test('a transform that takes all memory ends its own thread alone', async () => {
  await withModules(async (modules) => {
    const runner = modules.runner(
      modules.eventType(`export default (event) => {
        if (event.quantity !== 1) return event;
        for (const kept = []; ; ) kept.push(new Array(10000).fill(kept.length));
      };`),
      {memoryMiB: 24},
    );
    assert.deepEqual((await runAll(runner, inputs(3))).map(brief), [
      'DE',
      'TRANSFORM_ENDED: the transform ran out of memory',
      'DE',
    ]);
  });
});

test('bent prototypes stay in the thread, and what an event inherits is none of its values', async () => {
  await withModules(async (modules) => {
    const runner = modules.runner(
      modules.eventType(`export default (event) => {
        Object.prototype.country = 'polluted';
        Array.prototype.toJSON = () => 'bent';
        const {country, ...rest} = event;
        return rest;
      };`),
    );
    const evil = '{"__proto__":{"country":"evil"},"constructor":{"prototype":{"country":"evil"}}}';
    assert.deepEqual((await runAll(runner, inputs(2, evil))).map(brief), ['null', 'null']);
    assert.equal(({} as {country?: string}).country, undefined);
    assert.equal('toJSON' in [], false);
  });
});

test('what a record leaves behind is told, and laid on no other record; what it prints becomes messages', async () => {
  await withModules(async (modules) => {
    const runner = modules.runner(
      modules.eventType(`export default async (event) => {
        if (event.quantity === 0) {
          console.log('seen ' + event.user_id);
          Promise.reject(new Error('forgotten'));
          setTimeout(() => { throw new Error('later'); }, 1);
        } else await new Promise((resolve) => setTimeout(resolve, 20));
        return event;
      };`),
    );
    assert.deepEqual((await runAll(runner, inputs(3))).map(brief), ['DE', 'DE', 'DE']);
    await until(
      () => modules.logged.length >= 3,
      () => JSON.stringify(modules.logged),
    );
    const messages = modules.logged.map(({level, message}) => `${level} ${message}`).sort();
    assert.deepEqual(messages.length, 3, messages.join('\n'));
    assert.match(messages[0]!, /^info transform of shop.order \(order.ts\): seen u0$/);
    assert.match(messages[1]!, /^warn .*left behind failed: order.ts:\d+: Error: forgotten$/);
    assert.match(messages[2]!, /^warn .*left behind failed: order.ts:\d+: Error: later$/);
  });
});

test('a module that cannot be loaded is an error that names the line', async () => {
  const broken: [string, RegExp][] = [
    ['export default (event) => {\n  return event.;\n};', /order.ts:2: SyntaxError/],
    ['throw new Error("at load");', /order.ts:1: Error: at load/],
    ['export const transform = () => null;', /has no function as its default export/],
    ['import "./gone.ts"; export default () => null;', /Cannot find module/],
    ['await new Promise(() => {}); export default () => null;', /was not loaded|thread ended/],
    ['process.exit(0);', /its thread ended \(exit code 0\)/],
  ];
  for (const [text, wanted] of broken)
    await withModules(async (modules) => {
      const runner = modules.runner(modules.eventType(text), {loadMs: 400});
      const error = await runner.run(inputs(1)).then(
        () => assert.fail(text),
        (caught: unknown) => caught,
      );
      assert.ok(error instanceof PlatformError && error.code === 'TRANSFORM_LOAD', String(error));
      assert.match(error.message, wanted, text);
    });
});

test('a pipe that a module imports is told and not waited for: its thread could not be ended', async () => {
  await withModules(async (modules) => {
    const eventType = modules.eventType('import "./pipe.ts"; export default () => null;');
    execFileSync('mkfifo', [join(dirname(eventType.transform!.path), 'pipe.ts')]);
    await assert.rejects(modules.runner(eventType).run(inputs(1)), {
      code: 'TRANSFORM_LOAD',
      message: /pipe\.ts cannot be read: it is a pipe or a device and may never end/,
    });
  });
});

test('a changed file is taken up, an imported one too; a broken edit keeps the old version and says where', async () => {
  await withModules(async (modules) => {
    const version = (text: string) => `export const country = ${text};`;
    modules.write('part.ts', version(`'v1'`));
    const eventType = modules.eventType(
      `import {country} from './part.ts'; export default (event) => ({...event, country});`,
    );
    const runner = modules.runner(eventType, {reload: true, reloadMs: 10});
    const current = async () => brief((await runner.run(inputs(1)))[0]!);
    assert.equal(await current(), 'v1');
    modules.write('part.ts', version(`'version 2'`));
    await until(async () => (await current()) === 'version 2', 'the new version is used');
    modules.write('part.ts', `${version(`'broken'`)}\nconst = 1;`);
    await until(async () => modules.logged.some(({level}) => level === 'warn'), 'the broken edit is told');
    assert.equal(await current(), 'version 2');
    const warning = modules.logged.find(({level}) => level === 'warn')!.message;
    assert.match(warning, /changed, and the old version goes on: .*part.ts:2: SyntaxError/);
    modules.write('part.ts', version(`'the third version'`));
    await until(async () => (await current()) === 'the third version', 'the mended version is used');
  });
});

test('whoever waits for a transform that is closed is refused', async () => {
  const modules = new Modules();
  const runner = modules.runner(modules.eventType('export default () => new Promise(() => {});'));
  const waiting = [runner.run(inputs(2)), runner.run(inputs(1))].map((run) =>
    run.then(
      () => 'done',
      (error: unknown) => (error instanceof PlatformError ? error.code : String(error)),
    ),
  );
  await sleep(100);
  await modules.close();
  assert.deepEqual(await Promise.all(waiting), ['TRANSFORM_STOPPED', 'TRANSFORM_STOPPED']);
});
