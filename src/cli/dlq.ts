import {PlatformError} from '../errors.ts';
import {findDeadLetter, readDeadLetters, type StoredDeadLetter} from '../ingest/deadletters.ts';
import {reasons} from '../ingest/reasons.ts';
import {invocation} from '../invocation.ts';
import {queryReasons} from '../process/reasons.ts';
import type {CommandBody, CommandIo} from './command.ts';
import {domainOf, openLog, openPlatform, unknownName} from './context.ts';
import {escapeControls, formatTable, printJson} from './output.ts';

const asJson = ({original, timeMs, ...letter}: StoredDeadLetter) => ({
  ...letter,
  time: new Date(timeMs).toISOString(),
  original: Buffer.from(original).toString('base64'),
});

export const list: CommandBody = async (call) => {
  const {platform, dirs} = await openPlatform(call);
  const {args, options, io} = call;
  const domains = args[0] === undefined ? platform.domains : [domainOf(platform, args[0])];
  const limit = countOption(options.limit);
  if (options.code !== undefined) checkCode(String(options.code));
  const log = openLog(dirs);
  try {
    const found: StoredDeadLetter[] = [];
    let total = 0;
    for (const {name} of domains)
      for await (const letter of readDeadLetters(
        log,
        name,
        options.code ? {code: String(options.code)} : {},
      )) {
        total++;
        found.push(letter);
        // The newest are wanted, and the topic is read from its oldest.
        if (found.length > limit) found.shift();
      }
    if (options.json) printJson(io, found.map(asJson));
    else printList(found, total, io);
    return 0;
  } finally {
    log.close();
  }
};

/** The name of a check may follow its colon. @throws NAME_UNKNOWN */
function checkCode(code: string): void {
  const known = [...Object.keys(reasons), ...Object.keys(queryReasons)];
  if (!known.includes(code.split(':')[0]!)) throw unknownName('reason code', code, [...new Set(known)]);
}

function printList(found: StoredDeadLetter[], total: number, io: CommandIo): void {
  if (total === 0) {
    io.stderr.write('no dead letters\n');
    return;
  }
  const rows = found.map(({id, timeMs, domain, eventType, code, message, position}) => [
    id.slice(0, 8),
    new Date(timeMs).toISOString(),
    `${domain}.${eventType}`,
    code,
    placeOf(position),
    message,
  ]);
  io.stdout.write(formatTable(['id', 'time', 'event type', 'code', 'position', 'message'], rows, 72));
  io.stderr.write(
    `${found.length} of ${total}; one whole: ${invocation(io.cwd)} dlq show ${found[0]!.domain} ${found[0]!.id.slice(0, 8)}\n`,
  );
}

const placeOf = (position: StoredDeadLetter['position']): string =>
  Object.entries(position)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');

export const show: CommandBody = async (call) => {
  const {platform, dirs} = await openPlatform(call);
  const {args, options, io} = call;
  const domain = domainOf(platform, args[0]);
  const log = openLog(dirs);
  try {
    const letter = await findDeadLetter(log, domain.name, args[1]!);
    if (!letter)
      throw new PlatformError(
        'NAME_UNKNOWN',
        `domain ${domain.name} has no dead letter whose id begins with "${args[1]}"`,
        {
          hint: `npx millrace dlq list ${domain.name}`,
        },
      );
    if (options.json) {
      printJson(io, asJson(letter));
      return 0;
    }
    const {original, position, ...rest} = asJson(letter);
    const facts = {...rest, position: placeOf(position)};
    for (const [name, value] of Object.entries(facts))
      if (value !== null) io.stdout.write(`${name.padEnd(10)}  ${escapeControls(String(value))}\n`);
    io.stdout.write(
      `original    ${letter.original.length} bytes\n${escapeControls(Buffer.from(original, 'base64').toString('utf8'))}\n`,
    );
    return 0;
  } finally {
    log.close();
  }
};

/** `--limit` and the like. @throws USAGE */
export function countOption(text: unknown): number {
  const count = Number(text);
  if (!/^\d+$/.test(String(text)) || !Number.isSafeInteger(count) || count < 1)
    throw new PlatformError('USAGE', `"${text}" is not a count`, {
      hint: 'give a whole number from 1 up, as in --limit 20',
    });
  return count;
}
