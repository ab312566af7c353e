/** Entry point of an engine worker's thread; `engine.ts` starts it. */
import {type MessagePort, parentPort, workerData} from 'node:worker_threads';
import {systemClock} from '../../clock.ts';
import {openLog} from '../../log/open.ts';
import {openPrivacy} from '../../privacy/opener.ts';
import {openStateStore} from './statestore.ts';
import {EngineWorker} from './worker.ts';
import type {PeerMessage, WorkerCommand, WorkerEvent, WorkerSetup} from './worker-messages.ts';

/** Beside commands: the port to another worker, which replaces an earlier one. */
export type ThreadMessage =
  | WorkerCommand
  | {kind: 'peer'; worker: number; port: MessagePort}
  | {kind: 'start'};

/** A partition whose broker does not answer holds the others up for so long at most, ms. */
const readPatienceMs = 250;

openPrivacy();
const {setup, statePort} = workerData as {setup: WorkerSetup; statePort: MessagePort};
const peers = new Map<number, MessagePort>();
const worker = new EngineWorker({
  setup,
  log: await openLog(setup.log, {patienceMs: readPatienceMs, reuse: true}),
  store: openStateStore(setup.stateDir, statePort, setup.lease),
  clock: systemClock,
  toPeer: (to, message) => peers.get(to)?.postMessage(message),
  toMain: (event: WorkerEvent) => parentPort!.postMessage(event),
});

parentPort!.on('message', (message: ThreadMessage) => {
  if (message.kind === 'peer') {
    peers.get(message.worker)?.close();
    peers.set(message.worker, message.port);
    message.port.on('message', (received: PeerMessage) => worker.receive(received));
  } else if (message.kind === 'start') void start();
  else worker.command(message);
});

async function start(): Promise<void> {
  await worker.open();
  await worker.run();
  for (const port of peers.values()) port.close();
  parentPort!.close();
}
