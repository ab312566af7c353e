import {randomUUID} from 'node:crypto';
import {type Clock, systemClock} from '../clock.ts';
import {failpoint} from '../failpoint.ts';
import {pace} from '../ingest/pace.ts';
import {does} from '../model/roles.ts';
import type {ReplayEntry, ReplayOutcome} from '../schema/replay.ts';
import {openTransforms, type Transforms} from '../transforms/open.ts';
import {answersOf, type Letter, reachedLog, readLetters} from './letters.ts';
import {LetterEvents} from './letters-events.ts';
import {LetterHistory} from './letters-history.ts';
import {compileWhere} from './letters-where.ts';
import {type EncodedEvent, fateOf, LetterEncoder} from './replay-encode.ts';
import {compileFix, type Fix} from './replay-fix.ts';
import {QueryReplay, type QueryVerdict} from './replay-query.ts';
import {
  describe,
  eventTypesOf,
  isAbsent,
  type Judged,
  packed,
  type ReplayContext,
  type ReplayLine,
  type ReplayRequest,
  replayerOf,
  withoutProcess,
  withTransform,
} from './replay-types.ts';
import {journalAppend} from './side.ts';

/** Letters of one transaction. */
const batchMax = 500;
/** How long the queries are waited for at the end, ms. */
const queriesMs = 15_000;
const lookMs = 100;

/**
 * Replays what is selected, oldest first: into the log through ingestion, to the query that had set it aside, or to the sink
 * that had refused it. What was replayed before is passed over, so that a second replay does nothing. The journal says who
 * asked and what became of each letter, in the transaction that makes it so.
 * @throws USAGE for a wrong expression; what appending throws, when everything before is as the lines say.
 */
export async function* replayLetters(
  context: ReplayContext,
  request: ReplayRequest,
): AsyncGenerator<ReplayLine> {
  const run = new Replay(context, request);
  try {
    yield* run.run();
  } finally {
    await run.close();
  }
}

class Replay {
  #context: ReplayContext;
  #request: ReplayRequest;
  #clock: Clock;
  #run = randomUUID();
  #events: LetterEvents;
  #encoder: LetterEncoder;
  #queries: QueryReplay;
  #transforms: Transforms;
  #outcomes: Partial<Record<ReplayOutcome, number>> = {};
  #selected = 0;
  /** What the journals say; read further when answers are waited for. */
  readonly #history = new LetterHistory();
  /** Given to their queries, by letter id, without what was set aside. */
  #queued = new Map<string, Letter>();
  #where: ((letter: Letter) => Promise<boolean>) | undefined;
  /** Ids that this run has given to a topic: the log knows them only when they are durable. */
  #given = new Set<string>();

