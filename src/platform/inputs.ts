import {PlatformError} from '../errors.ts';
import type {IngestProgress, IngestReport} from '../ingest/file.ts';
import type {Input, Platform} from '../model/types.ts';
import type {IngestThread} from './ingest-thread.ts';
import type {IngestJob} from './ingest-types.ts';
import type {InputStatus} from './status.ts';

/** What is being ingested, and what was. */
export type Inputs = {
  /** Ingests the file of every input that names one. Failures end up in the status, the others go on. */
  startAll(options: {fast: boolean}): void;
  /** Ingests a file because somebody asked for it. @throws what `ingestFile` throws */
  ingest(
    job: Omit<IngestJob, 'maxima'>,
    onProgress: (progress: IngestProgress) => void,
  ): Promise<IngestReport>;
  /** Starts an input again that stopped with an error; true when there was one of that name. */
  resume(name: string): boolean;
  status(): InputStatus[];
  /** Whether something is still being ingested. */
  busy(): boolean;
  /** Resolves when nothing is. */
  settled(): Promise<void>;
};

export function createInputs(
  {domains}: Platform,
  thread: IngestThread,
  maximaOf: (topic: string) => Promise<(number | null)[]>,
): Inputs {
  const status = new Map<string, InputStatus>();
  const running = new Set<Promise<unknown>>();
  const all: Input[] = domains.flatMap(({inputs}) => inputs);
  let fast = false;

  const track = <T>(work: Promise<T>): Promise<T> => {
    running.add(work);
    void work.catch(() => {}).finally(() => running.delete(work));
    return work;
  };
  const send = async (job: Omit<IngestJob, 'maxima'>, onProgress: (progress: IngestProgress) => void) => {
    const input = all.find(({domain, name}) => domain === job.domain && name === job.input)!;
    const ingest = async () => {
      const maxima = await maximaOf(`${input.domain}.${input.eventType}`);
      return thread.ingest({...job, maxima}, onProgress);
    };
    return track(ingest());
  };

  const start = (input: Input) => {
    const {domain, name, from} = input;
    const id = `${domain}.${name}`;
    const shown: InputStatus = {domain, name, state: 'waiting', share: null, rows: 0, rejected: 0};
    status.set(id, shown);
    const job = {domain, input: name, path: from!, as: null, fast, late: false, final: false};
    send(job, ({phase, bytesRead, bytesTotal, rows, rowsTotal}) => {
      shown.state = phase === 'sorting' ? 'sorting' : 'running';
      shown.rows = rows;
      const share =
        phase === 'appending' && rowsTotal !== null && rowsTotal > 0
          ? rows / rowsTotal
          : bytesTotal > 0
            ? bytesRead / bytesTotal
            : null;
      shown.share = phase === 'sorting' ? 0 : share === null ? null : Math.min(1, share);
    }).then(
      (report) => {
        shown.rejected += report.rejected;
        shown.rows = report.resumedAt + report.received;
        if (report.state === 'stopped') shown.state = 'waiting';
        else {
          shown.state = 'done';
          shown.share = 1;
        }
        if (report.state === 'unchanged') shown.message = 'this content was ingested before';
      },
      (error) => {
        shown.state = 'stopped';
        if (error instanceof PlatformError) shown.code = error.code;
        shown.message =
          error instanceof PlatformError
            ? `${error.code} ${error.message}${error.hint ? ` (${error.hint})` : ''}`
            : String(error);
      },
    );
  };

  return {
    startAll(options) {
      ({fast} = options);
      for (const input of all) if (input.from !== null) start(input);
    },
    ingest: send,
    resume(name) {
      const input = all.find((each) => `${each.domain}.${each.name}` === name || each.name === name);
      const known = input && status.get(`${input.domain}.${input.name}`);
      if (!input || known?.state !== 'stopped') return false;
      start(input);
      return true;
    },
    status: () => [...status.values()].map((each) => ({...each})),
    busy: () => running.size > 0,
    async settled() {
      while (running.size > 0) await Promise.allSettled(running);
    },
  };
}
