import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {relative} from 'node:path';
import {PlatformError} from '../errors.ts';
import type {Domain} from '../model/types.ts';
import {declareTypes} from '../transforms/declare.ts';
import {typeFiles} from '../transforms/open.ts';
import type {CommandBody} from './command.ts';
import {requirePlatform, unknownName} from './context.ts';
import {printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {args, options, io} = call;
  const {domains} = await requirePlatform(call);
  const names = domains.map(({name}) => name);
  const chosen = args[0] === undefined ? domains : domains.filter(({name}) => name === args[0]);
  if (chosen.length === 0) throw unknownName('domain', args[0] ?? '', names);
  if (!options.write) {
    if (chosen.length > 1)
      throw new PlatformError('USAGE', 'there are several domains', {
        hint: `name one of ${names.join(', ')}`,
      });
    const text = declareTypes(chosen[0]!);
    if (options.json) printJson(io, {domain: chosen[0]!.name, text});
    else io.stdout.write(text);
    return 0;
  }
  const files = chosen.flatMap(outdated);
  for (const {path, text} of files) if (!options.dryRun) writeFileSync(path, text);
  const written = files.map(({path}) => relative(io.cwd, path));
  if (options.json) printJson(io, {written});
  else if (written.length === 0) io.stderr.write('every file of types is as it should be\n');
  else for (const path of written) io.stderr.write(`${options.dryRun ? 'would write' : 'wrote'} ${path}\n`);
  return 0;
};

/** Files of a domain's types that are not there as they should be. */
const outdated = (domain: Domain): {path: string; text: string}[] =>
  typeFiles(domain).filter(({path, text}) => !existsSync(path) || readFileSync(path, 'utf8') !== text);
