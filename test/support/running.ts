/** A platform that runs in the test's own process. */
import assert from 'node:assert/strict';
import {loadPlatform} from '../../src/model/load.ts';
import type {Platform} from '../../src/model/types.ts';
import {type RunningPlatform, type RunOptions, startPlatform} from '../../src/platform/runtime.ts';
import {sinks} from '../../src/sinks/registry.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';

/** The platform of a directory, which has to be valid. */
export async function platformOf(root: string): Promise<Platform> {
  const sinkSpecs = sinks as Record<string, SinkSpec>;
  const loaded = await loadPlatform({from: root, variables: {}, sinkSpecs});
  assert.ok(loaded.ok, JSON.stringify(loaded.ok || loaded.diagnostics));
  return loaded.platform;
}

/** What was told, by name, and the platform; `drain` it. */
export type Started = {running: RunningPlatform; told: {name: string; event: Record<string, unknown>}[]};

/** Starts the platform of a directory. */
export async function startIn(root: string, options: RunOptions = {}): Promise<Started> {
  const told: Started['told'] = [];
  const observe: RunOptions['observe'] = (name, event) => void told.push({name, event: {...event}});
  const running = await startPlatform(await platformOf(root), {fast: true, port: 0, observe, ...options});
  return {running, told};
}

/** Starts it, waits until nothing is left to do, ends it. */
export async function runToEnd(root: string, options: RunOptions = {}): Promise<Started> {
  const started = await startIn(root, options);
  await started.running.idle(new AbortController().signal);
  await started.running.drain();
  return started;
}
