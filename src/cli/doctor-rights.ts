/** What `doctor` says of the rights of our user in Kafka: which are missing, and the commands that give them. */
import {KafkaClient} from '../log/kafka/client.ts';
import {
  type Allowed,
  askGroupRights,
  askTopicRights,
  type Operation,
  uncreatable,
  wantsIdempotentWrite,
} from '../log/kafka/rights.ts';
import type {KafkaSettings} from '../log/kafka/settings.ts';
import {consoleRole, doesAll, type Role, roles} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import {sinkLeaseGroup} from '../platform/sink-leases.ts';
import {counted} from '../quantity.ts';
import {replayJournalTopic, replayTopic} from '../schema/replay.ts';
import {bookTopic} from '../sinks/kafka/book.ts';
import {rowsTopic} from '../sinks/kafka/rows.ts';

/** The process whose rights are looked at: its roles, or a console. */
export type Doer = readonly Role[] | typeof consoleRole;

/** Resources of one name, or all whose names begin alike; `names`: those that there are, or will be as the configuration is. */
type Resources = {of: 'topic' | 'group' | 'cluster'; pattern: string; isPrefix: boolean; names: string[]};
/** `lessens`: what does not work without them; absent: the process does not. */
export type WantedRights = Resources & {operations: Operation[]; lessens?: string};
/** What the brokers told, by name. */
export type ToldRights = Record<Resources['of'], ReadonlyMap<string, Allowed>>;
/** Operations that are missing, and the command that gives them; `isUntold`: the brokers do not say whether they are. */
export type MissingRights = {text: string; grant: string; lessens?: string; isUntold?: true};

type Kind =
  | 'events'
  | 'unread'
  | 'letters'
  | 'aside'
  | 'rows'
  | 'book'
  | 'ingest'
  | 'progress'
  | 'sinks'
  | 'rawSinks';
const made: Operation[] = ['Read', 'Write', 'Create'];
/** Who does what with what, as docs/kafka.md and docs/roles.md list it. */
const uses: Record<Kind, Partial<Record<Role | typeof consoleRole, Operation[]>>> = {
  events: {ingest: made, engine: ['Read', 'Create'], sinks: ['Read', 'Create'], console: ['Read']},
  // Events that go into no table.
  unread: {ingest: made, engine: ['Read', 'Create'], sinks: ['Describe', 'Create'], console: ['Read']},
  letters: {ingest: made, engine: made, sinks: made, console: ['Read']},
  aside: {engine: made, console: ['Read']},
  rows: {engine: made, sinks: ['Read'], console: ['Read']},
  book: {engine: made, sinks: ['Read', 'Create'], console: ['Describe']},
  ingest: {ingest: ['Read'], console: ['Describe']},
  progress: {engine: ['Read'], console: ['Describe']},
  sinks: {sinks: ['Read'], console: ['Describe']},
  rawSinks: {sinks: ['Read'], console: ['Describe']},
};
/** Of processes, a console asks for neither. */
const lessening: Partial<Record<Kind, string>> = {progress: "Kafka's tools do not show how far queries are"};
const configsUntold = 'how topics differ from the configuration is not told';
const notPruned = 'prune cannot remove the topics of old revisions';
/** Only where rows go through topics. */
const between: readonly Kind[] = ['rows', 'book', 'sinks'];
const namesShownMax = 5;

/** @param existing names of topics, as far as our user is shown them */
export function wantedRights(
  platform: Platform,
  clientId: string,
  doer: Doer,
  existing: readonly string[],
): WantedRights[] {
  const doers: readonly (Role | typeof consoleRole)[] =
    doer === consoleRole ? [consoleRole] : roles.filter((role) => doer.includes(role));
  const isConsole = doer === consoleRole;
  // One process of all roles has its sinks for itself.
  const hasLeases = isConsole || !doesAll(doer);
  const isApart = isConsole || doer.includes('engine') !== doer.includes('sinks');
  return resourcesOf(platform, clientId, existing).flatMap(({kind, ...resources}) => {
    const all = new Set(doers.flatMap((each) => uses[kind][each] ?? []));
    // Who may read may describe.
    const operations = [...all].filter((operation) => operation !== 'Describe' || !all.has('Read'));
    if (operations.length === 0 || resources.names.length === 0) return [];
    if (between.includes(kind) && !isApart) return [];
    if (kind === 'rawSinks' && !hasLeases) return [];
    if (isConsole) return [{...resources, operations}];
    const lessens = lessening[kind];
    const wanted: WantedRights[] = [{...resources, operations, ...(lessens ? {lessens} : {})}];
    if (resources.of === 'topic')
      wanted.push({...resources, operations: ['DescribeConfigs'], lessens: configsUntold});
    if (kind === 'rows' && doer.includes('engine'))
      wanted.push({...resources, operations: ['Delete'], lessens: notPruned});
    return wanted;
  });
}

