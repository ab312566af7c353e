/**
 * Ships what an outbox commits to Kafka, each partition in order. A request goes out at once when nothing is under way to its
 * broker; what is committed meanwhile is collected, and a further one goes out early only when it is full.
 *
 * Nothing is ever dropped: a batch that fails is sent again as it was, by the same producer with the same sequence number, so that
 * a broker that has it already says so. Where that is not enough the end of the partition is read first (`recover`).
 */
import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import {isMoved, isTransient} from './codes.ts';
import {divide} from './divide.ts';
import {forgetBelow} from './forget.ts';
import type {ForwarderOptions} from './forwarder-types.ts';
import type {Lane, LaneState, Sent} from './lane.ts';
import {answerError, missingAnswer, type ProduceAnswer, produce, produceCodes} from './produce.ts';
import {answersByPlace, type Entry, isReady, nextBatches, outgoing, restMs} from './ready.ts';

/** Requests to one broker that wait for their answers. */
const underWayMax = 5;
/** How long the leader waits for its followers. */
const replicasMs = 10_000;
/** Attempts before appends no longer wait for the brokers. */
const attemptsMax = 3;
const pauseMs = {first: 100, last: 2_000, refused: 5_000};
/** How often it is looked whether it may ship again, ms. */
const turnMs = 100;

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #lanes = new Map<number, Lane>();
  readonly #underWay = new Map<number, number>();
  #isScheduled = false;
  #isStarted = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #refreshing = false;
  /** Grows when others may have written since. */
  #turn = 0;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  get lanes(): Iterable<Lane> {
    return this.#lanes.values();
  }

  /** Bytes that wait. */
  get bytes(): number {
    return [...this.#lanes.values()].reduce((sum, {bytes}) => sum + bytes, 0);
  }

  /** Of those, bytes that are in memory and were not encoded. */
  get bytesAtHand(): number {
    return [...this.#lanes.values()].reduce((sum, {bytesAtHand}) => sum + bytesAtHand, 0);
  }

  lane(streamId: number): Lane | undefined {
    return this.#lanes.get(streamId);
  }

  add(lane: Lane): void {
    this.#lanes.set(lane.stream.id, lane);
  }

  /** From now on it ships. */
  start(): void {
    this.#isStarted = true;
    this.wake();
  }

  /** Others may have written meanwhile: what waits is compared with what is there before it goes on. */
  suspect(): void {
    this.#turn++;
    for (const lane of this.#lanes.values())
      if (lane.state === 'open' && !lane.isEmpty) lane.state = 'unknown';
    this.wake();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** Something was committed, or a lane can go on. */
  wake(): void {
    if (this.#isScheduled || this.#isClosed || !this.#isStarted) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#isClosed) return;
    const {client, mayShip} = this.#options;
    clearTimeout(this.#timer);
    if (!mayShip()) {
      this.#timer = setTimeout(() => this.#pump(), turnMs);
      return;
    }
    const byLeader = new Map<number, Lane[]>();
    let soonest = Infinity;
    const nowMs = performance.now();
    for (const lane of this.#lanes.values()) {
      if (lane.isEmpty || lane.state === 'recovering') continue;
      if (lane.notBefore > nowMs) {
        soonest = Math.min(soonest, lane.notBefore);
        continue;
      }
      const leader = client.partition(lane.stream.topic, lane.stream.partition)?.leader ?? -1;
      // Nothing is sent that a broker would read later, when it is not sure any more who may ship.
      const rest = restMs(client, leader);
      if (rest > 0) {
        soonest = Math.min(soonest, nowMs + rest);
        continue;
      }
      if (lane.state === 'unknown') {
        if (lane.underWay === 0) void this.#recover(lane);
        continue;
      }
      if (leader < 0) {
        this.#lookAgain();
        continue;
      }
      const lanes = byLeader.get(leader);
      if (lanes) lanes.push(lane);
      else byLeader.set(leader, [lane]);
    }
    for (const [leader, lanes] of byLeader) this.#pumpBroker(leader, lanes);
    if (soonest < Infinity) this.#timer = setTimeout(() => this.#pump(), Math.max(1, soonest - nowMs));
  }

  #pumpBroker(leader: number, lanes: Lane[]): void {
    const {batchBytesMax} = this.#options;
    for (;;) {
      const underWay = this.#underWay.get(leader) ?? 0;
      if (underWay >= underWayMax) return;
      const ready = lanes.filter((lane) => isReady(lane, this.#options));
      if (ready.length === 0) return;
      if (underWay > 0 && !ready.some((lane) => lane.hasFailed)) {
        let bytes = 0;
        for (const lane of ready) bytes += lane.bytesAtHand;
        if (bytes < batchBytesMax) return;
      }
      this.#send(leader, nextBatches(ready, this.#options));
    }
  }

  async #send(leader: number, entries: Entry[]): Promise<void> {
    this.#underWay.set(leader, (this.#underWay.get(leader) ?? 0) + 1);
    const startMs = performance.now();
    try {
      failpoint('kafka.before-produce');
      const {client, mayShip} = this.#options;
      const answers = await produce(client, leader, entries.map(outgoing), replicasMs, mayShip);
      failpoint('kafka.after-produce');
      const byPlace = answersByPlace(answers);
      let records = 0;
      let bytes = 0;
      for (const entry of entries) {
        const {topic, partition} = entry.lane.stream;
        const answer = byPlace.get(`${topic}/${partition}`);
        if (answer?.code === 0) {
          this.#arrived(entry, answer);
          records += entry.sent.batch.count;
          bytes += entry.sent.batch.bytes.length;
        } else
          this.#failed(entry, answer ? answerError(answer) : missingAnswer(topic, partition), answer?.code);
      }
      if (records > 0)
        this.#options.told({
          kind: 'acknowledged',
          records,
          bytes,
          seconds: (performance.now() - startMs) / 1000,
        });
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      this.#lookAgain();
      for (const entry of entries) this.#failed(entry, error);
    } finally {
      this.#underWay.set(leader, this.#underWay.get(leader)! - 1);
      this.wake();
    }
  }

  #arrived({lane, sent}: Entry, answer: ProduceAnswer): void {
    const {outbox, changed} = this.#options;
    // A success whose place was forgotten, or one that cannot be: the end of the partition tells it.
    const least = outbox.position(lane.stream.id)?.kafkaNext ?? 0;
    if (answer.baseOffset < least || !Number.isSafeInteger(answer.baseOffset + sent.batch.count)) {
      lane.failed(sent);
      lane.state = 'unknown';
      return;
    }
    lane.failures = 0;
    lane.countMax = Infinity;
    for (const {first, next, kafka} of lane.arrived(sent, answer.baseOffset))
      outbox.shipped(lane.stream.id, first, next, kafka);
    if (answer.logStart > lane.kafkaStart) void forgetBelow(this.#options, lane, answer.logStart);
    changed(lane);
  }

  #failed({lane, sent}: Entry, error: PlatformError, code?: number): void {
    const isFirst = lane.isFirst(sent);
    lane.failed(sent);
    // What was sent behind a failed batch is refused as out of order: it waits for the first.
    if (code === produceCodes.outOfOrder && !isFirst) return;
    const {told, changed} = this.#options;
    const {topic, partition} = lane.stream;
    const isRefused = code !== undefined && produceCodes.refused.includes(code);
    const isFenced = error.code === 'LOG_FENCED';
    // What cannot be undone is believed when it is said twice: whoever has the batch says that the second time.
    if ((isFenced || (isRefused && isFirst && sent.batch.count === 1)) && !sent.wasRefused) {
      sent.wasRefused = true;
      return;
    }
    if (isFenced) {
      lane.notBefore = Infinity;
      told({kind: 'fatal', error});
      return;
    }
    if (code !== undefined && produceCodes.unknown.includes(code)) {
      lane.state = 'unknown';
      return;
    }
    if (isRefused && isFirst) {
      void this.#divide(lane, sent, error);
      return;
    }
    if (code !== undefined && isMoved(code)) this.#lookAgain();
    const isFinal = code !== undefined && !isTransient(code);
    this.#postpone(lane, isFinal);
    told({kind: 'failed', error, isFinal, topic, partition});
    changed(lane);
  }

  #postpone(lane: Lane, isFinal: boolean): void {
    lane.failures++;
    if (lane.failures >= attemptsMax || isFinal) lane.isSpooling = true;
    const ms = isFinal ? pauseMs.refused : Math.min(pauseMs.first * 2 ** (lane.failures - 1), pauseMs.last);
    lane.notBefore = performance.now() + ms * (0.5 + Math.random() / 2);
  }

  async #divide(lane: Lane, sent: Sent, error: PlatformError): Promise<void> {
    const {outbox, refused, changed, told} = this.#options;
    lane.state = 'recovering';
    const turn = this.#turn;
    try {
      while (lane.underWay > 0 && !this.#isClosed) await new Promise((resolve) => setTimeout(resolve, 1));
      if (this.#isClosed) return;
      // A broker that refuses a batch refuses what follows it: the answer was wrong.
      const isWrong = !lane.isFirst(sent) || lane.hasArrivedBehind;
      if (!isWrong) await divide(lane, sent, outbox, (record) => refused(lane, record, error));
      lane.state = isWrong ? 'unknown' : this.#stateSince(turn);
      changed(lane);
    } catch (failure) {
      if (!(failure instanceof PlatformError)) throw failure;
      lane.state = this.#stateSince(turn);
      this.#postpone(lane, true);
      const {topic, partition} = lane.stream;
      told({kind: 'failed', error: failure, isFinal: true, topic, partition});
      changed(lane);
    } finally {
      this.wake();
    }
  }

  async #recover(lane: Lane): Promise<void> {
    lane.state = 'recovering';
    const turn = this.#turn;
    try {
      await this.#options.recover(lane);
      lane.state = this.#stateSince(turn);
      lane.failures = 0;
    } catch (error) {
      lane.state = 'unknown';
      if (!(error instanceof PlatformError)) throw error;
      this.#postpone(lane, !error.retry);
      const {topic, partition} = lane.stream;
      this.#options.told({kind: 'failed', error, isFinal: !error.retry, topic, partition});
      this.#lookAgain();
    } finally {
      this.#options.changed(lane);
      this.wake();
    }
  }

  /** State of a lane after work that began in that turn. */
  #stateSince(turn: number): LaneState {
    return turn === this.#turn ? 'open' : 'unknown';
  }

  /** Asks who leads what; one question at a time. */
  #lookAgain(): void {
    if (this.#refreshing || this.#isClosed) return;
    this.#refreshing = true;
    const settle = (pause: number) =>
      setTimeout(() => {
        this.#refreshing = false;
        this.wake();
      }, pause);
    this.#options.client.refreshMetadata().then(
      () => settle(50),
      (error) => {
        for (const lane of this.#lanes.values())
          if (!lane.isEmpty && lane.notBefore <= performance.now()) {
            this.#postpone(lane, false);
            this.#options.changed(lane);
          }
        if (error instanceof PlatformError)
          this.#options.told({kind: 'failed', error, isFinal: !error.retry, topic: '', partition: -1});
        settle(pauseMs.first);
      },
    );
  }
}
