/** kill -9 between a request and its answer: what was acknowledged is in the log once, and the request sent again changes nothing. */
import assert from 'node:assert/strict';
import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {openLogReader} from '../../src/log/embedded.ts';
import {connectControl} from '../../src/platform/control.ts';
import type {PlatformStatus} from '../../src/platform/status.ts';
import {makeShop} from '../support/cli.ts';

/** One event type and nothing that reads it. */
const shop = `domain: shop
event_types:
  - name: purchase
    metrics: [{name: amount, type: money}, {name: quantity, type: long}]
`;

const bin = join(import.meta.dirname, '../../bin/millrace.js');

async function start(
  root: string,
  failpoint?: string,
): Promise<{child: ChildProcess; url: string; token: string}> {
  const child = spawn(process.execPath, [bin, 'run'], {
    cwd: root,
    env: {...process.env, ...(failpoint ? {MILLRACE_FAILPOINT: failpoint} : {})},
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (said += chunk));
  for (let tries = 0; tries < 1_200 && child.exitCode === null; tries++) {
    const control = await connectControl(root);
    const status = await control?.get<PlatformStatus>('/v1/status').catch(() => undefined);
    if (status?.phase === 'running')
      return {child, url: status.url, token: readFileSync(join(root, '.millrace/token'), 'utf8').trim()};
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.kill('SIGKILL');
  throw new Error(`the platform did not start: ${said}`);
}

const batch = (request: number) =>
  Array.from({length: 10}, (_, index) => `{"amount":${request * 10 + index + 1},"quantity":1}\n`).join('');

/** Sends a request. @returns the verdicts, undefined when no answer came. */
async function send(
  {url, token}: {url: string; token: string},
  request: number,
): Promise<string[] | undefined> {
  try {
    const answer = await fetch(`${url}/v1/events/shop/purchase`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/x-ndjson',
        'idempotency-key': `request-${request}`,
      },
      body: batch(request),
    });
    assert.equal(answer.status, 200);
    const {records} = (await answer.json()) as {records: {status: string}[]};
    return records.map(({status}) => status);
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    return undefined;
  }
}

for (const point of [
  'incoming.before-append:7',
  'log.after-commit:40',
  'incoming.after-append:9',
  'http.before-answer:12',
])
  test(`killed at ${point}`, {timeout: 240_000}, async () => {
    const root = await makeShop({'config/domains/shop.yaml': shop});
    const first = await start(root, point);
    const exited = once(first.child, 'exit');
    const acknowledged = new Set<number>();
    const requests = 60;
    for (let request = 0; request < requests && first.child.exitCode === null; request++) {
      const verdicts = await send(first, request);
      if (verdicts === undefined) break;
      acknowledged.add(request);
    }
    assert.ok(acknowledged.size > 0 && acknowledged.size < requests, 'the kill came in between');
    await exited;
    const second = await start(root);
    try {
      for (let request = 0; request < requests; request++) {
        const verdicts = await send(second, request);
        assert.ok(verdicts, 'the platform runs again');
        assert.equal(new Set(verdicts).size, 1, 'a request is in the log as a whole or not at all');
        if (acknowledged.has(request))
          assert.equal(verdicts[0], 'duplicate', `request ${request} was acknowledged`);
      }
      const log = openLogReader(join(root, '.millrace/log'));
      try {
        let events = 0;
        for (let partition = 0; partition < log.partitions('shop.purchase'); partition++)
          events += log.endOffset('shop.purchase', partition);
        assert.equal(events, requests * 10, 'each event once');
        const [line] = log.ledger();
        assert.equal(line!.received, line!.appended + line!.duplicate + line!.rejected);
        assert.equal(line!.appended, events);
      } finally {
        log.close();
      }
    } finally {
      const ended = once(second.child, 'exit');
      second.child.kill('SIGTERM');
      await ended;
    }
  });
