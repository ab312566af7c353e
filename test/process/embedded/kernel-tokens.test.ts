import assert from 'node:assert/strict';
import {test} from 'node:test';
import {
  distinctOf,
  mergeObjects,
  tokenOfNumber,
  tokenOfText,
} from '../../../src/process/embedded/accumulators.ts';
import {appendToken, createTokenLog, foldTokens} from '../../../src/process/embedded/kernel-tokens.ts';
import type {AccumulatorObject} from '../../../src/process/embedded/types.ts';
import {field} from '../../support/fields.ts';
import {createWorld, eventType, planOf, run} from './kernel-world.ts';

const sketch = (tokens: number[]): AccumulatorObject => distinctOf(Int32Array.from(tokens), 0, tokens.length);

test('a log that is folded many times, with slots that become one, holds what all its tokens make at once', () => {
  const log = createTokenLog();
  const sketches: (AccumulatorObject | null)[] = Array.from({length: 50}, () => null);
  const given: number[][] = sketches.map(() => []);
  const home = sketches.map((_, slot) => slot);
  const merge = (from: number, into: number) => {
    sketches[into] = mergeObjects(sketches[into]!, sketches[from]!);
    sketches[from] = null;
    log.merged.set(from, into);
    given[into]!.push(...given[from]!.splice(0));
    for (const [slot, to] of home.entries()) if (to === from) home[slot] = into;
  };
  // More than a log takes; few for the first slots, none for the last.
  for (let k = 0; k < 700_000; k++) {
    const slot = home[Math.floor(49 * ((Math.imul(k, 0x9e3779b1) >>> 0) / 2 ** 32) ** 0.2)]!;
    appendToken(log, sketches, slot, tokenOfNumber(k));
    given[slot]!.push(tokenOfNumber(k));
    if (k === 200_000) merge(40, 41);
    if (k === 650_000) merge(41, 42);
  }
  foldTokens(log, sketches);
  assert.deepEqual(
    sketches,
    given.map((tokens) => (tokens.length > 0 ? sketch(tokens) : null)),
  );
  assert.ok(given.some(({length}) => length > 0 && length < 16) && given[42]!.length > 20_000);
});

test('a text has one token, whether generated code reads it or the reference', () => {
  const visit = eventType('visit', [field('page', 'string'), field('at', 'long')]);
  const pages = Array.from({length: 200}, (_, k) => `${'ä/x?'.repeat(k % 37)}${k}`);
  const events = pages.map((page, k) => ({
    type: visit,
    partition: 0,
    values: {event_id: `e${k}`, timestamp: 1, page, at: k},
  }));
  const plan = planOf([visit], {groupBy: ['at'], measures: {pages: 'distinct(page)'}});
  const [deltas] = run(createWorld([visit]), [plan], events);
  const delta = deltas![0]!;
  const [at] = delta.newGroups;
  const [{groups, objects}] = delta.panes as [(typeof delta.panes)[0]];
  assert.equal(groups.length, 200);
  for (const [slot, group] of groups.entries())
    assert.deepEqual(objects[0]![slot], sketch([tokenOfText(pages[Number(at![group])]!)]));
});
