/** What a query set aside, on its way back to it: whether it can still be counted, and what it would be counted as. */
import {domainNamespace} from '../ingest/identity.ts';
import type {Platform} from '../model/types.ts';
import {type CheckpointHeader, stateName} from '../process/embedded/checkpoint.ts';
import {lookupsOf} from '../process/embedded/lookup-journal.ts';
import {ReplayKernel} from '../process/embedded/replay-kernel.ts';
import {hasWindows, ReplayState} from '../process/embedded/replay-state.ts';
import {openStateReader, type StateReader} from '../process/embedded/statestore.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {LookupSnapshot} from '../process/types.ts';
import {
  type ReplayEvent,
  type ReplayOutcome,
  replayEventSchema,
  replayEventValues,
  replayTopic,
} from '../schema/replay.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import {uuid5} from '../schema/uuid5.ts';
import type {Letter} from './letters.ts';
import type {LetterEvents} from './letters-events.ts';
import {createLookupStore} from './lookups.ts';
import type {PlatformDirs} from './places.ts';
import type {LetterEncoder} from './replay-encode.ts';
import type {Fix} from './replay-fix.ts';
import {appendOf} from './side.ts';

/** What becomes of one letter; `event` is to be appended to the query's replay topic. */
export type QueryVerdict = {
  outcome: ReplayOutcome;
  code: string | null;
  message: string | null;
  event?: ReplayEvent;
};

export type QueryReplayOptions = {
  platform: Platform;
  dirs: PlatformDirs;
  /** By query id. */
  planOf(query: string): QueryPlan | undefined;
  schemas: RegisteredSchema[];
  events: LetterEvents;
  encoder: LetterEncoder;
  fix: Fix | undefined;
};

/** A query as it was at its last checkpoint. */
type View = {
  plan: QueryPlan;
  header: CheckpointHeader | undefined;
  replay: ReplayState;
  kernel: ReplayKernel;
};

const verdict = (outcome: ReplayOutcome, code: string | null, message: string | null): QueryVerdict => ({
  outcome,
  code,
  message,
});

export class QueryReplay {
  #options: QueryReplayOptions;
  #states: StateReader & {close(): void};
  #views = new Map<string, View>();

  constructor(options: QueryReplayOptions) {
    this.#options = options;
    this.#states = openStateReader(options.dirs.state);
  }

  close(): void {
    this.#states.close();
  }

  /** From now on checkpoints are looked at as they are now. */
  refresh(): void {
    this.#views.clear();
  }

  async judge(letter: Letter, nowMs: number): Promise<QueryVerdict> {
    if (letter.stage === 'emit')
      return verdict('refused', null, 'it tells of a value of a row and is no event: nothing to replay');
    const view = await this.#viewOf(letter.query!);
    if (!view) return verdict('refused', 'NAME_UNKNOWN', `there is no query ${letter.query} any more`);
    const {plan, replay, kernel} = view;
    const {position} = letter;
    if (!('topic' in position))
      throw new Error(`a letter of a query without a place in the log: ${letter.id}`);
    const {topic, partition, offset} = position;
    if (!plan.sources.some((source) => source.topic === topic))
      return verdict('refused', 'NAME_UNKNOWN', `${plan.id} does not read ${topic} any more`);
    if (this.#hasMerged(view, topic, partition, offset) && !replay.kindOf(topic, partition, offset))
      return verdict('duplicate', null, 'the query has counted it already');
    const mended = await this.#frameOf(letter);
    if (!mended.ok) return verdict('rejected', mended.code, mended.message);
    const {frame, timeMs} = mended;
    if (!hasWindows(plan, timeMs, replay.deletedMs))
      return verdict(
        'refused',
        'WINDOW_GONE',
        `its window is complete and its state deleted; to count it all the same: npx millrace backfill ${plan.id}`,
      );
    // What came further than the checks has passed them, or is our own.
    const isUnchecked = letter.stage === 'decode' || letter.stage === 'check';
    const [result] = kernel.run([{topic, frame, timeMs: nowMs, isUnchecked}]).verdicts;
    if (result!.kind === 'dead') return verdict('rejected', result!.code, result!.message);
    // After a rejection by the query itself it is another attempt; before that the same one, which counts once.
    const attempt = letter.replays.filter(
      ({actor, outcome}) => actor === null && outcome === 'rejected',
    ).length;
    const id = uuid5(
      domainNamespace(letter.domain),
      `replay/${plan.id}/${topic}/${partition}/${offset}/${attempt}`,
    );
    const event: ReplayEvent = {
      id,
      timeMs: nowMs,
      domain: letter.domain,
      query: plan.query,
      letter: letter.id,
      topic,
      partition,
      offset,
      eventTimeMs: timeMs,
      frame,
    };
    return {...verdict(result!.kind === 'filtered' ? 'filtered' : 'counted', null, null), event};
  }

  /** A batch for the query's replay topic. */
  appendOf(query: string, events: ReplayEvent[], schemaIds: Record<string, number>) {
    const records = events.map((event) => ({id: event.id, values: replayEventValues(event)}));
    return appendOf(replayTopic(query), replayEventSchema, schemaIds, records);
  }

  #hasMerged({header}: View, topic: string, partition: number, offset: number): boolean {
    const cut = header?.cuts.find((each) => each.topic === topic && each.partition === partition);
    return cut !== undefined && cut.offset > offset;
  }

