import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import {LetterHistory} from '../../src/platform/letters-history.ts';
import {journalAppend} from '../../src/platform/side.ts';
import {type ReplayEntry, replayJournalTopic} from '../../src/schema/replay.ts';

const domain = 'shop';
const entry = (number: number, letter: string, more: Partial<ReplayEntry> = {}): ReplayEntry => ({
  id: `entry-${number}`,
  timeMs: number,
  domain,
  kind: 'letter',
  run: null,
  actor: 'me@here',
  detail: null,
  letter,
  query: null,
  outcome: 'queued',
  code: null,
  message: null,
  ...more,
});

test('a long journal is read a piece at a time while others have their turns, and later only what has come since', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-history-'));
  t.after(() => rmSync(dir, {recursive: true}));
  const writer = openLogWriter(dir);
  t.after(() => writer.close());
  const topic = replayJournalTopic(domain);
  writer.ensureTopic(topic, 1);
  const append = (entries: ReplayEntry[]) =>
    writer.append({appends: [journalAppend(domain, entries, {[topic]: 1})]});
  for (let from = 0; from < 4_000; from += 500)
    await append(Array.from({length: 500}, (_, index) => entry(from + index, `letter-${from + index}`)));
  const history = new LetterHistory();
  t.after(() => history.close());
  assert.deepEqual(history.of('letter-7'), []);

  const reader = openLogReader(dir);
  t.after(() => reader.close());
  const gone = new AbortController();
  setImmediate(() => gone.abort());
  await history.read(reader, domain, gone.signal);
  assert.equal(history.of('letter-7').length, 1);
  assert.deepEqual(history.of('letter-3999'), [], 'who went meanwhile ended it');

  const queued = {timeMs: 7, actor: 'me@here', outcome: 'queued', code: null, message: null};
  const said = {timeMs: 9_000, actor: null, outcome: 'rejected', code: 'TYPE', message: 'no number'};
  await append([
    entry(9_000, 'letter-7', {actor: null, outcome: 'rejected', code: 'TYPE', message: 'no number'}),
    entry(9_001, 'letter-7', {kind: 'ended'}),
  ]);
  for (let time = 0; time < 2; time++) {
    await history.read(reader, domain);
    assert.deepEqual(history.of('letter-7'), [queued, said]);
    assert.equal(history.of('letter-3999').length, 1);
  }
});
