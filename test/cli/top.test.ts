/** `millrace top` beside a running platform. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {loadPlatform} from '../../src/model/load.ts';
import {startPlatform} from '../../src/platform/runtime.ts';
import {sinks} from '../../src/sinks/registry.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';
import {cli, makeShop} from '../support/cli.ts';

test('shows the status until the platform ends; without one it says so', async () => {
  const root = await makeShop();
  const alone = await cli(root, 'top');
  assert.equal(alone.code, 4);
  assert.match(alone.stderr, /no platform runs in/);

  const sinkSpecs = sinks as Record<string, SinkSpec>;
  const loaded = await loadPlatform({from: root, variables: {}, sinkSpecs});
  assert.ok(loaded.ok);
  const running = await startPlatform(loaded.platform, {fast: true});
  await running.idle(new AbortController().signal);
  const json = cli(root, 'top', '--json');
  const lines = cli(root, 'top');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await running.drain();
  const [shown, text] = await Promise.all([json, lines]);
  assert.deepEqual([shown.code, text.code], [0, 0]);
  assert.equal(shown.stderr, 'the platform ended\n');
  const statuses = shown.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.ok(statuses.length >= 2);
  assert.deepEqual([statuses[0].name, statuses[0].totals.appended], ['shop', 499]);
  assert.match(text.stdout, /^20\S+Z running .* 499 events, /);
});
