/** What `dlq` and `late` have in common: selecting, listing, showing and replaying what was set aside. */
import {hostname, userInfo} from 'node:os';
import {resolve} from 'node:path';
import {PlatformError} from '../errors.ts';
import {invocation} from '../invocation.ts';
import type {Letter, LetterStatus} from '../platform/letters.ts';
import {letterJson, selectedLetters} from '../platform/letters-selected.ts';
import {replayOffline} from '../platform/replay-run.ts';
import type {ReplayedLetter, ReplayLine, ReplayRequest, ReplayTotals} from '../platform/replay-types.ts';
import type {CommandCall, CommandIo} from './command.ts';
import {existingLog, openPlatform} from './context.ts';
import {countOption, type Kind, rateOption, selectionOf, setsOption} from './letters-options.ts';
import {escapeControls, formatTable, palette, printJson} from './output.ts';

const nouns: Record<Kind, string> = {dead: 'dead letters', late: 'late events'};

export async function listLetters(kind: Kind, call: CommandCall): Promise<number> {
  const {platform, dirs} = await openPlatform(call);
  const {args, options, io} = call;
  const selection = selectionOf(kind, platform, call, args[0]);
  const limit = countOption(options.limit);
  const log = await existingLog(dirs);
  try {
    if (options.summary)
      return await printSummary(kind, selectedLetters(platform, dirs, log, selection), call);
    const found: Letter[] = [];
    let total = 0;
    for await (const letter of selectedLetters(platform, dirs, log, selection)) {
      total++;
      found.push(letter);
      // The newest are wanted, and the topic is read from its oldest.
      if (found.length > limit) found.shift();
    }
    if (options.json) printJson(io, found.map(letterJson));
    else printList(kind, found, total, io);
    return 0;
  } finally {
    log.close();
  }
}

function printList(kind: Kind, found: Letter[], total: number, io: CommandIo): void {
  if (total === 0) {
    io.stderr.write(`no ${nouns[kind]}\n`);
    return;
  }
  const command = kind === 'dead' ? 'dlq' : 'late';
  const first = found[0]!;
  const scope = kind === 'dead' ? first.domain : first.query;
  const rows = found.map((letter) => [
    letter.id.slice(0, 8),
    new Date(letter.timeMs).toISOString(),
    kind === 'dead' && letter.eventType !== null ? `${letter.domain}.${letter.eventType}` : letter.query,
    letter.code,
    letter.status,
    placeOf(letter.position),
    letter.message,
  ]);
  const what = kind === 'dead' ? 'event type' : 'query';
  io.stdout.write(formatTable(['id', 'time', what, 'code', 'status', 'position', 'message'], rows, 72));
  const known = `${invocation(io.cwd)} ${command} show ${scope} ${first.id.slice(0, 8)}`;
  io.stderr.write(`${found.length} of ${total}; one whole: ${known}\n`);
}

/** Groups by what refused them and why. */
async function printSummary(
  kind: Kind,
  letters: AsyncIterable<Letter>,
  {options, io}: CommandCall,
): Promise<number> {
  type Group = Record<'domain' | 'event_type' | 'query' | 'stage' | 'code', string | null> &
    Record<'letters' | LetterStatus, number> & {oldest: string; newest: string};
  const groups = new Map<string, Group>();
  for await (const {domain, eventType, query, stage, code, status, timeMs} of letters) {
    const key = JSON.stringify([domain, eventType, query, stage, code]);
    const time = new Date(timeMs).toISOString();
    const about = {domain, event_type: eventType, query, stage, code};
    const none = {letters: 0, open: 0, queued: 0, replayed: 0, failed: 0, oldest: time, newest: time};
    const group = groups.get(key) ?? {...about, ...none};
    groups.set(key, group);
    group.letters++;
    group[status]++;
    if (time < group.oldest) group.oldest = time;
    if (time > group.newest) group.newest = time;
  }
  const all = [...groups.values()].sort((a, b) => b.letters - a.letters);
  if (options.json) printJson(io, all);
  else if (all.length === 0) io.stderr.write(`no ${nouns[kind]}\n`);
  else
    io.stdout.write(
      formatTable(
        Object.keys(all[0]!),
        all.map((group) => Object.values(group)),
      ),
    );
  return 0;
}

const placeOf = (position: Letter['position']): string =>
  Object.entries(position)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');