function resourcesOf(
  {domains}: Platform,
  clientId: string,
  existing: readonly string[],
): (Resources & {kind: Kind})[] {
  const some = (kind: Kind, of: Resources['of'], pattern: string, names = [pattern]) => ({
    ...{kind, of, pattern, names},
    isPrefix: pattern.endsWith('.'),
  });
  const ofDomains = domains.flatMap(({name, eventTypes, aggregations, defaults}) => {
    const queries = aggregations.map((query) => `${name}.${query.name}`);
    const rows = aggregations.flatMap((query) => {
      const found = existing.filter((topic) => topic.startsWith(`agg.${name}.${query.name}.r`));
      return found.length > 0 ? found : [rowsTopic({namespace: name, name: `${query.name}__r1`})];
    });
    return [
      some(
        defaults.raw === null ? 'unread' : 'events',
        'topic',
        `${name}.`,
        eventTypes.map(({topic}) => topic),
      ),
      some('letters', 'topic', `dlq.${name}`),
      some('letters', 'topic', replayJournalTopic(name)),
      some(
        'aside',
        'topic',
        `late.${name}.`,
        queries.map((id) => `late.${id}`),
      ),
      some('aside', 'topic', `replay.${name}.`, queries.map(replayTopic)),
      some('rows', 'topic', `agg.${name}.`, rows),
      some(
        'progress',
        'group',
        `${clientId}.${name}.`,
        queries.map((id) => `${clientId}.${id}`),
      ),
    ];
  });
  const sinks = new Set(domains.flatMap(({aggregations}) => aggregations.flatMap((each) => each.sinks)));
  const raw = new Set(domains.flatMap(({defaults}) => defaults.raw ?? []));
  return [
    ...ofDomains,
    some('book', 'topic', bookTopic(clientId)),
    some('ingest', 'group', `${clientId}.ingest`),
    some(
      'sinks',
      'group',
      `${clientId}.sinks.`,
      [...sinks].flatMap((sink) => [`${clientId}.sinks.${sink}`, sinkLeaseGroup(clientId, sink)]),
    ),
    some(
      'rawSinks',
      'group',
      `${clientId}.sinks.`,
      [...raw].map((sink) => sinkLeaseGroup(clientId, sink)),
    ),
  ];
}

/** What of the wanted is missing; what is missing alike stands together. @param broker, principal for the commands */
export function missingRights(
  wanted: readonly WantedRights[],
  told: ToldRights,
  {broker, principal}: {broker: string; principal: string},
): MissingRights[] {
  const lacks = wanted.flatMap((want) => {
    const lacking = want.names.flatMap((name) => {
      const allowed = told[want.of].get(name);
      const operations = want.operations.filter((operation) => !allowed?.has(operation));
      return operations.length > 0 ? [{name, operations, isUntold: allowed === undefined}] : [];
    });
    if (lacking.length === 0) return [];
    const operations = want.operations.filter((each) => lacking.some((one) => one.operations.includes(each)));
    const isUntold = lacking.every((one) => one.isUntold);
    const isAll = want.isPrefix && lacking.length === want.names.length;
    const shown = isAll ? [`${want.pattern}*`] : lacking.map(({name}) => name);
    return [{...want, operations, shown, isUntold}];
  });
  const alike = Map.groupBy(lacks, ({of, operations, lessens, isPrefix, isUntold}) =>
    JSON.stringify([of, operations, lessens, isPrefix, isUntold]),
  );
  return [...alike.values()].map((same) => {
    const {of, operations, lessens, isPrefix, isUntold} = same[0]!;
    const shown = [...new Set(same.flatMap((each) => each.shown))];
    const more = shown.length > namesShownMax ? ` and ${shown.length - namesShownMax} more` : '';
    const what = `${of}${shown.length === 1 && !shown[0]!.endsWith('*') ? '' : 's'} ${shown.slice(0, namesShownMax).join(', ')}${more}`;
    const patterns = same.map(({pattern}) => `--${of} ${pattern}`.trim());
    return {
      text: `${operations.join(', ')} on ${of === 'cluster' ? 'the cluster' : what}`,
      grant: [
        `kafka-acls.sh --bootstrap-server ${broker} --add --allow-principal ${quoted(principal)}`,
        ...operations.map((operation) => `--operation ${operation}`),
        ...new Set(patterns),
        ...(isPrefix ? ['--resource-pattern-type prefixed'] : []),
      ].join(' '),
      ...(lessens ? {lessens} : {}),
      ...(isUntold ? {isUntold} : {}),
    };
  });
}

