/** `POST /v1/events/<domain>/<event type>`: events come in, each with its verdict, durable before it is told. */
import type {IncomingMessage, ServerResponse} from 'node:http';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {uuid7} from '../ingest/incoming-ids.ts';
import type {Platform} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {answerFailure, answerVerdicts, refusalError} from './events-answer.ts';
import {type Arriving, createUnpacking, InFlight, readBody} from './events-body.ts';
import {type EventShare, RejectionBudget} from './events-budget.ts';
import {EventBuckets} from './events-rate.ts';
import {type EventsHead, readHead} from './events-request.ts';
import type {IngestThread} from './ingest-thread.ts';
import type {Mount} from './server.ts';
import type {Spool} from './spool.ts';

/** What of a platform takes events. */
export type Events = {
  mount: Mount;
  /** Refuses what is new or still arriving, with 503; resolves when everything that was accepted is answered. */
  drain(): Promise<void>;
  /** Bytes that requests hold, and how many are under way. */
  inFlight(): {bytes: number; requests: number};
  /** Records of the last minutes, and how many of them were rejected. */
  shares(): EventShare[];
};

/** A refused sender that goes on sending is cut off after this time, ms. */
const lingerMs = 5_000;

export function createEvents(
  {domains, server: {events: limits, rate}}: Pick<Platform, 'domains' | 'server'>,
  ingest: Pick<IngestThread, 'records'>,
  telemetry: Telemetry,
  spool?: Pick<Spool, 'admit'>,
): Events {
  const inFlight = new InFlight(limits);
  const unpack = createUnpacking(limits.inflatedBytesMax);
  const buckets = new EventBuckets(rate);
  const budget = new RejectionBudget(domains, telemetry);
  const arriving: Arriving = new Set();
  let draining: PlatformError | undefined;
  const active = new Set<Promise<void>>();

  async function accept(
    request: IncomingMessage,
    response: ServerResponse,
    head: EventsHead,
    sender: string,
  ): Promise<number> {
    spool?.admit();
    const pay = buckets.enter(sender);
    const hold = inFlight.hold();
    try {
      const body = await readBody(request, head, limits.bodyBytesMax, hold, arriving);
      const bytes = await unpack(body, head.encoding, hold);
      const name = head.key ?? uuid7(Date.now());
      const result = await ingest.records({
        domain: head.domain,
        eventType: head.eventType,
        source: 'http',
        format: head.format,
        bytes,
        request: name,
        ids: head.key === undefined ? 'generated' : 'derived',
        deadLetters: true,
        recordsMax: limits.recordsMax,
      });
      failpoint('http.before-answer');
      if (result.kind === 'refused') throw refusalError(result);
      pay(result.statuses.length);
      budget.add(head.domain, head.eventType, result.statuses.length, result.problems);
      return answerVerdicts(response, name, result, head.minimal);
    } finally {
      hold.release();
    }
  }

  async function handle({request, response, path, sender}: Parameters<Mount['answer']>[0]): Promise<void> {
    let status = 0;
    const startMs = performance.now();
    try {
      if (draining !== undefined) throw draining;
      status = await accept(request, response, readHead(request, path, domains), sender);
    } catch (error) {
      // The sender is gone: nobody is left to be told.
      if (error === undefined) return;
      status = answerFailure(response, error);
      if (!request.complete) cutOff(request);
    }
    telemetry.emit('RequestAnswered', {status, seconds: (performance.now() - startMs) / 1000});
  }

  return {
    mount: {
      answer(call) {
        const handled = handle(call).finally(() => active.delete(handled));
        active.add(handled);
        return handled;
      },
    },
    async drain() {
      draining = new PlatformError('DRAINING', 'the platform is ending', {
        hint: 'wait for the seconds of Retry-After, then send the request again',
      });
      for (const stop of [...arriving]) stop(draining);
      while (active.size > 0) await Promise.allSettled(active);
    },
    inFlight: () => ({bytes: inFlight.bytes, requests: active.size}),
    shares: () => budget.shares(),
  };
}

/** What a refused request still sends is read and dropped, so that its sender sees the answer; not for ever. */
function cutOff(request: IncomingMessage): void {
  request.resume();
  const timer = setTimeout(() => request.socket.destroy(), lingerMs);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
}
