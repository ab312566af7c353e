import {PlatformError} from '../errors.ts';
import {type Pruned, prune, toPrune} from '../platform/change-prune.ts';
import {startPlatform} from '../platform/runtime.ts';
import type {CommandBody} from './command.ts';
import {openPlatform} from './context.ts';
import {printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {options, io} = call;
  const keep = Number(options.keep ?? 1);
  if (!Number.isInteger(keep) || keep < 0)
    throw new PlatformError('USAGE', `"${options.keep}" is not a number of revisions`, {
      hint: 'for example --keep 1',
    });
  const {platform, dirs, control} = await openPlatform(call);
  let pruned: Pruned[];
  if (options.dryRun) pruned = toPrune(platform, dirs, keep);
  else if (control) pruned = await control.post<Pruned[]>('/v1/prune', {keep});
  else if (toPrune(platform, dirs, keep).length === 0) pruned = [];
  else {
    const running = await startPlatform(platform, {inputs: false, port: 0, command: 'millrace prune'});
    try {
      pruned = await prune(running, keep);
    } finally {
      await running.drain();
    }
  }
  if (options.json) printJson(io, {pruned, dryRun: options.dryRun === true});
  else io.stderr.write(textOf(pruned, options.dryRun === true, keep));
  return 0;
};

function textOf(pruned: Pruned[], isDry: boolean, keep: number): string {
  if (pruned.length === 0) return 'nothing to drop\n';
  const verb = isDry ? 'would drop' : 'dropped';
  return pruned
    .map(({query, revisions, begun, isGone, left}) => {
      const numbers = [...revisions, ...(begun === null ? [] : [begun])].sort((a, b) => a - b);
      const names = numbers.map((revision) => `${query}__r${revision}`).join(', ');
      const why = isGone ? 'it is not in the configuration any more' : `${keep} kept before the current one`;
      const stays = left
        ? `  what ${left.join(' and ')} holds of it stays: the configuration has no such sink any more; ${isDry ? 'put it back before, or drop' : 'drop'} it there yourself\n`
        : '';
      return `${verb} ${names} with state (${why})\n${stays}`;
    })
    .join('');
}
