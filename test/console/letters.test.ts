/** Letters over HTTP: what an answer may cost, whatever the topic holds. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {createLetters} from '../../src/console/letters.ts';
import {createTurns} from '../../src/console/turns.ts';
import {deadLetterEncoder, deadLetterTopic} from '../../src/ingest/deadletters.ts';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import {readLetters} from '../../src/platform/letters.ts';
import {LetterHistory} from '../../src/platform/letters-history.ts';
import {dirsOf} from '../../src/platform/places.ts';
import type {DeadLetter} from '../../src/schema/side.ts';
import {makeRoot} from '../support/cli.ts';
import {platformOf} from '../support/running.ts';

const domain = `domain: shop
event_types:
  - {name: sale, dimensions: [color], metrics: [{name: amount, type: money}]}
`;
const mebibyte = 2 ** 20;
const letter = (number: number, bytes: number): DeadLetter => ({
  id: `letter-${number}`,
  timeMs: number,
  domain: 'shop',
  eventType: 'sale',
  stage: 'parse',
  query: null,
  code: 'FIELD',
  message: 'no number',
  source: 'file:sales',
  position: {file: 'sales.csv', row: number},
  eventId: null,
  schemaId: null,
  original: new Uint8Array(bytes),
});

test('an answer holds the newest letters of 32 MiB at most, at least one, and none for those who are gone', async () => {
  const platform = await platformOf(makeRoot({'config/domains/shop.yaml': domain}));
  const dirs = dirsOf(platform);
  const writer = openLogWriter(dirs.log);
  const topic = deadLetterTopic('shop');
  writer.ensureTopic(topic, 1);
  const append = (number: number, bytes: number) =>
    writer.append({
      appends: [{topic, partition: 0, count: 1, bytes: deadLetterEncoder(1)([letter(number, bytes)])}],
    });
  for (let number = 0; number < 5; number++) await append(number, 8 * mebibyte);
  const letters = createLetters(platform, dirs);
  const here = new AbortController().signal;
  const ask = async (text: string, signal = here) => {
    const {total, letters: found} = await letters(new URLSearchParams(text), signal);
    return [total, found.map(({id}) => id)];
  };
  const ids = (...numbers: number[]) => numbers.map((number) => `letter-${number}`);
  const gone = new AbortController();
  const first = ask('');
  const second = assert.rejects(ask('', gone.signal), /who asked is gone/);
  const third = ask('limit=2');
  gone.abort();
  await second;
  assert.deepEqual(await first, [5, ids(1, 2, 3, 4)]);
  assert.deepEqual(await third, [5, ids(3, 4)]);
  await assert.rejects(ask('limit=0'), /no count/);
  await append(5, 33 * mebibyte);
  assert.deepEqual(await ask(''), [6, ids(5)]);
  await writer.close();
});

test('while a long topic is read others have their turns, and who goes meanwhile ends it', async () => {
  const platform = await platformOf(makeRoot({'config/domains/shop.yaml': domain}));
  const {log: dir} = dirsOf(platform);
  const writer = openLogWriter(dir);
  const topic = deadLetterTopic('shop');
  writer.ensureTopic(topic, 1);
  const count = 2_000;
  const bytes = deadLetterEncoder(1)(Array.from({length: count}, (_, number) => letter(number, 1)));
  await writer.append({appends: [{topic, partition: 0, count, bytes}]});
  const reader = openLogReader(dir);
  const gone = new AbortController();
  const selected = readLetters(reader, {kind: 'dead', domains: ['shop']}, new LetterHistory(), gone.signal);
  let read = 0;
  for await (const _ of selected) if (read++ === 0) setImmediate(() => gone.abort());
  assert.ok(read > 0 && read < count, String(read));
  reader.close();
  await writer.close();
});

test('so many are answered at a time, in their order, also after one whose work fails; who is gone is not waited for', async () => {
  const inTurn = createTurns(2);
  const here = new AbortController().signal;
  const begun: {number: number; end: () => void; fail: (error: Error) => void}[] = [];
  const ask = (number: number, signal = here) =>
    inTurn(signal, () => {
      const {promise, resolve, reject} = Promise.withResolvers<number>();
      begun.push({number, end: () => resolve(number), fail: reject});
      return promise;
    });
  const asked = [0, 1, 2].map((number) => ask(number));
  const gone = assert.rejects(ask(3, AbortSignal.abort()), /who asked is gone/);
  const last = ask(4);
  const numbers = () => begun.map(({number}) => number);
  await Promise.resolve();
  assert.deepEqual(numbers(), [0, 1]);
  begun[1]!.fail(new Error('no'));
  await assert.rejects(asked[1]!, /no/);
  await Promise.resolve();
  assert.deepEqual(numbers(), [0, 1, 2]);
  begun[0]!.end();
  await gone;
  begun[2]!.end();
  assert.deepEqual([await asked[0], await asked[2]], [0, 2]);
  begun.at(-1)!.end();
  assert.deepEqual([await last, numbers()], [4, [0, 1, 2, 4]]);
});
