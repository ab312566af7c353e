import type {LogReader} from '../../log/types.ts';
import {compileDecoder} from '../../schema/decode.ts';
import {frameHeaderBytes, walkDecoded} from '../../schema/frame.ts';
import {
  type ReplayEntry,
  type ReplayEvent,
  type ReplayOutcome,
  replayEntryOf,
  replayEntrySchema,
  replayEventOf,
  replayEventSchema,
  replayJournalTopic,
  replayTopic,
} from '../../schema/replay.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {LookupSnapshot} from '../types.ts';
import type {LookupSwitch} from './checkpoint.ts';
import {idOf} from './decode-frames.ts';
import {LookupHistory, type LookupStep, stepsFrom} from './lookup-journal.ts';
import type {Merger} from './merger.ts';
import {ReplayKernel} from './replay-kernel.ts';
import {type AsideKind, hasWindows, type ReplayMove} from './replay-state.ts';
import {checkTopic} from './topics-read.ts';
import type {WriterSchemas} from './worker-schemas.ts';

/** What became of one replayed event, to be told in the domain's journal. */
export type ReplayTold = {
  /** Of the attempt. */
  id: string;
  letter: string;
  outcome: ReplayOutcome;
  code: string | null;
  message: string | null;
};

type Waiting = {offset: number; event: ReplayEvent};
type Candidate = {event: ReplayEvent; from: AsideKind};

const readBytesMax = 2 ** 20;
/** Events of one step: bounds how long the other queries of the worker wait. */
const stepMax = 500;
const decodeEvent = compileDecoder(replayEventSchema);
const decodeEntry = compileDecoder(replayEntrySchema);

export type ReplayFeedOptions = {
  plan: QueryPlan;
  log: LogReader;
  merger: Merger;
  /** What reading again has to follow. */
  journal: LookupSwitch[];
  schemas: WriterSchemas;
  snapshotOf(lookup: string, id: string): LookupSnapshot;
};

/**
 * Reads `replay.<domain>.<query>` for one opening of a query. An event in it counts when the query has set that event aside and
 * did not count it by replay before: so it counts once, and what is counted is the same however often and in which order the
 * log is read. It waits until the query has come by the event itself.
 */
export class ReplayFeed {
  #options: ReplayFeedOptions;
  #topic: string;
  #endOffset = 0;
  /** How far the waiting records were looked at. */
  #scannedTo: number;
  #queue: Waiting[] = [];
  #kernel: ReplayKernel | undefined;
  #history: LookupHistory;
  /** Lookup -> id of the snapshot that the next record sees. */
  #inEffect: Record<string, string>;
  /** Attempts that an earlier reading refused, since their windows were gone: they stay refused. */
  #refused: Set<string> | undefined;
  /** The attempt for which an id was asked again. */
  #rechecked: string | undefined;