  /** The event as the query is to see it, and its time. */
  async #frameOf(
    letter: Letter,
  ): Promise<{ok: true; frame: Uint8Array; timeMs: number} | {ok: false; code: string; message: string}> {
    const {events, fix, encoder} = this.#options;
    const eventType = events.typeOf(letter);
    const values = eventType && events.decode(letter.original, eventType);
    if (!eventType || !values) {
      const code = letter.kind === 'late' ? 'DECODE' : letter.code;
      return {
        ok: false,
        code,
        message: letter.kind === 'late' ? 'it cannot be decoded any more' : letter.message,
      };
    }
    const byRole = (role: string) => values[eventType.fields.findIndex((field) => field.role === role)]!;
    if (!fix) return {ok: true, frame: letter.original, timeMs: Number(byRole('time'))};
    // What a fix makes goes to the query beside the log's topics, where nothing is protected.
    if (eventType.fields.some(({pii}) => pii))
      return {
        ok: false,
        code: letter.code,
        message: 'an event of the log that has personal data cannot be mended by --set',
      };
    const event = await events.eventOf(letter);
    const mended = fix.apply(event!, eventType, String(byRole('id')), Number(byRole('time')));
    if (!('object' in mended)) return {ok: false, ...mended};
    const encoded = encoder.encodeObject(mended.object, String(byRole('id')), eventType);
    if (!encoded.ok) return encoded;
    return {ok: true, frame: encoded.record.slice(4), timeMs: encoded.timeMs};
  }

  async #viewOf(query: string): Promise<View | undefined> {
    const known = this.#views.get(query);
    if (known) return known;
    const {planOf, schemas, dirs} = this.#options;
    const plan = planOf(query);
    if (!plan) return undefined;
    const name = stateName(plan);
    const saved = this.#states.load(name);
    const header = saved && (JSON.parse(saved.meta) as CheckpointHeader);
    const stored = header?.replay && {...header.replay, deletedMs: Number(header.replay.deletedMs)};
    const replay = new ReplayState(
      stored && {
        header: stored,
        keys: this.#states.keys(name),
        read: (key) => this.#states.get(name, key),
      },
    );
    const schemaOf = (id: number) => schemas.find((schema) => schema.id === id)?.schema;
    const kernel = new ReplayKernel(plan, schemaOf, await this.#snapshots(plan, `${dirs.state}/lookups`));
    const view = {plan, header, replay, kernel};
    this.#views.set(query, view);
    return view;
  }

  async #snapshots(plan: QueryPlan, dir: string): Promise<LookupSnapshot[]> {
    const store = createLookupStore(dir);
    const lookups = this.#options.platform.domains.find(({name}) => name === plan.domain)!.lookups;
    const found = await Promise.all(
      lookups
        .filter(({name}) => lookupsOf(plan).includes(name))
        .map((lookup) => store.get(lookup, null).catch(() => store.last(lookup))),
    );
    return found.filter((snapshot) => snapshot !== undefined);
  }
}