  constructor(context: ReplayContext, request: ReplayRequest) {
    const {platform, dirs, log, schemas, schemaIds, planOf} = context;
    const domains = withTransform(platform, request);
    this.#context = context;
    this.#request = request;
    this.#clock = context.clock ?? systemClock;
    this.#events = new LetterEvents(domains, schemas, log);
    const eventTypes = eventTypesOf(platform, request.selection);
    const fix: Fix | undefined = compileFix(request.sets, eventTypes);
    this.#where = compileWhere(request.selection.where, eventTypes, this.#events);
    this.#transforms = openTransforms(domains, {telemetry: context.telemetry, develop: false});
    this.#encoder = new LetterEncoder({
      domains,
      events: this.#events,
      schemas,
      schemaIds,
      partitionsOf: (topic) => log.partitions(topic),
      fix,
      isFunction: request.transform !== null,
      transforms: this.#transforms,
      clock: this.#clock,
    });
    const {encoder, events} = {encoder: this.#encoder, events: this.#events};
    this.#queries = new QueryReplay({platform, dirs, planOf, schemas, events, encoder, fix});
  }

  async close(): Promise<void> {
    this.#queries.close();
    this.#history.close();
    await this.#transforms.close();
  }

  async *run(): AsyncGenerator<ReplayLine> {
    const {dryRun, ratePerSecond} = this.#request;
    if (!dryRun) await this.#tell('begun', describe(this.#request));
    await this.#readHistory();
    const limit = pace(dryRun ? null : ratePerSecond, this.#clock);
    let batch: Letter[] = [];
    let credit = await limit.ready();
    for await (const letter of this.#selectedLetters()) {
      batch.push(letter);
      if (batch.length < Math.min(batchMax, credit)) continue;
      yield* this.#take(batch);
      limit.sent(batch.length);
      batch = [];
      credit = await limit.ready();
    }
    yield* this.#take(batch);
    yield* this.#settle();
    const counts = {selected: this.#selected, outcomes: this.#outcomes};
    if (!dryRun) await this.#tell('ended', counts);
    yield {run: dryRun ? null : this.#run, dry_run: dryRun, ...counts};
  }

  async #readHistory(): Promise<void> {
    for (const domain of this.#request.selection.domains) await this.#history.read(this.#context.log, domain);
  }

  async *#selectedLetters(): AsyncGenerator<Letter> {
    const {selection, limit, transform} = this.#request;
    for await (const letter of readLetters(this.#context.log, selection, this.#history)) {
      if (limit !== null && this.#selected >= limit) return;
      // What a query or a sink set aside is in the log: it passed the transform of its time.
      if (transform !== null && reachedLog(letter)) continue;
      if (!does(this.#context.platform, replayerOf(letter)) && !isAbsent(this.#request, letter)) continue;
      await this.#context.learn(letter.original);
      if (this.#where && !(await this.#where(letter))) continue;
      this.#selected++;
      yield letter;
    }
  }

  async *#take(letters: Letter[]): AsyncGenerator<ReplayLine> {
    this.#queries.refresh();
    const lines: Judged[] = [];
    const ingested: Letter[] = [];
    const queried: Letter[] = [];
    for (const letter of letters) {
      if (letter.status === 'replayed' || letter.status === 'queued') {
        const isQueued = letter.status === 'queued';
        const message = isQueued ? 'it waits for its query already' : 'it was replayed before';
        lines.push({letter, outcome: 'duplicate', code: null, message});
      } else if (isAbsent(this.#request, letter)) lines.push(withoutProcess(letter));
      else if (replayerOf(letter) === 'sinks') lines.push(await this.#sink(letter));
      else if (letter.query !== null) queried.push(letter);
      else ingested.push(letter);
    }
    // A transaction has one line of the ledger for a topic.
    const topics = Map.groupBy(ingested, ({domain, eventType, source}) => `${domain} ${eventType} ${source}`);
    const queries = Map.groupBy(queried, ({query}) => query!);
    for (const group of topics.values()) lines.push(...(await this.#ingest(group)));
    for (const [query, group] of queries) lines.push(...(await this.#query(query, group)));
    for (const line of lines) if (line.outcome !== 'queued') yield this.#line(line);
  }

  /** Records that never reached the log, of one event type and source. */
  async #ingest(letters: Letter[]): Promise<Judged[]> {
    const judged: Judged[] = [];
    const good: {letter: Letter; events: EncodedEvent[]}[] = [];
    for (const letter of letters) {
      const encoded = await this.#encoder.encode(letter);
      if (encoded.ok) good.push({letter, events: encoded.events});
      else judged.push({letter, outcome: 'rejected', code: encoded.code, message: encoded.message});
    }
    const {domain, eventType, source} = letters[0]!;
    const topic = `${domain}.${eventType}`;
    const all = good.flatMap(({events}) => events);
    const ids = all.map(({id}) => id);
    const isKnown = all.length === 0 ? [] : this.#context.log.knows(topic, ids);
    const known = new Set(ids.filter((_, index) => isKnown[index]));
    const fresh: EncodedEvent[] = [];
    for (const {letter, events} of good) {
      const isNew = ({id}: EncodedEvent) => !known.has(id) && !this.#given.has(`${topic} ${id}`);
      const added = events.filter(isNew);
      for (const {id} of events) this.#given.add(`${topic} ${id}`);
      fresh.push(...added);
      judged.push({letter, code: null, ...fateOf(events.length, added.length)});
    }
    if (this.#request.dryRun) return judged;
    const moved = good.length;
    const counts = {
      domain,
      eventType: eventType!,
      source,
      received: all.length - moved,
      appended: fresh.length,
      duplicate: all.length - fresh.length,
      rejected: -moved,
    };
    const appends = fresh.map(({partition, record, id}) => ({
      topic,
      partition,
      count: 1,
      bytes: record,
      ids: [id],
    }));
    // What the transform refused was given to it then; the rest is given to it now for the first time.
    const refused = good.filter(({letter}) => letter.stage === 'transform').length;
    const transformed = {domain, eventType: eventType!, source, in: moved - refused, out: all.length};
    const hasTransform = this.#events.typeOf(letters[0]!)?.transform !== undefined;
    failpoint('replay.before-append');
    await this.#context.append({
      appends: [...packed(appends), this.#entries(domain, judged)],
      ...(moved > 0 ? {ledger: [counts]} : {}),
      ...(moved > 0 && hasTransform ? {transformed: [{...transformed, rejected: -refused}]} : {}),
    });
    failpoint('replay.after-append');
    const told = {domain, eventType: eventType!, source, rejected: 0, seconds: 0};
    this.#context.telemetry.emit('EventsAppended', {...told, appended: fresh.length, duplicate: 0});
    return judged;
  }

  /** What a query had set aside. */
  async #query(query: string, letters: Letter[]): Promise<Judged[]> {
    const {dryRun} = this.#request;
    const nowMs = this.#clock.now();
    const verdicts: {letter: Letter; verdict: QueryVerdict}[] = [];
    for (const letter of letters) verdicts.push({letter, verdict: await this.#queries.judge(letter, nowMs)});
    const events = verdicts.flatMap(({verdict}) => verdict.event ?? []);
    const judged = verdicts.map(({letter, verdict: {outcome, code, message, event}}): Judged => {
      if (dryRun || !event) return {letter, outcome, code, message};
      this.#queued.set(letter.id, {...letter, original: new Uint8Array()});
      return {letter, outcome: 'queued', code, message};
    });
    if (dryRun) return judged;
    const {schemaIds} = this.#context;
    const batch = events.length > 0 ? [this.#queries.appendOf(query, events, schemaIds)] : [];
    failpoint('replay.before-append');
    await this.#context.append({appends: [...batch, this.#entries(letters[0]!.domain, judged)]});
    failpoint('replay.after-append');
    return judged;
  }

  async #sink(letter: Letter): Promise<Judged> {
    const {dryRun} = this.#request;
    const refused = this.#events.refusal(letter, this.#clock.now());
    const sent = refused ?? (await this.#context.sinks.send(letter, this.#events, dryRun));
    if (!dryRun) await this.#context.append({appends: [this.#entries(letter.domain, [{letter, ...sent}])]});
    return {letter, ...sent};
  }

  /** Waits for what the queries say, where they run. */
  async *#settle(): AsyncGenerator<ReplayLine> {
    const {isRunning} = this.#context;
    const untilMs = this.#clock.now() + queriesMs;
    for (;;) {
      if (this.#queued.size > 0) {
        await this.#readHistory();
        for (const [id, letter] of this.#queued) {
          const answers = answersOf(this.#history.of(id));
          if (answers.length <= answersOf(letter.replays).length) continue;
          const {outcome, code, message} = answers.at(-1)!;
          this.#queued.delete(id);
          yield this.#line({letter, outcome: outcome as ReplayOutcome, code, message});
        }
      }
      if (this.#queued.size === 0 || !isRunning || this.#clock.now() > untilMs) break;
      await this.#clock.sleep(lookMs);
    }
    const message = isRunning
      ? 'its query has not come by it yet'
      : 'its query counts it when the platform runs';
    for (const letter of this.#queued.values())
      yield this.#line({letter, outcome: 'queued', code: null, message});
  }

  #line({letter, outcome, code, message}: Judged): ReplayLine {
    this.#outcomes[outcome] = (this.#outcomes[outcome] ?? 0) + 1;
    if (!this.#request.dryRun)
      this.#context.telemetry.emit('LettersReplayed', {domain: letter.domain, outcome, letters: 1});
    const {id, domain, eventType, query, code: was} = letter;
    return {letter: id, domain, event_type: eventType, query, was, outcome, code, message};
  }

  #entries(domain: string, judged: Judged[]) {
    const entries = judged.map(
      ({letter, outcome, code, message}): ReplayEntry => ({
        ...this.#common(domain),
        kind: 'letter',
        detail: null,
        letter: letter.id,
        query: letter.query,
        outcome,
        code,
        message,
      }),
    );
    return journalAppend(domain, entries, this.#context.schemaIds);
  }

  async #tell(kind: 'begun' | 'ended', detail: object): Promise<void> {
    const none = {letter: null, query: null, outcome: null, code: null, message: null};
    const appends = this.#request.selection.domains.map((domain) =>
      journalAppend(
        domain,
        [{...this.#common(domain), kind, detail: JSON.stringify(detail), ...none}],
        this.#context.schemaIds,
      ),
    );
    await this.#context.append({appends});
  }

  #common(domain: string): Pick<ReplayEntry, 'id' | 'timeMs' | 'domain' | 'run' | 'actor'> {
    const {actor} = this.#request;
    return {id: randomUUID(), timeMs: this.#clock.now(), domain, run: this.#run, actor};
  }
}
