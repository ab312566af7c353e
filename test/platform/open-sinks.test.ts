import assert from 'node:assert/strict';
import {test} from 'node:test';
import {testClock} from '../../src/clock.ts';
import {createOpenings, giveUpMs, slowMs} from '../../src/platform/open-sinks.ts';
import {openOutputs} from '../../src/platform/outputs.ts';
import {buildPlan} from '../../src/process/plan/build.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {filePlatform, makeRoot} from '../support/cli.ts';
import {platformOf} from '../support/running.ts';
import {until} from '../support/until.ts';

/** Openings that are finished by hand. */
function world() {
  const clock = testClock(0);
  const begun: {name: string; signal: AbortSignal; done(): void; fail(error: Error): void}[] = [];
  const closed: string[] = [];
  const openings = createOpenings<string>(
    (name, signal) => {
      const {promise, resolve, reject} = Promise.withResolvers<string>();
      const number = begun.length;
      begun.push({name, signal, done: () => resolve(`${name}${number}`), fail: reject});
      return promise;
    },
    async (opened) => void closed.push(opened),
    clock,
    (name) => `sink ${name} (platform.yaml:3:5)`,
  );
  return {clock, begun, closed, openings};
}

test('a sink that does not open keeps others waiting once, and for a time; it is there when it has opened', async () => {
  const {clock, begun, openings} = world();
  const first = openings.open('a');
  const second = openings.open('a');
  for (const each of [first, second]) each.catch(() => {});
  await clock.advance(slowMs);
  const late = {
    code: 'SINK_UNAVAILABLE',
    message: /has not opened within 30 s/,
    place: 'sink a (platform.yaml:3:5)',
  };
  await assert.rejects(first, late);
  await assert.rejects(second, late);
  assert.equal(openings.isSlow('a'), true);
  const third = openings.open('a');
  third.catch(() => {});
  await clock.advance(0);
  await assert.rejects(third, late);
  assert.equal(begun.length, 1);
  begun[0]!.done();
  assert.equal(await openings.open('a'), 'a0');
  assert.equal(openings.isSlow('a'), false);
});

test('an opening that hangs is given up and begun anew; what comes too late is closed again', async () => {
  const {clock, begun, closed, openings} = world();
  openings.open('a').catch(() => {});
  await clock.advance(giveUpMs);
  assert.equal(begun[0]!.signal.aborted, true);
  openings.open('a').catch(() => {});
  assert.equal(begun.length, 2);
  begun[0]!.done();
  begun[1]!.done();
  assert.equal(await openings.open('a'), 'a1');
  assert.deepEqual(closed, ['a0']);
});

test('one that fails to open is tried again by the next who wants it', async () => {
  const {begun, openings} = world();
  const first = openings.open('a');
  begun[0]!.fail(new Error('refused'));
  await assert.rejects(first, /refused/);
  const second = openings.open('a');
  begun[1]!.done();
  assert.equal(await second, 'a1');
});

test('the end does not wait for a sink that hangs', async () => {
  const {clock, begun, closed, openings} = world();
  const hanging = openings.open('a');
  hanging.catch(() => {});
  const open = openings.open('b');
  begun[1]!.done();
  await open;
  const closing = openings.close();
  await clock.advance(2_000);
  await closing;
  await assert.rejects(hanging, {code: 'SINK_CLOSED'});
  assert.equal(begun[0]!.signal.aborted, true);
  assert.deepEqual(closed, ['b1']);
});

test('who asks for tables of a sink that has not opened yet is told that it has not', async () => {
  const hanging = `export const sinks = [{
  name: 'hanging', summary: 'Never opens', fields: {}, open: () => new Promise(() => {}),
  capabilities: {isolation: 'inline', upsert: true, raw: false, query: false, views: false, durable: true},
}];
`;
  const root = makeRoot({
    'config/platform.yaml': `${filePlatform}plugins: [../hanging.ts]\n`.replace(
      'backend: file',
      'backend: hanging',
    ),
    'config/domains/d.yaml': `domain: d
event_types: [{name: e, dimensions: [kind]}]
aggregations:
  - {name: q, from: e, window: {type: tumbling, size: 1d}, group_by: [kind], measures: {n: count()}}
`,
    'hanging.ts': hanging,
  });
  const platform = await platformOf(root);
  const clock = testClock(0);
  const unused = () => assert.fail('nothing is delivered');
  const topics = {source: {dir: root}, registerSchema: unused};
  // No raw events are delivered.
  const booksOf = () => ({}) as never;
  const opening = openOutputs(platform, {clock, telemetry: noTelemetry, booksOf, topics});
  let isOpen = false;
  const opened = () => {
    isOpen = true;
  };
  opening.then(opened, opened);
  await until(async () => {
    await clock.advance(1_000);
    return isOpen;
  }, 'the others begin');
  const outputs = await opening;
  const [domain] = platform.domains;
  const plan = buildPlan(domain!, domain!.aggregations[0]!);
  for (const asked of [() => outputs.revisions(plan), () => outputs.empty(plan)]) {
    const told = asked();
    told.catch(() => {});
    await clock.advance(0);
    await assert.rejects(told, {code: 'SINK_UNAVAILABLE'});
  }
  const closing = outputs.close();
  await clock.advance(2_000);
  await closing;
});