  constructor(options: ReplayFeedOptions) {
    this.#options = options;
    this.#topic = replayTopic(options.plan.id);
    const {merger, journal} = options;
    this.#scannedTo = merger.replay.offset;
    this.#inEffect = {...merger.lookups};
    const place = {topic: this.#topic, partition: 0, offset: merger.replay.offset};
    this.#history = new LookupHistory(stepsFrom(journal, [place], merger.lookups));
  }

  /** Looks at the end of the topic. Throws TOPIC_OTHER. */
  observeEnd(): void {
    const {plan, log, merger} = this.#options;
    checkTopic(plan, log, this.#topic, merger.topics[this.#topic]);
    // 0 for a topic that is not there.
    this.#endOffset = this.#options.log.endOffset(this.#topic, 0);
  }

  /** Records that are not merged yet. */
  get unread(): number {
    return Math.max(0, this.#endOffset - this.#options.merger.replay.offset);
  }

  /** There is something to merge, as far as is known: not while the next one waits for the query to read its event. */
  get hasWork(): boolean {
    const next = this.#queue[0];
    return this.unread > 0 && !(next && (this.#isAhead(next.event) || this.#lacksSchema(next.event)));
  }

  /** Its schema is asked for. */
  #lacksSchema({frame}: ReplayEvent): boolean {
    return (
      frame.length >= frameHeaderBytes && frame[0] === 0 && this.#options.schemas.isWanted(idOf(frame, 0))
    );
  }

  /** The query has not read the event yet. One that the log does not have is never come by, and is not waited for. */
  #isAhead({topic, partition, offset}: ReplayEvent): boolean {
    const {merger, log} = this.#options;
    const isMerged = merger.time.hasMerged(topic, partition, offset);
    return isMerged === false && offset < log.endOffset(topic, partition);
  }

  /** Looks at what waits, so that no state goes that it needs. @throws LOG_CORRUPT, LOG_TRIMMED */
  async scan(): Promise<void> {
    const {replay} = this.#options.merger;
    while (this.#scannedTo < this.#endOffset) {
      const {found, nextOffset} = await this.#read(this.#scannedTo);
      for (const {event} of found) replay.waitingMs = Math.min(replay.waitingMs, event.eventTimeMs);
      this.#scannedTo = nextOffset;
    }
  }

  /** Makes the next records available to `step`. @throws LOG_CORRUPT, LOG_TRIMMED */
  async fill(): Promise<void> {
    await this.scan();
    this.#refused ??= await this.#readRefused();
    if (this.#queue.length > 0 || this.unread === 0) return;
    const {replay} = this.#options.merger;
    const {found, nextOffset} = await this.#read(replay.offset);
    this.#queue = found;
    // Offsets that hold no record.
    if (found.length === 0) replay.mergedThrough(nextOffset);
  }

  /** Asks for the schema of an event where that is not known; also for one that the registry did not have before. */
  #wantsSchema(event: ReplayEvent, offset: number): boolean {
    const {schemas} = this.#options;
    const {frame, id: attempt} = event;
    if (frame.length < frameHeaderBytes || frame[0] !== 0) return false;
    const id = idOf(frame, 0);
    if (schemas.schemaNow(id) === undefined && this.#rechecked !== attempt) {
      this.#rechecked = attempt;
      schemas.recheck(id);
    }
    if (!schemas.isWanted(id)) return false;
    schemas.want([{id, topic: this.#topic, partition: 0, offset}]);
    return true;
  }

  /** Merges what can be merged now. @returns what became of each; empty while the next one waits for its event to be read */
  step(): ReplayTold[] {
    const {merger} = this.#options;
    const told: ReplayTold[] = [];
    let run: Candidate[] = [];
    const flush = () => {
      told.push(...this.#merge(run));
      run = [];
    };
    let next = this.#queue[0];
    for (let count = 0; next && count < stepMax; count++) {
      const {offset, event} = next;
      const {topic, partition, offset: place} = event;
      if (this.#isAhead(event)) break;
      if (this.#wantsSchema(event, offset)) break;
      const steps = this.#stepsAt(offset);
      if (steps.length > 0 || run.some((each) => isSame(each.event, event))) flush();
      for (const {lookup, snapshot} of steps) this.#use(lookup, snapshot);
      const from = merger.replay.kindOf(topic, partition, place);
      if (from === undefined) told.push(duplicate(event));
      else if (!this.#refused!.has(event.id)) {
        if (hasWindows(this.#options.plan, event.eventTimeMs, merger.replay.deletedMs))
          run.push({event, from});
        else told.push(refused(event, this.#options.plan.id));
      }
      this.#queue.shift();
      next = this.#queue[0];
      merger.replay.mergedThrough(offset + 1);
    }
    flush();
    if (this.unread === 0) merger.replay.rest();
    return told;
  }

  #merge(run: Candidate[]): ReplayTold[] {
    if (run.length === 0) return [];
    const {merger} = this.#options;
    const {verdicts, delta} = this.#kernelNow().run(run.map(({event}) => event));
    const moves: ReplayMove[] = [];
    const told = run.map(({event, from}, index): ReplayTold => {
      const verdict = verdicts[index]!;
      const {id, letter, topic, partition, offset} = event;
      if (verdict.kind === 'dead') {
        const {code, message} = verdict;
        return {id, letter, outcome: 'rejected', code, message};
      }
      moves.push({topic, partition, offset, from, to: verdict.kind});
      const outcome = verdict.kind === 'filtered' ? 'filtered' : 'counted';
      return {id, letter, outcome, code: null, message: null};
    });
    merger.applyReplay(delta, moves);
    return told;
  }

  /** Lookups of the query switched: what is read from here on sees these. */
  switched(lookups: Record<string, string>): void {
    for (const [lookup, snapshot] of Object.entries(lookups)) {
      this.#history.forget(lookup);
      this.#use(lookup, snapshot);
    }
  }

  #kernelNow(): ReplayKernel {
    const {plan, schemas, snapshotOf} = this.#options;
    const snapshots = () => Object.entries(this.#inEffect).map(([name, id]) => snapshotOf(name, id));
    this.#kernel ??= new ReplayKernel(plan, schemas.schemaNow, snapshots());
    return this.#kernel;
  }

  /** The snapshots that a record sees where they are not those of the one before it. */
  #stepsAt(offset: number): LookupStep[] {
    return this.#history
      .inEffect(this.#topic, 0, offset, offset + 1)
      .filter(({lookup, snapshot}) => this.#inEffect[lookup] !== snapshot);
  }

  #use(lookup: string, snapshot: string): void {
    this.#inEffect[lookup] = snapshot;
    this.#kernel?.setLookup(this.#options.snapshotOf(lookup, snapshot));
  }

  async #read(offset: number): Promise<{found: Waiting[]; nextOffset: number}> {
    const {log, plan, merger} = this.#options;
    const found: Waiting[] = [];
    let nextOffset = offset;
    const batches = await log.read(this.#topic, 0, offset, readBytesMax);
    checkTopic(plan, log, this.#topic, merger.topics[this.#topic]);
    for (const batch of batches) {
      nextOffset = batch.baseOffset + batch.count;
      walkDecoded(batch, decodeEvent, (index, values) => {
        const place = batch.baseOffset + index;
        if (place >= offset) found.push({offset: place, event: replayEventOf(values)});
      });
    }
    return {found, nextOffset};
  }

  async #readRefused(): Promise<Set<string>> {
    const {log, plan} = this.#options;
    const topic = replayJournalTopic(plan.domain);
    const ids = new Set<string>();
    let offset = log.partitions(topic) > 0 ? log.startOffset(topic, 0) : Infinity;
    while (offset < log.endOffset(topic, 0))
      for (const batch of await log.read(topic, 0, offset, readBytesMax)) {
        walkDecoded(batch, decodeEntry, (_, values) => {
          const entry: ReplayEntry = replayEntryOf(values);
          if (entry.query === plan.id && entry.outcome === 'refused' && entry.detail) ids.add(entry.detail);
        });
        offset = batch.baseOffset + batch.count;
      }
    return ids;
  }
}

const isSame = (a: ReplayEvent, b: ReplayEvent): boolean =>
  a.topic === b.topic && a.partition === b.partition && a.offset === b.offset;

const duplicate = ({id, letter}: ReplayEvent): ReplayTold => ({
  id,
  letter,
  outcome: 'duplicate',
  code: null,
  message: 'the query has counted it already',
});

const refused = ({id, letter}: ReplayEvent, query: string): ReplayTold => ({
  id,
  letter,
  outcome: 'refused',
  code: 'WINDOW_GONE',
  message: `its window is complete and its state deleted; to count it all the same: npx millrace backfill ${query}`,
});
