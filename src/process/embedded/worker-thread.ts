/** Entry point of an engine worker's thread; `engine.ts` starts it. */
import {type MessagePort, parentPort, workerData} from 'node:worker_threads';
import {systemClock} from '../../clock.ts';
import {openLog} from '../../log/open.ts';
import {openPrivacy} from '../../privacy/opener.ts';
import {openStateStore} from './statestore.ts';
import {EngineWorker} from './worker.ts';
import {openWhenThere} from './worker-log.ts';
import type {PeerMessage, WorkerCommand, WorkerEvent, WorkerSetup} from './worker-messages.ts';

/** Beside commands: the port to another worker, which replaces an earlier one. */
export type ThreadMessage =
  | WorkerCommand
  | {kind: 'peer'; worker: number; port: MessagePort}
  | {kind: 'start'};

/** A partition whose broker does not answer holds the others up for so long at most, ms. */
const readPatienceMs = 250;
/**
 * At the end of a partition in Kafka nothing is asked for so long after an answer, ms: rows leave in beats of `flush`, and what comes
 * between two of them can as well come together. The answer, which takes a millisecond or two, is there for the next beat.
 */
const gapMsMax = 3;

openPrivacy();
const {setup, statePort} = workerData as {setup: WorkerSetup; statePort: MessagePort};
const peers = new Map<number, MessagePort>();
const toMain = (event: WorkerEvent) => parentPort!.postMessage(event);
/** What came before the log was open. */
const early: ThreadMessage[] = [];
let worker: EngineWorker | undefined;
const stopping = new AbortController();

parentPort!.on('message', (message: ThreadMessage) => {
  if (worker) return take(worker, message);
  early.push(message);
  if (message.kind === 'stop') stopping.abort();
  // Nothing was read here.
  if (message.kind === 'drain') toMain({kind: 'drained', worker: setup.worker});
});

const log = await openWhenThere(
  () =>
    openLog(setup.log, {
      patienceMs: readPatienceMs,
      reuse: true,
      reread: (reread) => toMain({kind: 'log', told: {about: 'reread', reread}}),
      gapMs: Math.max(0, Math.min(gapMsMax, setup.flushMs - 2)),
    }),
  (told) => toMain({kind: 'log', told}),
  stopping.signal,
);
if (log) {
  worker = new EngineWorker({
    setup,
    log,
    store: openStateStore(setup.stateDir, statePort, setup.lease),
    clock: systemClock,
    toPeer: (to, message) => peers.get(to)?.postMessage(message),
    toMain,
  });
  for (const message of early) take(worker, message);
} else end();

function take(to: EngineWorker, message: ThreadMessage): void {
  if (message.kind === 'peer') {
    peers.get(message.worker)?.close();
    peers.set(message.worker, message.port);
    message.port.on('message', (received: PeerMessage) => to.receive(received));
  } else if (message.kind === 'start') void start(to);
  else to.command(message);
}

async function start(opened: EngineWorker): Promise<void> {
  await opened.open();
  await opened.run();
  end();
}

function end(): void {
  for (const port of peers.values()) port.close();
  statePort.close();
  parentPort!.close();
}
