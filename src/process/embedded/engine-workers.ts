import {once} from 'node:events';
import {MessageChannel, type MessagePort, Worker} from 'node:worker_threads';
import type {Clock} from '../../clock.ts';
import {openLog} from '../../log/open.ts';
import {openStateStore} from './statestore.ts';
import {EngineWorker} from './worker.ts';
import type {PeerMessage, WorkerCommand, WorkerEvent, WorkerSetup} from './worker-messages.ts';
import type {ThreadMessage} from './worker-thread.ts';

export type WorkersOptions = {
  setup: Omit<WorkerSetup, 'worker' | 'firstRun'>;
  /** A port of the checkpoint writer. */
  connect(): MessagePort;
  clock: Clock;
  onEvent(event: WorkerEvent): void;
  onCrash(worker: number, error: Error): void;
};

/** The workers of an engine, wherever they run. */
export type EngineThreads = {
  command(worker: number, command: WorkerCommand): void;
  /** Inline: turns until `done`. */
  untilDrained(done: Promise<boolean>): Promise<void>;
  settle(): Promise<void>;
  turn(): Promise<void>;
  stop(): Promise<void>;
};

/** A crashed worker is started again this much later, so that one that cannot run does not spin. */
const restartMs = 1_000;
/** More openings of a query than one start of a worker sees. */
const runsMax = 1_000;

/** Workers in threads of their own, each with a port to every other. */
export async function startThreads(options: WorkersOptions): Promise<EngineThreads> {
  const {setup, onEvent} = options;
  const threads: Worker[] = [];
  const running = new Set<Worker>();
  /** What workers were given since, by domain, lookup and id: one that is started again needs it too. */
  const refreshed = new Map<string, Extract<WorkerCommand, {kind: 'lookup'}>>();
  /** What queries were told that holds until something else is said: pauses, and how far they read. One that is started again does not know. */
  const standing = new Map<string, {worker: number; command: WorkerCommand}>();
  let starts = 0;
  let isStopping = false;
  /** One that is started again has to know. */
  let isDraining = false;

  const start = (worker: number): Worker => {
    const statePort = options.connect();
    const snapshots = [...setup.snapshots, ...[...refreshed.values()].map(({snapshot}) => snapshot)];
    const thread = new Worker(new URL('./worker-thread.ts', import.meta.url), {
      workerData: {setup: {...setup, snapshots, worker, firstRun: ++starts * runsMax}, statePort},
      transferList: [statePort],
    });
    threads[worker] = thread;
    running.add(thread);
    let failure = new Error('the thread ended');
    thread.on('message', (event: WorkerEvent) => {
      // Whoever paused it has forgotten it by then.
      if (event.kind === 'stopped') standing.delete(`pause ${event.query}`);
      onEvent(event);
    });
    thread.on('error', (error) => {
      failure = error as Error;
    });
    thread.on('exit', () => {
      running.delete(thread);
      if (isStopping) return;
      options.onCrash(worker, failure);
      setTimeout(() => !isStopping && restart(worker), restartMs).unref();
    });
    return thread;
  };
  const post = (worker: number, message: ThreadMessage, transfer: MessagePort[] = []) =>
    threads[worker]!.postMessage(message, transfer);
  const join = (a: number, b: number) => {
    const {port1, port2} = new MessageChannel();
    post(a, {kind: 'peer', worker: b, port: port1}, [port1]);
    post(b, {kind: 'peer', worker: a, port: port2}, [port2]);
  };
  const restart = (worker: number) => {
    start(worker);
    for (let other = 0; other < setup.workers; other++) if (other !== worker) join(worker, other);
    post(worker, {kind: 'start'});
    for (const command of refreshed.values()) post(worker, command);
    for (const each of standing.values()) if (each.worker === worker) post(worker, each.command);
    if (isDraining) post(worker, {kind: 'drain'});
    for (let other = 0; other < setup.workers; other++)
      if (other !== worker) post(other, {kind: 'peerRestarted', worker});
  };

  for (let worker = 0; worker < setup.workers; worker++) start(worker);
  for (let a = 0; a < setup.workers; a++) for (let b = a + 1; b < setup.workers; b++) join(a, b);
  for (let worker = 0; worker < setup.workers; worker++) post(worker, {kind: 'start'});
  return {
    command(worker, command) {
      if (command.kind === 'lookup') {
        const {domain, snapshot} = command.snapshot;
        const key = `${domain} ${snapshot.name} ${snapshot.id}`;
        // The last one told is the newest, also one that came back.
        refreshed.delete(key);
        refreshed.set(key, command);
      }
      isDraining ||= command.kind === 'drain';
      if (command.kind === 'pause' || command.kind === 'until')
        standing.set(`${command.kind} ${command.query}`, {worker, command});
      else if (command.kind === 'resume') standing.delete(`pause ${command.query}`);
      post(worker, command);
    },
    async untilDrained(done) {
      await done;
    },
    async settle() {
      throw new Error('threads turn by themselves');
    },
    async turn() {
      throw new Error('threads turn by themselves');
    },
    async stop() {
      isStopping = true;
      const ended = [...running].map((thread) => once(thread, 'exit'));
      for (let worker = 0; worker < setup.workers; worker++) post(worker, {kind: 'stop'});
      const timer = setTimeout(() => running.forEach((thread) => void thread.terminate()), 5_000);
      await Promise.all(ended);
      clearTimeout(timer);
    },
  };
}

/**
 * Workers in this thread, turned by hand; messages between them are delivered between turns, in order. Nothing is paced:
 * every turn hands over, emits and writes checkpoints.
 */
export async function startInline(options: WorkersOptions): Promise<EngineThreads> {
  const {clock, onEvent} = options;
  const setup = {...options.setup, flushMs: 0, checkpointIntervalMs: 0};
  const mail: {to: number; message: PeerMessage}[] = [];
  const events: WorkerEvent[] = [];
  const logs = await Promise.all(Array.from({length: setup.workers}, () => openLog(setup.log)));
  const workers = logs.map((log, worker) => {
    return new EngineWorker({
      setup: {...setup, worker, firstRun: 0},
      log,
      store: openStateStore(setup.stateDir, options.connect(), setup.lease),
      clock,
      toPeer: (to, message) => void mail.push({to, message: structuredClone(message)}),
      toMain: (event) => void events.push(event),
    });
  });
  const deliver = () => {
    while (mail.length > 0 || events.length > 0) {
      for (const {to, message} of mail.splice(0)) workers[to]!.receive(message);
      for (const event of events.splice(0)) onEvent(event);
    }
  };
  const turn = async () => {
    for (const worker of workers) {
      await worker.turn();
      deliver();
    }
    // Lets answers of the checkpoint writer and of sinks in.
    await new Promise((resolve) => setImmediate(resolve));
    deliver();
  };
  await Promise.all(workers.map((worker) => worker.open()));
  deliver();
  return {
    command(worker, command) {
      workers[worker]!.command(command);
    },
    async untilDrained(done) {
      let isDone = false;
      void done.then(() => {
        isDone = true;
      });
      while (!isDone) await turn();
    },
    async settle() {
      for (const worker of workers) await worker.refreshLog();
      do await turn();
      while (!workers.every((worker) => worker.isSettled()) || mail.length > 0 || events.length > 0);
      for (const worker of workers) await worker.sendStatus();
      deliver();
    },
    turn,
    async stop() {
      for (const worker of workers) worker.close();
    },
  };
}