const quoted = (text: string) => (/^[\w.:@=,/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** As brokers call us, unless they were told to use other names. */
function principalOf({security: {sasl, tls}}: KafkaSettings): string {
  if (sasl) return `User:${sasl.username}`;
  return tls?.cert ? 'User:<the name in tls.cert>' : 'User:ANONYMOUS';
}

/** What is missing, each with the command that gives it; a text when nothing is. @throws KAFKA_* */
export async function checkRights(
  platform: Platform,
  kafka: KafkaSettings,
  doer: Doer,
): Promise<string | {state: 'warning' | 'failed'; message: string; hint: string}[]> {
  const {principal, asked, missing} = await lookAtRights(platform, kafka, doer);
  const isWhole = doer !== consoleRole && doesAll(doer);
  const who = isWhole ? 'a platform in one process' : `--only ${[doer].flat().join(',')}`;
  if (missing.length === 0) return `${principal} has those of ${who} on ${asked}`;
  return missing.map(({text, grant, lessens, isUntold}) => {
    const found = isUntold
      ? `the brokers do not tell ${principal} whether it has`
      : `for ${who} ${principal} lacks`;
    return {
      state: lessens !== undefined || isUntold ? 'warning' : 'failed',
      message: `${found} ${text}${lessens === undefined ? '' : `: without it ${lessens}`}`,
      hint: grant,
    };
  });
}

/** Nothing is made. @returns `principal`: our user; `asked`: of how much was asked @throws KAFKA_* */
async function lookAtRights(
  platform: Platform,
  settings: KafkaSettings,
  doer: Doer,
): Promise<{principal: string; asked: string; missing: MissingRights[]}> {
  const client = new KafkaClient(settings);
  try {
    const {topics: seen} = await client.refreshMetadata();
    const wanted = wantedRights(platform, settings.clientId, doer, [...seen.keys()]);
    const namesOf = (of: Resources['of']) => [
      ...new Set(wanted.flatMap((each) => (each.of === of ? each.names : []))),
    ];
    const [topics, groups] = [namesOf('topic'), namesOf('group')];
    const rights = await askTopicRights(client, topics);
    const fresh = topics.filter(
      (name) =>
        !seen.has(name) &&
        wanted.some((each) => each.names.includes(name) && each.operations.includes('Create')),
    );
    const denied = await uncreatable(client, fresh);
    const topic = new Map(
      topics.map((name): [string, Allowed] => {
        const allowed = rights.topics.get(name);
        return [
          name,
          allowed && !denied.has(name) ? new Set([...allowed, 'Create'] as Operation[]) : allowed,
        ];
      }),
    );
    const writes = wanted.some(({operations}) => operations.includes('Write'));
    if (writes && (await wantsIdempotentWrite(client)))
      wanted.push({
        of: 'cluster',
        pattern: '',
        isPrefix: false,
        names: [''],
        operations: ['IdempotentWrite'],
      });
    const told = {
      topic,
      group: await askGroupRights(client, groups),
      cluster: new Map([['', rights.cluster]]),
    };
    const principal = principalOf(settings);
    return {
      principal,
      asked: `${counted(topics.length, 'topic')} and ${counted(groups.length, 'group')}`,
      missing: missingRights(wanted, told, {broker: settings.brokers[0]!, principal}),
    };
  } finally {
    client.close();
  }
}
