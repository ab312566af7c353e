import assert from 'node:assert/strict';
import {test} from 'node:test';
import {whyNotReady} from '../../src/platform/readiness.ts';
import type {SinkLeaseStatus} from '../../src/platform/status.ts';

const phase = 'running' as const;
const standsBy: SinkLeaseStatus[] = [
  {sink: 'rows', state: 'standby', holder: 'other, process 1 (millrace run)'},
  {sink: 'db', state: 'standby'},
];

test('a process is not ready before it runs, and while another one appends events', () => {
  assert.equal(whyNotReady({phase}, undefined), undefined);
  assert.equal(whyNotReady({phase: 'draining'}, undefined), 'draining');
  assert.equal(whyNotReady({phase, standby: 'process 1 appends'}, ['ingest']), 'standby: process 1 appends');
});

test('a process that only writes into sinks is not ready while others write into all of them', () => {
  const text =
    'standby: other, process 1 (millrace run) writes into sink rows; another process writes into sink db';
  assert.equal(whyNotReady({phase, sinkLeases: standsBy}, ['sinks']), text);
  const [one] = standsBy;
  for (const state of ['held', 'asking'] as const)
    assert.equal(whyNotReady({phase, sinkLeases: [one!, {sink: 'db', state}]}, ['sinks']), undefined);
});

test('one that also takes events or aggregates is ready: it does that whoever writes into the sinks', () => {
  for (const other of ['ingest', 'engine'] as const)
    assert.equal(whyNotReady({phase, sinkLeases: standsBy}, [other, 'sinks']), undefined);
});