export async function showLetter(kind: Kind, call: CommandCall): Promise<number> {
  const {platform, dirs} = await openPlatform(call);
  const {args, options, io} = call;
  const selection = {...selectionOf(kind, platform, call, args[0]), ids: [args[1]!]};
  const log = await existingLog(dirs);
  try {
    const [letter] = await Array.fromAsync(take(selectedLetters(platform, dirs, log, selection), 1));
    if (!letter) {
      const command = kind === 'dead' ? 'dlq' : 'late';
      throw new PlatformError(
        'NAME_UNKNOWN',
        `${args[0]} has no ${nouns[kind].slice(0, -1)} whose id begins with "${args[1]}"`,
        {
          hint: `npx millrace ${command} list ${args[0]}`,
        },
      );
    }
    if (options.json) printJson(io, letterJson(letter));
    else printLetter(letter, io);
    return 0;
  } finally {
    log.close();
  }
}

async function* take<T>(items: AsyncIterable<T>, count: number): AsyncGenerator<T> {
  let left = count;
  for await (const item of items) {
    yield item;
    if (--left === 0) return;
  }
}

function printLetter(letter: Letter, io: CommandIo): void {
  const {original, position, replays, ...rest} = letterJson(letter);
  const facts = {...rest, position: placeOf(position)};
  for (const [name, value] of Object.entries(facts))
    if (value !== null) io.stdout.write(`${name.padEnd(10)}  ${escapeControls(String(value))}\n`);
  for (const {time, actor, outcome, code, message} of replays) {
    const told = [actor === null ? 'its query:' : `${actor}:`, outcome, code, message].filter(
      (part) => part !== null,
    );
    io.stdout.write(`replay      ${time} ${escapeControls(told.join(' '))}\n`);
  }
  const text = Buffer.from(original, 'base64').toString('utf8');
  io.stdout.write(`original    ${letter.original.length} bytes\n${escapeControls(text)}\n`);
}

/** Options of which one has to be given, so that nobody replays everything by mistake. */
const selecting = [
  'code',
  'stage',
  'type',
  'query',
  'source',
  'id',
  'where',
  'since',
  'until',
  'status',
  'all',
];

export async function replaySelected(kind: Kind, call: CommandCall): Promise<number> {
  const {platform, dirs, control} = await openPlatform(call);
  const {args, options, io} = call;
  const request = {
    selection: selectionOf(kind, platform, call, args[0]),
    dryRun: options.dryRun === true,
    sets: setsOption(options.set),
    transform: options.transform === undefined ? null : resolve(io.cwd, String(options.transform)),
    ratePerSecond: rateOption(options.rate),
    limit: options.limit === undefined ? null : countOption(options.limit),
    actor: `${userInfo().username}@${hostname()}`,
  } satisfies ReplayRequest;
  if (!request.dryRun && !selecting.some((name) => options[name] !== undefined))
    throw new PlatformError('USAGE', `which ${nouns[kind]}?`, {
      hint: 'select some, as with --code TYPE, or say --all; --dry-run shows what would happen',
    });
  (await existingLog(dirs)).close();
  const lines = control
    ? control.lines<ReplayLine>('/v1/replay', {}, undefined, request)
    : replayOffline(platform, dirs, request);
  const all: ReplayedLetter[] = [];
  let counts: ReplayTotals | undefined;
  for await (const line of lines) {
    if ('selected' in line) counts = line;
    else if (options.json) all.push(line);
    else printLine(line, io);
  }
  if (options.json) printJson(io, {...counts, letters: all});
  else printCounts(kind, counts!, io);
  return counts!.outcomes.rejected || counts!.outcomes.refused ? 1 : 0;
}

/** What it would be, told before it is done. */
const conditional: Record<string, string> = {duplicate: 'is there already', refused: 'cannot be replayed'};

function printLine(line: ReplayedLetter, io: CommandIo): void {
  const {letter, outcome, code, message, was} = line;
  const reason = [code === was ? `${code} again` : code, message].filter((part) => part !== null).join(' ');
  io.stdout.write(`${letter.slice(0, 8)}  ${outcome.padEnd(9)}  ${escapeControls(reason)}`.trimEnd());
  io.stdout.write('\n');
}

function printCounts(
  kind: Kind,
  {selected: count, outcomes, dry_run: dryRun}: ReplayTotals,
  io: CommandIo,
): void {
  const color = palette(io.stderr, io.env);
  const parts = Object.entries(outcomes).map(
    ([outcome, letters]) =>
      `${letters} ${dryRun ? (conditional[outcome] ?? `would be ${outcome}`) : outcome}`,
  );
  const text = count === 0 ? `no ${nouns[kind]} selected` : `${count} ${nouns[kind]}: ${parts.join(', ')}`;
  io.stderr.write(`${dryRun ? color.yellow('dry run') : color.green('replayed')}: ${text}\n`);
}
