/** Letters over HTTP: what an answer may cost, whatever the topic holds. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {createLetters} from '../../src/console/letters.ts';
import {deadLetterEncoder, deadLetterTopic} from '../../src/ingest/deadletters.ts';
import {openLogWriter} from '../../src/log/embedded.ts';
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
  const answers = [ask(''), ask('', gone.signal), ask('limit=2')];
  gone.abort();
  assert.deepEqual(await Promise.all(answers), [
    [5, ids(1, 2, 3, 4)],
    [0, []],
    [5, ids(3, 4)],
  ]);
  assert.throws(() => letters(new URLSearchParams('limit=0'), here), /no count/);
  await append(5, 33 * mebibyte);
  assert.deepEqual(await ask(''), [6, ids(5)]);
  await writer.close();
});
